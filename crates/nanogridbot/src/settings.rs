//! Settings: one tree, read once, into types that are valid.
//!
//! `config.toml` under the home, then `<home>/.env`, then the environment: `NGB_WEB__PORT=9000` overrides `port` in
//! `[web]`. A value that reads as a TOML number, boolean or list is one; everything else is text.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ngb_core::{
    address::{Account, ChannelKind},
    frame::ProviderKind,
    route::NewChats,
    secret::Secret,
};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use toml::{Table, Value};

use crate::shown;

/// The whole tree.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) web: Web,
    pub(crate) database: Database,
    pub(crate) agent: Agent,
    pub(crate) providers: BTreeMap<String, Provider>,
    pub(crate) sandbox: Sandbox,
    pub(crate) egress: Egress,
    pub(crate) network: Network,
    pub(crate) channels: Channels,
    pub(crate) log: Log,
    pub(crate) retention: Retention,
}

/// `[web]`: the page and the API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Web {
    /// Where to listen: an address, or an address with a port. Default `127.0.0.1`; anything wider needs a `token`.
    pub(crate) bind: Option<Bind>,
    /// The port; default 8080, or the next free one.
    pub(crate) port: Option<u16>,
    /// A token for the API and the page, besides the one-time links.
    pub(crate) token: Option<SecretSetting>,
    /// Where platforms call `/hooks/<channel>/<account>`; default on the same address as the page.
    pub(crate) hooks_bind: Option<SocketAddr>,
    /// The address under which people and platforms reach this gateway.
    pub(crate) public_url: Option<String>,
}

/// `[database]`: where messages, groups and runs are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// `sqlite:///path/to/file` or `postgres://…`; default a file under the home.
    #[serde(serialize_with = "shown::url")]
    pub(crate) url: Option<String>,
}

/// `[agent]`: who answers, and with which limits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Agent {
    /// `auto` (default: `builtin` when a model is set or found, else `demo`), `builtin`, `demo`.
    pub(crate) driver: String,
    /// `<provider>/<model>`, where `<provider>` is the name of a section below; default the first that the usual variables
    /// (`ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `OPENAI_API_KEY`) give a key for.
    pub(crate) model: Option<String>,
    /// What fits into the model, in tokens; default 128,000.
    pub(crate) window_tokens: u64,
    /// The longest answer of the model, in tokens; default 8,192.
    pub(crate) max_output_tokens: u64,
    /// Runs at a time; default 16.
    pub(crate) max_runs: usize,
    /// Memory of live agents, in MiB; default a quarter of the machine's.
    pub(crate) max_live_mib: Option<u64>,
    /// How long an agent is kept for its next message; default `10m`.
    #[serde(deserialize_with = "duration", serialize_with = "shown::duration")]
    pub(crate) idle: Duration,
    /// Wait before the first retry; default `5s`.
    #[serde(deserialize_with = "duration", serialize_with = "shown::duration")]
    pub(crate) retry_base: Duration,
    /// The time zone that agents are told, an IANA name; default the machine's.
    pub(crate) zone: Option<String>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            driver: "auto".to_owned(),
            model: None,
            window_tokens: 128_000,
            max_output_tokens: 8_192,
            max_runs: 16,
            max_live_mib: None,
            idle: Duration::from_secs(10 * 60),
            retry_base: ngb_core::job::BASE_BACKOFF,
            zone: None,
        }
    }
}

/// `[providers.<name>]`: who answers for a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// What its API looks like: `anthropic`, `openai`, `ollama`.
    pub(crate) kind: ProviderKind,
    /// Where it is; default the provider's own address.
    #[serde(serialize_with = "shown::url")]
    pub(crate) base_url: Option<String>,
    /// Its key; default none.
    pub(crate) api_key: Option<SecretSetting>,
    /// How the key is sent: `x-api-key`, `bearer`, `api-key`; default what the kind expects.
    pub(crate) auth: Option<String>,
    /// Further headers of each request.
    #[serde(default, serialize_with = "shown::headers")]
    pub(crate) headers: BTreeMap<String, String>,
}

/// `[sandbox]`: how agents are kept apart from this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// `auto` (default: the first that is proved), `native`, `bare` (no isolation at all).
    #[serde(deserialize_with = "engine")]
    pub(crate) engine: String,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { engine: "auto".to_owned() }
    }
}

/// `[egress]`: what agents may reach besides their model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Egress {
    /// Hosts that `fetch` may ask; default none.
    pub(crate) hosts: Vec<String>,
}

/// `[network]`: how this program reaches platforms and models.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Network {
    /// `http://`, `https://` or `socks5://`, with a user and password if need be; default the usual variables.
    #[serde(serialize_with = "shown::url")]
    pub(crate) proxy: Option<String>,
    /// Hosts that are reached without it, separated by commas.
    pub(crate) no_proxy: Option<String>,
    /// Further certificates to trust, a PEM file.
    pub(crate) ca_file: Option<PathBuf>,
}

/// One section a bot: `[channels.<kind>.<account>]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Channels {
    pub(crate) telegram: BTreeMap<String, Telegram>,
}

/// `[channels.telegram.<account>]`: a bot of Telegram's; `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telegram {
    /// The bot's token, from BotFather.
    pub(crate) token: SecretSetting,
    /// Where the Bot API is; default `https://api.telegram.org`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// Receive by webhook under `[web] public_url` instead of polling; the secret that Telegram has to show.
    pub(crate) webhook_secret: Option<SecretSetting>,
}

