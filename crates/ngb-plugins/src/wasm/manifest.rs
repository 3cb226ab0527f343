//! `plugin.toml`: what a plugin says about itself, and what it asks for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::Error as _};

/// The version of `wit/plugin.wit` that this gateway speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// The longest name of a plugin, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// One point where plugins are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WasmHook {
    MessageReceived,
    MessageSending,
    RunStarting,
    RunFinished,
    GroupRegistered,
    GroupUnregistered,
    Tick,
    /// No hook of the chain: what is handed over when the plugin is replaced.
    State,
}

impl WasmHook {
    pub const ALL: [Self; 8] = [
        Self::MessageReceived,
        Self::MessageSending,
        Self::RunStarting,
        Self::RunFinished,
        Self::GroupRegistered,
        Self::GroupUnregistered,
        Self::Tick,
        Self::State,
    ];

    /// The name of its interface, and in `plugin.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageReceived => "message-received",
            Self::MessageSending => "message-sending",
            Self::RunStarting => "run-starting",
            Self::RunFinished => "run-finished",
            Self::GroupRegistered => "group-registered",
            Self::GroupUnregistered => "group-unregistered",
            Self::Tick => "tick",
            Self::State => "state",
        }
    }
}

/// Something that a plugin may ask of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    Log,
    Kv,
    Config,
    SendMessage,
    GroupsRead,
    EnqueueRun,
    QueueRead,
    Http,
    Clock,
    Random,
    Metrics,
}

/// The name of a capability that there isn't.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no capability `{0}`; known: {known}", known = Capability::names())]
pub struct NoCapability(pub String);

impl Capability {
    pub const ALL: [Self; 11] = [
        Self::Log,
        Self::Kv,
        Self::Config,
        Self::SendMessage,
        Self::GroupsRead,
        Self::EnqueueRun,
        Self::QueueRead,
        Self::Http,
        Self::Clock,
        Self::Random,
        Self::Metrics,
    ];

    /// Its name in `plugin.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Kv => "kv",
            Self::Config => "config",
            Self::SendMessage => "send-message",
            Self::GroupsRead => "groups:read",
            Self::EnqueueRun => "enqueue-run",
            Self::QueueRead => "queue:read",
            Self::Http => "http",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Metrics => "metrics",
        }
    }

    /// The name of its interface: WIT allows no colon.
    pub fn interface(self) -> &'static str {
        self.as_str().split(':').next().unwrap_or_default()
    }

    /// What the operator is told that it allows.
    pub fn explained(self) -> &'static str {
        match self {
            Self::Log => "write to its own log",
            Self::Kv => "keep up to 1 MiB in the database",
            Self::Config => "read its own settings",
            Self::SendMessage => "send messages to these chats",
            Self::GroupsRead => "read the names and chats of all groups",
            Self::EnqueueRun => "let agents work, which costs what a model costs",
            Self::QueueRead => "read how many jobs wait and run",
            Self::Http => "ask these hosts",
            Self::Clock => "read the time",
            Self::Random => "get random bytes",
            Self::Metrics => "count things",
        }
    }

    /// Whether it is given for named chats or hosts only.
    pub fn is_scoped(self) -> bool {
        matches!(self, Self::SendMessage | Self::Http)
    }

    fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capability {
    type Err = NoCapability;

    fn from_str(s: &str) -> Result<Self, NoCapability> {
        Self::ALL.into_iter().find(|it| it.as_str() == s).ok_or_else(|| NoCapability(s.to_owned()))
    }
}

/// Capabilities with the chats or hosts that they are for; empty where a capability has no such list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub BTreeMap<Capability, Vec<String>>);

impl Capabilities {
    pub fn has(&self, it: Capability) -> bool {
        self.0.contains_key(&it)
    }

    /// Whether `it` is there for `thing`: one of its names is the same, or ends in `*` and begins it.
    pub fn allows(&self, it: Capability, thing: &str) -> bool {
        self.0.get(&it).is_some_and(|names| {
            names.iter().any(|name| match name.strip_suffix('*') {
                Some(start) => thing.starts_with(start),
                None => thing == name,
            })
        })
    }

    /// Those of `self` that `other` has not, or has for fewer things.
    pub fn beyond(&self, other: &Self) -> Vec<Capability> {
        let more = |(it, names): &(&Capability, &Vec<String>)| match other.0.get(it) {
            None => true,
            Some(theirs) => names.iter().any(|name| !theirs.contains(name)),
        };
        self.0.iter().filter(more).map(|(it, _)| *it).collect()
    }
}

/// In TOML and JSON: `{ "log": true, "http": ["api.example.com"] }`.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Scope {
    Whole(bool),
    Named(Vec<String>),
}

