//! Groups and bindings: an agent's home, and the places that belong to it.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc, time::Duration};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    address::Place,
    driver::{Driver, ModelName},
    egress::{Egress, HostRule},
    id::{BindingId, GroupId},
    mount::Mount,
    price::Money,
    queue::Queue,
    reset::Reset,
    role::Role,
    toolbox::{McpServer, Toolbox},
};

/// An agent's home: a folder, memory, settings, limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: GroupId,
    pub name: GroupName,
    /// Its folder under `<home>/groups`.
    pub folder: FolderName,
    /// The operator's own group: needs no trigger, may manage the others.
    pub is_main: bool,
    /// Whether its agent rests: messages are kept and wait, and no run begins.
    pub paused: bool,
    pub limits: Limits,
}

/// What a group's agent may use. One record, shown and set as a whole, taken up by the next run.
///
/// What a later version wrote into it is read without what this one doesn't know, so that one can go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Who answers, where that is another one than `[agent] driver`.
    pub driver: Option<Driver>,
    /// Its model, where that is another one than `[agent] model`: `<provider>/<model>`.
    #[schemars(with = "Option<String>")]
    pub model: Option<ModelName>,
    /// Lanes of the group that may run at a time.
    pub max_parallel: u32,
    pub memory_mib: u64,
    /// Processor time, in thousandths of a core.
    pub cpu_millis: u32,
    pub pids: u32,
    /// Largest file that the agent may write, in MiB.
    pub file_mib: u64,
    /// What the group's folder and the lane's may hold together, in MiB.
    pub disk_mib: u64,
    /// Longest that one run may take.
    pub run_seconds: u64,
    /// Longest that a run may say nothing at all.
    pub silence_seconds: u64,
    /// Runs a day.
    pub runs_per_day: u64,
    /// Tokens a day, in and out together; none is no cap.
    pub tokens_per_day: Option<u64>,
    /// What its models may cost a day, in the currency of `[prices]`; none is no cap. What has no price there is not bought then.
    #[schemars(with = "Option<f64>")]
    pub cost_per_day: Option<Money>,
    /// When a conversation begins anew by itself.
    pub session_reset: Reset,
    /// Folders and files of the host that its agents see besides their own.
    pub mounts: Vec<Mount>,
    /// Variables of the agent's environment. None of them is a secret: whatever runs inside reads them.
    pub environment: BTreeMap<String, String>,
    /// How far its agents get besides their model: `none`, `list`, `web`.
    pub egress: Egress,
    /// Hosts that its agents may reach besides those of `[egress] hosts`, and sets of them: `python`, `node`, `rust`, `github`,
    /// `debian`.
    pub hosts: Vec<HostRule>,
    /// The only tools that its agents may use; none is all.
    pub tools: Option<Vec<String>>,
    /// Tools that a person allows in the chat each time; silence is a no. `mcp__SERVER__*` is all of a server's.
    pub approve_tools: Vec<String>,
    /// Who has at least this role may allow them; none is whoever asked, and operators.
    pub approve_role: Option<Role>,
    /// MCP servers by name, whose tools its agents have as `mcp__NAME__TOOL`.
    pub mcp: BTreeMap<String, McpServer>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            driver: None,
            model: None,
            max_parallel: 4,
            memory_mib: 512,
            cpu_millis: 1_000,
            pids: 256,
            file_mib: 256,
            disk_mib: 2_048,
            run_seconds: 30 * 60,
            silence_seconds: 5 * 60,
            runs_per_day: 200,
            tokens_per_day: None,
            cost_per_day: None,
            session_reset: Reset::Never,
            mounts: Vec::new(),
            environment: BTreeMap::new(),
            egress: Egress::default(),
            hosts: Vec::new(),
            tools: None,
            approve_tools: Vec::new(),
            approve_role: None,
            mcp: BTreeMap::new(),
        }
    }
}

impl Limits {
    pub fn run(&self) -> Duration {
        Duration::from_secs(self.run_seconds)
    }

    /// What the agent of a run is told of its tools.
    pub fn toolbox(&self) -> Toolbox {
        Toolbox {
            tools: self.tools.clone(),
            approve: self.approve_tools.clone(),
            mcp: self.mcp.clone(),
        }
    }

    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_seconds)
    }
}

