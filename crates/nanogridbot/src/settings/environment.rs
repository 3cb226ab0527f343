//! The environment, and what `<home>/.env` adds to it.

use std::{collections::BTreeMap, path::Path};

use super::SettingsError;

/// The environment, and what `<home>/.env` adds to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own variables win over those of the file.
    pub(crate) fn read(home: &Path) -> Result<Self, SettingsError> {
        let path = home.join(".env");
        let mut all = BTreeMap::new();
        match std::fs::read_to_string(&path) {
            Ok(text) => all.extend(text.lines().filter_map(env_line)),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => (),
            Err(source) => {
                return Err(SettingsError::Unreadable { path: path.display().to_string(), source });
            }
        }
        let own = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        all.extend(own);
        Ok(Self(all))
    }

    /// These and nothing else.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self(pairs.iter().map(own).collect())
    }

    /// Every variable, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }
}

/// `NAME=value`, with or without `export` and quotes; comments and other lines are nothing.
fn env_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let value = value.trim();
    let unquote = |quote: char| value.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
    let value = unquote('"').or(unquote('\'')).unwrap_or(value);
    Some((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_lines() {
        #[rustfmt::skip]
        let table = [
            ("A=1",               Some(("A", "1"))),
            (" export B = \"x y\"", Some(("B", "x y"))),
            ("C='q'",             Some(("C", "q"))),
            ("# D=1",             None),
            ("nothing",           None),
            ("",                  None),
        ];
        for (line, want) in table {
            let got = env_line(line);
            assert_eq!(got.as_ref().map(|(k, v)| (k.as_str(), v.as_str())), want, "{line}");
        }
    }
}
