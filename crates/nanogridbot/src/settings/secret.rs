//! A secret of the settings: written as itself, or as the place where it is.

use ngb_core::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{Environment, SettingsError};
use crate::shown;

/// A secret as it is written: itself, `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretSetting(Secret);

/// Whether it says where a secret is, and is none itself.
pub(crate) fn is_place(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

impl Serialize for SecretSetting {
    /// Where the secret is, or that there is one.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.0.expose();
        to.serialize_str(if is_place(text) { text } else { shown::HIDDEN })
    }
}

impl SecretSetting {
    /// The secret that a variable holds.
    pub(crate) fn from_env(name: &str) -> Self {
        Self(Secret::new(format!("env:{name}")))
    }

    /// The secret, where it is written itself and not as a place.
    pub(crate) fn literal(&self) -> Option<&Secret> {
        (!is_place(self.0.expose())).then_some(&self.0)
    }

    /// The secret itself; `setting` is named in the error.
    pub(crate) fn resolve(
        &self,
        setting: &str,
        env: &Environment,
    ) -> Result<Secret, SettingsError> {
        let text = self.0.expose();
        if let Some(name) = text.strip_prefix("env:") {
            let (setting, name) = (setting.to_owned(), name.to_owned());
            return match env.get(&name) {
                Some(value) => Ok(Secret::new(value)),
                None => Err(SettingsError::NoVariable { setting, name }),
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return match std::fs::read_to_string(path) {
                Ok(value) => Ok(Secret::new(value.trim())),
                Err(source) => Err(SettingsError::NoFile {
                    setting: setting.to_owned(),
                    path: path.to_owned(),
                    source,
                }),
            };
        }
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "from-file\n").unwrap();
        let env = Environment::of(&[("KEY", "from-env")]);
        let path = format!("file:{}", file.display());
        #[rustfmt::skip]
        let table = [
            ("plain",          Ok("plain")),
            ("env:KEY",        Ok("from-env")),
            ("env:NONE",       Err("`web.token` names the variable `NONE`, which is not set")),
            (path.as_str(),    Ok("from-file")),
            ("file:/nowhere",  Err("`web.token` names the file `/nowhere`, which can't be read")),
        ];
        for (text, want) in table {
            let got = SecretSetting(Secret::new(text)).resolve("web.token", &env);
            match want {
                Ok(want) => assert_eq!(got.unwrap().expose(), want),
                Err(needle) => assert_eq!(got.unwrap_err().to_string(), needle),
            }
        }
    }
}