/// A place that belongs to a group, and when it engages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub id: BindingId,
    pub group: GroupId,
    /// Without a thread it covers the whole chat.
    pub place: Place,
    pub engage: Engage,
    pub scope: Scope,
    pub senders: Senders,
    /// How its messages wait for the agent.
    pub queue: Queue,
    pub exceptions: Exceptions,
}

/// Who is heard in a bound place in another way than the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exceptions {
    /// By the platform's stable id of the sender.
    pub senders: BTreeMap<String, Hearing>,
    /// How often in an hour a bot may have the agent answer it there; 0 is never. Two bots that answer each other end by it.
    pub bots_per_hour: u32,
}

/// When one sender is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hearing {
    /// Whatever they write is for the agent.
    Always,
    /// Only when they address it.
    Mention,
    /// Not at all; what they write is context.
    Never,
}

/// When a message in a bound place is for the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engage {
    /// The bot is mentioned, answered, or written to alone.
    #[default]
    Mention,
    /// Every message.
    Always,
    /// The text matches, or the bot is addressed in a way that [`Engage::Mention`] would take.
    Trigger(Trigger),
    /// No message: all that is written is context.
    Never,
}

impl Engage {
    /// How it is stored: a word and, for a trigger, its pattern.
    pub fn as_parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Mention => ("mention", None),
            Self::Always => ("always", None),
            Self::Trigger(it) => ("trigger", Some(it.as_str())),
            Self::Never => ("never", None),
        }
    }

    /// The opposite of [`Engage::as_parts`].
    pub fn from_parts(word: &str, pattern: Option<&str>) -> Result<Self, BadTrigger> {
        Ok(match (word, pattern) {
            ("always", _) => Self::Always,
            ("never", _) => Self::Never,
            ("trigger", Some(pattern)) => Self::Trigger(pattern.parse()?),
            _ => Self::Mention,
        })
    }
}

/// A pattern that makes a chat engage: linear-time, size-limited, case-insensitive.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<Regex>);

/// Longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 500;

/// Largest compiled pattern, in bytes.
const MAX_COMPILED_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadTrigger {
    #[error("the trigger has {0} bytes; it may have {MAX_PATTERN_BYTES}")]
    TooLong(usize),
    #[error("`{pattern}` is no regular expression: {why}")]
    Syntax { pattern: String, why: String },
}

impl Trigger {
    /// `^@name\b`, the usual one.
    pub fn for_name(name: &str) -> Self {
        let pattern = format!(r"^@{}\b", regex::escape(name));
        pattern.parse().expect("an escaped name is a pattern")
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Where in `text` it first matches, in bytes.
    pub fn finds(&self, text: &str) -> Option<usize> {
        self.0.find(text).map(|it| it.start())
    }
}

impl PartialEq for Trigger {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Trigger {}

impl FromStr for Trigger {
    type Err = BadTrigger;

    fn from_str(s: &str) -> Result<Self, BadTrigger> {
        if MAX_PATTERN_BYTES < s.len() {
            return Err(BadTrigger::TooLong(s.len()));
        }
        RegexBuilder::new(s)
            .case_insensitive(true)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map(|it| Self(Arc::new(it)))
            .map_err(|err| BadTrigger::Syntax {
                pattern: s.to_owned(),
                why: err.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })
    }
}

/// What shares one conversation: the lane is (group, scope).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The thread where there is one, else the chat.
    #[default]
    Thread,
    /// The chat with all its threads.
    Chat,
    /// Each person of the chat has a conversation of their own.
    Sender,
    /// Everything bound to the group.
    Group,
}

impl Scope {
    pub const ALL: &[Self] = &[Self::Thread, Self::Chat, Self::Sender, Self::Group];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Chat => "chat",
            Self::Sender => "sender",
            Self::Group => "group",
        }
    }

    /// The scope that [`Scope::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.as_str() == s)
    }

    /// The lane's key within its group, for a message of `sender` in `place`.
    pub fn key(self, place: &Place, sender: &str) -> String {
        match self {
            Self::Thread => place.to_string(),
            Self::Chat => place.jid.to_string(),
            Self::Sender => format!("{}#{sender}", place.jid),
            Self::Group => "group".to_owned(),
        }
    }
}

/// Who may speak in an approved place.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Senders {
    #[default]
    Everyone,
    /// Only people who were approved by name.
    Known,
}