impl Serialize for Capabilities {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(it, names)| {
            let scope =
                if it.is_scoped() { Scope::Named(names.clone()) } else { Scope::Whole(true) };
            (it.as_str(), scope)
        }))
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::new();
        for (name, scope) in BTreeMap::<String, Scope>::deserialize(deserializer)? {
            let it: Capability = name.parse().map_err(D::Error::custom)?;
            match scope {
                Scope::Whole(false) => (),
                Scope::Whole(true) if it.is_scoped() => {
                    return Err(D::Error::custom(format!(
                        "capability `{it}` names what it is for: `{it} = [\"…\"]`"
                    )));
                }
                Scope::Whole(true) => drop(all.insert(it, Vec::new())),
                Scope::Named(_) if !it.is_scoped() => {
                    return Err(D::Error::custom(format!(
                        "capability `{it}` takes no names: `{it} = true`"
                    )));
                }
                Scope::Named(names) => drop(all.insert(it, names)),
            }
        }
        Ok(Self(all))
    }
}

/// What a plugin is written in, for `plugin build`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Rust,
    JavaScript,
    Python,
}

/// What `plugin.toml` says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Small letters, digits, `-` and `_`, a letter first.
    pub name: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The version of the WIT package that it was written for.
    #[serde(default = "wit_version")]
    pub wit: String,
    pub hooks: Vec<WasmHook>,
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Messages wait while it fails, instead of passing.
    #[serde(default)]
    pub required: bool,
    /// Its settings, as they are until somebody changes them.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// A JSON schema of `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<serde_json::Value>,
}

fn wit_version() -> String {
    WIT_VERSION.to_owned()
}

/// Why a `plugin.toml` can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("plugin.toml can't be read: {0}")]
    Unreadable(String),
    #[error(
        "`{0}` is no name for a plugin: up to {MAX_NAME_BYTES} of a-z, 0-9, `-` and `_`, a letter first"
    )]
    Name(String),
    #[error(
        "the plugin was written for version {0} of nanogridbot:plugin; this gateway speaks {WIT_VERSION}"
    )]
    Version(String),
    #[error("plugin.toml names no hook, so the plugin would never be asked")]
    NoHook,
}

impl FromStr for Manifest {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let it: Self =
            toml::from_str(text).map_err(|err| ManifestError::Unreadable(err.to_string()))?;
        check_name(&it.name)?;
        if it.wit != WIT_VERSION {
            return Err(ManifestError::Version(it.wit));
        }
        if it.hooks.iter().all(|hook| *hook == WasmHook::State) {
            return Err(ManifestError::NoHook);
        }
        Ok(it)
    }
}

/// Whether `name` is one for a plugin; it is also the name of its folder.
///
/// # Errors
/// If it is not.
pub fn check_name(name: &str) -> Result<(), ManifestError> {
    let fits = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '-' | '_');
    let ok = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.chars().all(fits);
    if ok { Ok(()) } else { Err(ManifestError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_table() {
        let base = "name = 'dice'\nversion = '1.0.0'\nhooks = ['message-received']\n";
        let table: &[(&str, &str)] = &[
            ("", ""),
            ("[capabilities]\nlog = true\nhttp = ['api.example.com']", ""),
            ("[capabilities]\nlog = false", ""),
            ("[capabilities]\nhttp = true", "capability `http` names what it is for"),
            ("[capabilities]\nkv = ['a']", "capability `kv` takes no names"),
            ("[capabilities]\nfiles = true", "there is no capability `files`"),
            ("wit = '0.2.0'", "version 0.2.0 of nanogridbot:plugin"),
            ("colour = 'red'", "unknown field `colour`"),
        ];
        for (more, want) in table {
            match format!("{base}{more}").parse::<Manifest>() {
                Ok(it) => {
                    assert!(want.is_empty(), "{more}");
                    let again = toml::to_string(&it).unwrap().parse::<Manifest>().unwrap();
                    assert_eq!(again.capabilities, it.capabilities, "{more}");
                }
                Err(err) => {
                    assert!(!want.is_empty() && err.to_string().contains(want), "{more}: {err}");
                }
            }
        }
    }

    #[test]
    fn names_table() {
        for good in ["a", "dice", "my-plugin_2"] {
            check_name(good).unwrap();
        }
        for bad in ["", "2x", "../x", "A", "a b", "a/b", "-a", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_allowed_is_named() {
        let names = vec!["telegram@main:1".to_owned(), "web@*".to_owned()];
        let all = Capabilities([(Capability::SendMessage, names)].into());
        let table = [
            ("telegram@main:1", true),
            ("telegram@main:12", false),
            ("web@default:x", true),
            ("slack@a:b", false),
        ];
        for (chat, want) in table {
            assert_eq!(all.allows(Capability::SendMessage, chat), want, "{chat}");
        }
        assert!(!all.allows(Capability::Http, "telegram@main:1"));
    }
}
