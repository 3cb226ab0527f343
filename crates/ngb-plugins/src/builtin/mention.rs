//! `mention`: other names by which the agent is meant, beside those that the platform and the binding know.
//!
//! It decides nothing: it says that the bot is meant, and the binding's own rule (`engage`) decides, as after a mention of the
//! platform.

use async_trait::async_trait;
use ngb_core::group::Trigger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Made, settings};
use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Hook, Part, Received, Verdict},
};

/// Most names, those of all groups together.
const MAX_NAMES: usize = 100;

/// Its settings.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Names after an `@`, anywhere in the text, whatever the case. None: the name of the group whose agent it is.
    names: Vec<String>,
    /// Names that count without an `@`, too, where the text begins with them: "Andy, what ...".
    called: Vec<String>,
    /// Whether every message is meant for the agent.
    always: bool,
}

pub(crate) fn check(config: &Value) -> Result<(), String> {
    names(config).map(drop)
}

/// A name and what finds it.
type Name = (String, Trigger);

pub(crate) struct Names {
    at: Vec<Name>,
    called: Vec<Name>,
    always: bool,
}

fn names(config: &Value) -> Result<Names, String> {
    let Settings { names, called, always } = settings(config)?;
    if MAX_NAMES < names.len() + called.len() {
        return Err(format!("there may be {MAX_NAMES} names"));
    }
    let made = |names: Vec<String>, find: fn(&str) -> String| {
        let made = names.into_iter().map(|it| {
            let name = it.trim().trim_start_matches('@').to_owned();
            if name.is_empty() {
                return Err("a name is empty".to_owned());
            }
            let trigger = find(&name).parse().map_err(|err| format!("`{name}`: {err}"))?;
            Ok((name, trigger))
        });
        made.collect::<Result<Vec<Name>, String>>()
    };
    Ok(Names { at: made(names, after_at)?, called: made(called, at_the_start)?, always })
}

/// The end of a name: no letter follows, but one of a script that has no spaces.
const END: &str = r"(?:\W|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]|$)";

/// `@name`, not within an address of mail.
fn after_at(name: &str) -> String {
    format!(r"(?:^|[^a-zA-Z0-9_.@])@{}{END}", regex::escape(name))
}

fn at_the_start(name: &str) -> String {
    format!(r"^\s*@?{}{END}", regex::escape(name))
}

impl Names {
    /// By what name the bot is meant.
    fn find(&self, it: &Received) -> Option<String> {
        let found = self.at.iter().chain(&self.called).find(|name| name.1.matches(&it.text));
        if let Some((name, _)) = found {
            return Some(format!("it names `{name}`"));
        }
        if self.at.is_empty()
            && let Some(group) = &it.group
            && let Ok(trigger) = after_at(group.as_str()).parse::<Trigger>()
            && trigger.matches(&it.text)
        {
            return Some(format!("it names `{group}`"));
        }
        self.always.then(|| "every message is".to_owned())
    }
}

pub(crate) struct Mention(Made<Names>);

impl Mention {
    pub(crate) fn new() -> Self {
        Self(Made::new())
    }
}

#[async_trait]
impl Plugin for Mention {
    fn name(&self) -> &str {
        "mention"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::MessageReceived]
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        let names = self.0.of(config, names)?;
        let Event::MessageReceived(it) = event else { return Ok(Verdict::Pass) };
        if it.part != Part::Text || it.is_meant {
            return Ok(Verdict::Pass);
        }
        Ok(names.find(it).map_or(Verdict::Pass, Verdict::Meant))
    }
}
