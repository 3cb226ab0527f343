//! Reading the settings: the file, then the environment on top, each refused where it makes no sense.

use std::path::Path;

use thiserror::Error;
use toml::{Table, Value};

use super::{Environment, Settings};

/// Settings that can't be used: bad usage, exit code 2.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("could not read `{path}`")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{path}` is not TOML: {why}")]
    Syntax { path: String, why: String },
    #[error("{from}: unknown setting `{key}`")]
    UnknownKey { from: String, key: String, nearest: Option<String> },
    #[error("{from}: {why}")]
    BadValue { from: String, why: String },
    #[error("`{setting}` names the variable `{name}`, which is not set")]
    NoVariable { setting: String, name: String },
    #[error("`{setting}` names the file `{path}`, which can't be read")]
    NoFile {
        setting: String,
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl Settings {
    /// Reads the file, if it is there or was named, and puts the environment on top.
    pub(crate) fn load(file: &Path, named: bool, env: &Environment) -> Result<Self, SettingsError> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::of_text(&text, file, env),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound && !named => {
                Self::of_text("", file, env)
            }
            Err(source) => {
                Err(SettingsError::Unreadable { path: file.display().to_string(), source })
            }
        }
    }

    /// Reads what the file holds, or would hold, and puts the environment on top.
    pub(crate) fn of_text(
        text: &str,
        file: &Path,
        env: &Environment,
    ) -> Result<Self, SettingsError> {
        let path = file.display().to_string();
        let mut table = text.parse::<Table>().map_err(|err| SettingsError::Syntax {
            path: path.clone(),
            // Not the error's own text: it quotes the line, and that may hold a secret.
            why: match err.span().and_then(|it| text.get(..it.start)) {
                Some(before) => {
                    format!("line {}: {}", before.matches('\n').count() + 1, err.message())
                }
                None => err.message().to_owned(),
            },
        })?;
        // The file is checked by itself first, so that an error names the right place.
        from_table(table.clone(), &format!("`{path}`"))?;
        for (name, value) in env.all() {
            let Some(rest) = name.strip_prefix("NGB_") else { continue };
            let keys: Vec<String> = rest.to_lowercase().split("__").map(str::to_owned).collect();
            if keys.len() < 2 {
                continue;
            }
            let before = table.clone();
            put(&mut table, &keys, read_value(value));
            if from_table(table.clone(), "").is_err() {
                // It may be text that looks like a number.
                table = before;
                put(&mut table, &keys, Value::String(value.to_owned()));
                // A section is only whole once all its variables are there, so a missing one is found at the end.
                match from_table(table.clone(), &format!("the variable `{name}`")) {
                    Err(SettingsError::BadValue { why, .. }) if why.contains("missing field") => (),
                    other => drop(other?),
                }
            }
        }
        from_table(table, "the settings")
    }
}

fn read_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut it| it.remove("v"));
    match parsed {
        Some(it @ (Value::Integer(_) | Value::Boolean(_) | Value::Array(_))) => it,
        _ => Value::String(text.to_owned()),
    }
}

fn put(table: &mut Table, keys: &[String], value: Value) {
    let [key, rest @ ..] = keys else { return };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        put(inner, rest, value);
    }
}

/// The least similarity (0 to 1) at which a name is offered for a misspelt one.
const SIMILAR: f64 = 0.7;

fn from_table(table: Table, from: &str) -> Result<Settings, SettingsError> {
    table.try_into().map_err(|err: toml::de::Error| {
        let text = err.message().to_owned();
        // serde says: unknown field `x`, expected one of `a`, `b`
        let mut quoted = text.split('`').skip(1).step_by(2);
        if text.starts_with("unknown field") {
            let key = quoted.next().unwrap_or_default().to_owned();
            let score = |it: &&str| (strsim::jaro_winkler(it, &key) * 1e6) as i64;
            let nearest = quoted
                .max_by_key(score)
                .filter(|it| SIMILAR <= strsim::jaro_winkler(it, &key))
                .map(str::to_owned);
            return SettingsError::UnknownKey { from: from.to_owned(), key, nearest };
        }
        let place = err.to_string();
        let place = place.lines().find(|it| it.trim_start().starts_with("in `"));
        let why = place.map_or(text.clone(), |it| format!("{} {}", text, it.trim()));
        SettingsError::BadValue { from: from.to_owned(), why }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(&file, true, &Environment::of(env))
    }

    #[test]
    fn bad_settings_say_what_is_wrong() {
        #[rustfmt::skip]
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let table: &[Row<'_>] = &[
            ("[web]\nprot = 1", &[], "unknown setting `prot`"),
            ("[wep]\n", &[], "unknown setting `wep`"),
            ("[web]\nport = \"x\"", &[], "invalid type: string \"x\", expected u16"),
            ("[web]\nport = 99999", &[], "expected u16"),
            ("[web\n", &[], "is not TOML"),
            ("[web]\nbind = \"home\"", &[], "`home` is no address"),
            ("[agent]\nidle = \"soon\"", &[], "`soon` is no length of time"),
            ("[log]\nlevel = \"loud\"", &[], "`loud` is no level"),
            ("[channels.telegram.main]\n", &[], "missing field `token`"),
            ("", &[("NGB_WEB__PROT", "1")], "the variable `NGB_WEB__PROT`: unknown setting `prot`"),
            ("", &[("NGB_WEB__PORT", "x")], "the variable `NGB_WEB__PORT`: invalid type"),
        ];
        for (text, env, needle) in table {
            let err = load(text, env).expect_err(text).to_string();
            assert!(err.contains(needle), "{text} {env:?}: {err}");
        }
        let err = load("[web]\nprot = 1", &[]).unwrap_err();
        assert!(matches!(err, SettingsError::UnknownKey { nearest: Some(it), .. } if it == "port"));
    }

    #[test]
    fn the_environment_overrides() {
        let env = [
            ("NGB_WEB__PORT", "9000"),
            ("NGB_AGENT__MAX_RUNS", "4"),
            ("NGB_CHANNELS__TELEGRAM__MAIN__TOKEN", "123:abc"),
            ("NGB_CHANNELS__TELEGRAM__MAIN__API_URL", "http://127.0.0.1:1"),
            ("NGB_EGRESS__HOSTS", "[\"a.example\"]"),
            ("NGB_HOME", "/nowhere"),
        ];
        let got = load("[web]\nport = 1\nbind = \"0.0.0.0:7\"", &env).unwrap();
        assert_eq!(got.web.port, Some(9000));
        assert_eq!(got.web.bind.unwrap().port, Some(7));
        assert_eq!(got.agent.max_runs, 4);
        assert_eq!(got.egress.hosts[0].to_string(), "a.example");
        let telegram = &got.channels.telegram["main"];
        assert_eq!(
            telegram.token.resolve("", &Environment::default()).unwrap().expose(),
            "123:abc"
        );
        assert_eq!(telegram.api_url.as_deref(), Some("http://127.0.0.1:1"));
    }
}