/// `[log]`: what is logged to standard error and to `<home>/logs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info` (default), `debug`, `trace`.
    pub(crate) level: String,
    /// `text` (default) or `json`.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `[retention]`: what is forgotten, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// How long messages are kept, e.g. `90d`; default for ever.
    #[serde(deserialize_with = "maybe_duration", serialize_with = "shown::maybe_duration")]
    pub(crate) keep: Option<Duration>,
}

/// An address to listen on, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

impl std::str::FromStr for Bind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Ok(ip) = s.parse::<IpAddr>() {
            return Ok(Self { ip, port: None });
        }
        match s.parse::<SocketAddr>() {
            Ok(it) => Ok(Self { ip: it.ip(), port: Some(it.port()) }),
            Err(_) => {
                Err(format!("`{s}` is no address; write one like `127.0.0.1` or `0.0.0.0:8080`"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A secret as it is written: itself, `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretSetting(Secret);

impl Serialize for SecretSetting {
    /// Where the secret is, or that there is one.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.0.expose();
        let is_place = text.starts_with("env:") || text.starts_with("file:");
        to.serialize_str(if is_place { text } else { shown::HIDDEN })
    }
}

impl Serialize for Bind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.port {
            Some(port) => to.collect_str(&SocketAddr::new(self.ip, port)),
            None => to.collect_str(&self.ip),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

fn maybe_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn engine<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "auto" | "native" | "bare" => Ok(text),
        _ => {
            let why = format!("unknown engine `{text}`; known: auto, native, bare");
            Err(serde::de::Error::custom(why))
        }
    }
}

/// `90s`, `10m`, `1h 30m`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: Result<jiff::Span, _> = text.parse();
    let day = jiff::SpanRelativeTo::days_are_24_hours();
    let length = span.and_then(|it| it.to_duration(day)).ok();
    length.and_then(|it| Duration::try_from(it).ok()).ok_or_else(|| {
        format!("`{text}` is no length of time; write one like `30s`, `10m`, `2h` or `7d`")
    })
}

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

impl Settings {
    /// Reads the file, if it is there or was named, and puts the environment on top.
    pub(crate) fn load(file: &Path, named: bool, env: &Environment) -> Result<Self, SettingsError> {
        let path = file.display().to_string();
        let mut table = match std::fs::read_to_string(file) {
            Ok(text) => text.parse::<Table>().map_err(|err| SettingsError::Syntax {
                path: path.clone(),
                // Not the error's own text: it quotes the line, and that may hold a secret.
                why: match err.span().and_then(|it| text.get(..it.start)) {
                    Some(before) => {
                        format!("line {}: {}", before.matches('\n').count() + 1, err.message())
                    }
                    None => err.message().to_owned(),
                },
            })?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound && !named => Table::new(),
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        // The file is checked by itself first, so that an error names the right place.
        from_table(table.clone(), &format!("`{path}`"))?;
        for (name, value) in &env.0 {
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
                put(&mut table, &keys, Value::String(value.clone()));
                // A section is only whole once all its variables are there, so a missing one is found at the end.
                match from_table(table.clone(), &format!("the variable `{name}`")) {
                    Err(SettingsError::BadValue { why, .. }) if why.contains("missing field") => (),
                    other => drop(other?),
                }
            }
        }
        from_table(table, "the settings")
    }

    /// What is secret without being a setting of its own: passwords in addresses, values of headers.
    pub(crate) fn hidden(&self) -> Vec<Secret> {
        let urls = [self.database.url.as_deref(), self.network.proxy.as_deref()];
        let of_providers = self.providers.values().map(|it| it.base_url.as_deref());
        let of_accounts = self.channels.telegram.values().map(|it| it.api_url.as_deref());
        let urls = urls.into_iter().chain(of_providers).chain(of_accounts).flatten();
        let passwords = urls.filter_map(|it| shown::password(it)).map(Secret::new);
        let headers = self.providers.values().flat_map(|it| it.headers.values());
        passwords.chain(headers.map(|it| Secret::new(it.as_str()))).collect()
    }

    /// Every secret there is, for the redactor.
    pub(crate) fn secret_settings(&self) -> Vec<(String, &SecretSetting)> {
        let mut all = Vec::new();
        if let Some(token) = &self.web.token {
            all.push(("web.token".to_owned(), token));
        }
        for (name, provider) in &self.providers {
            if let Some(key) = &provider.api_key {
                all.push((format!("providers.{name}.api_key"), key));
            }
        }
        for (name, account) in &self.channels.telegram {
            all.push((format!("channels.telegram.{name}.token"), &account.token));
            if let Some(secret) = &account.webhook_secret {
                all.push((format!("channels.telegram.{name}.webhook_secret"), secret));
            }
        }
        all
    }

    /// The names of the accounts, checked.
    pub(crate) fn telegram_accounts(&self) -> Result<Vec<(Account, &Telegram)>, SettingsError> {
        let mut accounts = Vec::new();
        for (name, it) in &self.channels.telegram {
            let account = Account::new(ChannelKind::Telegram, name).map_err(|err| {
                let from = format!("[channels.telegram.{name}]");
                SettingsError::BadValue { from, why: err.to_string() }
            })?;
            accounts.push((account, it));
        }
        Ok(accounts)
    }
}

impl SecretSetting {
    /// The secret that a variable holds.
    pub(crate) fn from_env(name: &str) -> Self {
        Self(Secret::new(format!("env:{name}")))
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
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Settings::load(&file, true, &Environment(env.iter().map(own).collect()))
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
        assert_eq!(got.egress.hosts, ["a.example"]);
        let telegram = &got.channels.telegram["main"];
        assert_eq!(telegram.token.0.expose(), "123:abc");
        assert_eq!(telegram.api_url.as_deref(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn secrets_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "from-file\n").unwrap();
        let env = Environment([("KEY".to_owned(), "from-env".to_owned())].into());
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
