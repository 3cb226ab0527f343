//! The file: what of a gateway is made by its operator and is not a setting.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use ngb_core::{
    address::Jid,
    group::{Exceptions, Limits, Scope, Senders},
    queue::Queue,
    role::Role,
    schedule::{Misfire, Overlap},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::BadArgument;

/// The only form of the file so far.
const FORMAT: u32 = 1;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) format: u32,
    #[serde(default, rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<Group>,
    #[serde(default, rename = "person", skip_serializing_if = "Vec::is_empty")]
    pub(crate) people: Vec<Person>,
    #[serde(default, rename = "task", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tasks: Vec<Task>,
}

/// A group; its folder tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) folder: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) paused: bool,
    /// Those that are not as usual.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) limits: Map<String, Value>,
    #[serde(default, rename = "binding", skip_serializing_if = "Vec::is_empty")]
    pub(crate) bindings: Vec<Binding>,
}

/// A chat, or a thread of one, that belongs to its group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    pub(crate) jid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    #[serde(default = "mention")]
    pub(crate) engage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pattern: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) scope: Scope,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) senders: Senders,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) queue: Queue,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) exceptions: Exceptions,
}

/// Somebody; an address of theirs tells them from others, else their name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(crate) name: String,
    /// For the whole gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    /// By folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) groups: BTreeMap<String, Role>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
}

/// What is scheduled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// By folder.
    pub(crate) group: String,
    pub(crate) prompt: String,
    pub(crate) schedule_type: String,
    pub(crate) schedule_value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    #[serde(default = "think")]
    pub(crate) does: String,
    #[serde(default = "in_group")]
    pub(crate) context_mode: String,
    /// Where its answers go; without one the group's only chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chat: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) misfire: Misfire,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) overlap: Overlap,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) jitter_s: u32,
    /// Whose rights its runs have.
    #[serde(default = "member")]
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) paused: bool,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

fn mention() -> String {
    "mention".to_owned()
}

fn think() -> String {
    "think".to_owned()
}

fn in_group() -> String {
    "group".to_owned()
}

fn member() -> Role {
    Role::Member
}

fn is_default<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}

impl Document {
    pub(crate) fn new() -> Self {
        Self { format: FORMAT, ..Self::default() }
    }

    /// # Errors
    ///
    /// [`BadArgument`] says what of the file can't be meant.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, BadArgument> {
        let bad = |why: &str| BadArgument(format!("`{}`: {}", file.display(), why.trim_end()));
        let it: Self = toml::from_str(text).map_err(|err| bad(&err.to_string()))?;
        it.check().map_err(|why| bad(&why))?;
        Ok(it)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("`format` is {}; this program knows {FORMAT}", self.format));
        }
        let mut folders = Vec::new();
        for group in &self.groups {
            if folders.contains(&group.folder.as_str()) {
                return Err(format!("there are two groups with the folder `{}`", group.folder));
            }
            folders.push(&group.folder);
            whole_limits(&group.limits).map_err(|why| format!("group `{}`: {why}", group.name))?;
            for binding in &group.bindings {
                whole_address(&binding.jid)?;
            }
        }
        self.tasks.iter().filter_map(|it| it.chat.as_deref()).try_for_each(whole_address)
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> anyhow::Result<String> {
        const HEAD: &str = "# Groups, bindings, people and tasks of a NanoGridBot; `nanogridbot apply FILE` makes them so.\n\n";
        let text = toml::to_string_pretty(self).context("could not write it as TOML")?;
        Ok(HEAD.to_owned() + &text)
    }
}

/// In the file the account is always said: which one is the only one differs from home to home.
fn whole_address(jid: &str) -> Result<(), String> {
    let wrong = |err| format!("{err}; write it like `telegram@main:-100123`");
    jid.parse::<Jid>().map(drop).map_err(wrong)
}

/// All limits, where `given` names some.
pub(super) fn whole_limits(given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let usual = serde_json::to_value(Limits::default()).map_err(|err| err.to_string())?;
    let Value::Object(mut all) = usual else { return Err("limits are no table".to_owned()) };
    for (name, value) in given {
        let Some(limit) = all.get_mut(name) else {
            return Err(format!("there is no limit `{name}`"));
        };
        *limit = value.clone();
    }
    // Through the type, so that what means the same is the same.
    let limits = serde_json::from_value::<Limits>(all.into());
    let limits = limits.and_then(serde_json::to_value).map_err(|err| err.to_string())?;
    match limits {
        Value::Object(all) => Ok(all),
        _ => Err("limits are no table".to_owned()),
    }
}
