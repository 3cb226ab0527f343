//! Changing the file of settings: what people wrote stays as it is, comments too.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use toml_edit::{DocumentMut, Item, Table};

use super::{Environment, Settings, SettingsError};

/// The file of settings, open for changes. Nothing is written before [`Edit::save`].
pub(crate) struct Edit {
    path: PathBuf,
    document: DocumentMut,
}

impl Edit {
    /// Opens the file; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is no TOML.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SettingsError::Unreadable { path: shown, source }.into()),
        };
        // Not the error's own text: it quotes the line, and that may hold a secret.
        let document = text.parse::<DocumentMut>().map_err(|err| {
            let why = err.message().to_owned();
            SettingsError::Syntax { path: shown, why }
        })?;
        Ok(Self { path: path.to_owned(), document })
    }

    /// Sets a value: `["channels", "telegram", "main", "token"]`. Text that reads as a number or a boolean becomes one
    /// only if the settings want it so.
    pub(crate) fn set(
        &mut self,
        keys: &[&str],
        value: &str,
        env: &Environment,
    ) -> anyhow::Result<()> {
        let typed = value.parse::<toml_edit::Value>().ok().filter(|it| !it.is_str());
        let text = toml_edit::Value::from(value);
        let before = self.document.clone();
        for value in [Some(text), typed].into_iter().flatten() {
            self.document = before.clone();
            put(self.document.as_table_mut(), keys, value);
            match self.check(env) {
                Ok(()) => return Ok(()),
                // What is still missing may come with the next value.
                Err(err) if err.to_string().contains("missing field") => return Ok(()),
                Err(_) => (),
            }
        }
        // Neither is right; the text's own error says why.
        put(self.document.as_table_mut(), keys, toml_edit::Value::from(value));
        let err = self.check(env).err();
        self.document = before;
        err.map_or(Ok(()), Err)
    }

    /// Takes a section or a value away; false when there was none.
    pub(crate) fn remove(&mut self, keys: &[&str]) -> bool {
        let Some((last, path)) = keys.split_last() else { return false };
        let mut table = self.document.as_table_mut();
        for key in path {
            let Some(Item::Table(inner)) = table.get_mut(key) else { return false };
            table = inner;
        }
        table.remove(last).is_some()
    }

    /// Whether the section is there.
    pub(crate) fn has(&self, keys: &[&str]) -> bool {
        let mut item = self.document.as_item();
        for key in keys {
            match item.get(key) {
                Some(inner) => item = inner,
                None => return false,
            }
        }
        true
    }

    /// Whether the settings make sense as they would be.
    fn check(&self, env: &Environment) -> anyhow::Result<()> {
        Settings::of_text(&self.document.to_string(), &self.path, env).map(drop).map_err(Into::into)
    }

    /// The settings as they would be.
    ///
    /// # Errors
    ///
    /// When they make no sense.
    pub(crate) fn settings(&self, env: &Environment) -> Result<Settings, SettingsError> {
        Settings::of_text(&self.document.to_string(), &self.path, env)
    }

    /// Writes the file in one step, readable for us alone, after a last check.
    ///
    /// # Errors
    ///
    /// When the settings make no sense, or the file can't be written; then the old one is as it was.
    pub(crate) fn save(&self, env: &Environment) -> anyhow::Result<()> {
        self.check(env)?;
        let fresh = self.path.with_extension("toml.new");
        let written = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(self.document.to_string().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &self.path)
        };
        written().with_context(|| format!("could not write `{}`", self.path.display()))
    }
}

fn put(table: &mut Table, keys: &[&str], value: toml_edit::Value) {
    let Some((last, path)) = keys.split_last() else { return };
    let mut table = table;
    for key in path {
        let inner = table.entry(key).or_insert_with(|| {
            let mut inner = Table::new();
            inner.set_implicit(true);
            Item::Table(inner)
        });
        if !inner.is_table() {
            *inner = Item::Table(Table::new());
        }
        let Item::Table(inner) = inner else { unreachable!("it was made one") };
        table = inner;
    }
    table.insert(last, toml_edit::value(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "# mine\n[web]\nport = 9 # nine\n").unwrap();
        let env = Environment::default();
        let at = |key| ["channels", "telegram", "main", key];
        let mut edit = Edit::open(&path).unwrap();
        assert!(!edit.has(&["channels", "telegram", "main"]));
        edit.set(&at("token"), "123:abc", &env).unwrap();
        edit.set(&at("new_chats"), "ignore", &env).unwrap();
        let err = edit.set(&at("tokn"), "x", &env).unwrap_err().to_string();
        assert!(err.contains("unknown setting `tokn`"), "{err}");
        let err = edit.set(&at("new_chats"), "maybe", &env).unwrap_err().to_string();
        assert!(err.contains("unknown variant `maybe`"), "{err}");
        edit.set(&["agent", "max_runs"], "4", &env).unwrap();
        edit.save(&env).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "# mine\n[web]\nport = 9 # nine\n\n[channels.telegram.main]\ntoken = \"123:abc\"\nnew_chats = \"ignore\"\n\n[agent]\nmax_runs = 4\n"
        );
        let mut edit = Edit::open(&path).unwrap();
        assert!(edit.remove(&["channels", "telegram", "main"]));
        assert!(!edit.remove(&["channels", "telegram", "main"]));
        edit.save(&env).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# mine") && !text.contains("123:abc"), "{text}");
    }

    #[test]
    fn what_makes_no_sense_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let env = Environment::default();
        let mut edit = Edit::open(&path).unwrap();
        edit.set(&["channels", "slack", "main", "bot_token"], "xoxb-1", &env).unwrap();
        let err = edit.save(&env).unwrap_err().to_string();
        assert!(err.contains("missing field `app_token`"), "{err}");
        assert!(!path.exists());
    }
}
