//! `auto_reply`: answers without an agent.

use async_trait::async_trait;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Made, settings};
use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Hook, Part, Verdict},
};

/// Longest pattern when it is compiled, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Its settings.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The first whose pattern is found answers.
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// A regular expression, whatever the case.
    pattern: String,
    /// What is said: `{sender}`, `{text}`, and `{1}` or `{name}` for what the pattern caught.
    reply: String,
    /// A text in which this is found is left to the agent.
    #[serde(default)]
    ignore: Option<String>,
}

pub(crate) fn check(config: &Value) -> Result<(), String> {
    rules(config).map(drop)
}

type Rules = Vec<(Regex, Option<Regex>, String)>;

fn rules(config: &Value) -> Result<Rules, String> {
    let settings: Settings = settings(config)?;
    let compile = |text: &str| {
        let mut pattern = RegexBuilder::new(text);
        pattern.case_insensitive(true).size_limit(MAX_PATTERN_BYTES);
        pattern.build().map_err(|err| format!("`{text}`: {err}"))
    };
    let rule = |it: Rule| {
        let ignore = it.ignore.as_deref().map(compile).transpose()?;
        Ok((compile(&it.pattern)?, ignore, it.reply))
    };
    settings.rules.into_iter().map(rule).collect()
}

pub(crate) struct AutoReply(Made<Rules>);

impl AutoReply {
    pub(crate) fn new() -> Self {
        Self(Made::new())
    }
}

#[async_trait]
impl Plugin for AutoReply {
    fn name(&self) -> &str {
        "auto_reply"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::MessageReceived]
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        let rules = self.0.of(config, rules)?;
        let Event::MessageReceived(it) = event else { return Ok(Verdict::Pass) };
        if it.part != Part::Text {
            return Ok(Verdict::Pass);
        }
        for (pattern, ignore, reply) in &*rules {
            let Some(caught) = pattern.captures(&it.text) else { continue };
            if ignore.as_ref().is_some_and(|ignore| ignore.is_match(&it.text)) {
                continue;
            }
            let mut said = reply.clone();
            for (n, name) in pattern.capture_names().enumerate().skip(1) {
                let value = caught.get(n).map_or("", |it| it.as_str());
                said = said.replace(&format!("{{{n}}}"), value);
                if let Some(name) = name {
                    said = said.replace(&format!("{{{name}}}"), value);
                }
            }
            let said = said.replace("{sender}", &it.sender_name).replace("{text}", &it.text);
            return Ok(Verdict::Answer(said));
        }
        Ok(Verdict::Pass)
    }
}