impl Senders {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Known => "known",
        }
    }

    /// The policy that [`Senders::as_str`] names.
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Everyone, Self::Known].into_iter().find(|it| it.as_str() == s)
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { $what:literal, $max:literal, $ok:expr }),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(s: &str) -> Result<Self, BadName> {
                let ok: fn(&str) -> bool = $ok;
                if s.is_empty() || $max < s.chars().count() || !ok(s) {
                    return Err(BadName { what: $what, name: s.chars().take(80).collect() });
                }
                Ok(Self(s.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(s: String) -> Result<Self, BadName> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> Self {
                it.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// A group's name, as people see it: 1 to 60 characters, none of them a control, no white space at either end.
    GroupName { "group name (1 to 60 characters on one line)", 60, |s| s.trim() == s && !s.contains(char::is_control) },
    /// A folder's name: 1 to 60 of `a-z 0-9 _ -`, so that it is one on every file system, and never a path.
    FolderName { "folder name (1 to 60 of a-z, 0-9, `_`, `-`)", 60,
        |s| s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-')) },
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{name}` is no {what}")]
pub struct BadName {
    what: &'static str,
    name: String,
}

impl FolderName {
    /// A folder name like `name`: letters and digits kept, the rest turned into `-`; `group` where nothing is left.
    pub fn like(name: &str) -> Self {
        let mut res = String::new();
        for c in name.to_lowercase().chars() {
            if c.is_ascii_alphanumeric() {
                res.push(c);
            } else if !res.ends_with('-') && !res.is_empty() {
                res.push('-');
            }
        }
        res.truncate(60);
        let res = res.trim_end_matches('-');
        Self(if res.is_empty() { "group" } else { res }.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn trigger_table() {
        let andy = Trigger::for_name("Andy");
        #[rustfmt::skip]
        let table = [
            (&andy, "@Andy hello",    true),
            (&andy, "@andy",          true),
            (&andy, "@andyman",       false),
            (&andy, "hi @Andy",       false),
        ];
        for (trigger, text, want) in table {
            assert_eq!(trigger.matches(text), want, "{text}");
        }
    }

    #[test]
    fn a_bad_trigger_says_why() {
        let err = "(a".parse::<Trigger>().unwrap_err().to_string();
        assert!(err.contains("`(a`") && err.contains("unclosed group"), "{err}");
        assert!("a".repeat(501).parse::<Trigger>().unwrap_err().to_string().contains("501 bytes"));
        assert!("(a{1000}){1000}".parse::<Trigger>().is_err(), "compiled size is limited");
    }

    #[test]
    fn scope_keys() {
        let jid: crate::address::Jid = "telegram@main:-1".parse().unwrap();
        let place = Place { jid, thread: Some("7".into()) };
        #[rustfmt::skip]
        let table = [
            (Scope::Thread, "telegram@main:-1/7"),
            (Scope::Chat,   "telegram@main:-1"),
            (Scope::Sender, "telegram@main:-1#ann"),
            (Scope::Group,  "group"),
        ];
        for (scope, want) in table {
            assert_eq!(scope.key(&place, "ann"), want);
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
    }

    #[test]
    fn names_are_checked() {
        #[rustfmt::skip]
        let table = [
            ("home", true), ("a-b_9", true), ("", false), ("..", false), ("a/b", false), ("A", false), ("家", false),
        ];
        for (name, want) in table {
            assert_eq!(name.parse::<FolderName>().is_ok(), want, "{name}");
        }
        assert!("家 home".parse::<GroupName>().is_ok());
        assert!(" x".parse::<GroupName>().is_err());
        assert_eq!(FolderName::like("My Family!").as_str(), "my-family");
        assert_eq!(FolderName::like("家").as_str(), "group");
    }

    proptest! {
        #[test]
        fn a_folder_like_anything_is_a_folder_name(s in ".{0,100}") {
            let folder = FolderName::like(&s);
            prop_assert!(folder.as_str().parse::<FolderName>().is_ok(), "{folder}");
        }

        #[test]
        fn any_pattern_compiles_or_is_refused(s in ".{0,100}") {
            if let Ok(trigger) = s.parse::<Trigger>() {
                trigger.matches("some text");
            }
        }
    }
}
