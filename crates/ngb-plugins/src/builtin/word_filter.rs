//! `word_filter`: what is to become of texts with certain words.

use std::path::{Path, PathBuf};

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

/// Longest list, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// What becomes of a text with a word of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It goes no further.
    Block,
    /// Each word is hidden.
    #[default]
    Mask,
    /// Each word becomes another.
    Replace,
    /// It waits until somebody decides.
    Hold,
    /// It goes on, and `why` tells.
    Alert,
}

/// Its settings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    words: Vec<String>,
    /// Lists, a word a line; lines that begin with `#` are for people. Read when the settings are taken up.
    files: Vec<PathBuf>,
    action: Action,
    /// What stands in the place of a word with `replace`.
    replacement: String,
    incoming: bool,
    outgoing: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            files: Vec::new(),
            action: Action::default(),
            replacement: "…".to_owned(),
            incoming: true,
            outgoing: true,
        }
    }
}

pub(crate) fn check(config: &Value) -> Result<(), String> {
    settings::<Settings>(config).and_then(List::new).map(drop)
}

/// Settings with the words of all lists.
pub(crate) struct List {
    settings: Settings,
    /// None where there are no words.
    words: Option<Regex>,
}

impl List {
    fn new(settings: Settings) -> Result<Self, String> {
        let mut words = settings.words.clone();
        for path in &settings.files {
            let read = read(path);
            let text = read.map_err(|err| format!("could not read `{}`: {err}", path.display()))?;
            words.extend(text.lines().filter(|it| !it.starts_with('#')).map(ToOwned::to_owned));
        }
        let words: Vec<String> =
            words.iter().map(|it| it.trim()).filter(|it| !it.is_empty()).map(pattern).collect();
        if words.is_empty() {
            return Ok(Self { settings, words: None });
        }
        // The longest first: of two that begin alike the longer is hidden whole.
        let mut words = words;
        words.sort_by_key(|it| std::cmp::Reverse(it.len()));
        let all = RegexBuilder::new(&words.join("|")).case_insensitive(true).build();
        let words = all.map_err(|err| format!("the lists are too long: {err}"))?;
        Ok(Self { settings, words: Some(words) })
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|err| err.to_string())?.len();
    if MAX_LIST_BYTES < size {
        return Err(format!("it is longer than {} KiB", MAX_LIST_BYTES >> 10));
    }
    std::fs::read_to_string(path).map_err(|err| err.to_string())
}

/// A word as a pattern: whole words where a language parts them by spaces.
fn pattern(word: &str) -> String {
    let edge = |it: Option<char>| {
        if it.is_some_and(|it| it.is_ascii_alphanumeric()) { r"(?-u:\b)" } else { "" }
    };
    format!("{}{}{}", edge(word.chars().next()), regex::escape(word), edge(word.chars().last()))
}

pub(crate) struct WordFilter(Made<List>);

impl WordFilter {
    pub(crate) fn new() -> Self {
        Self(Made::new())
    }
}

#[async_trait]
impl Plugin for WordFilter {
    fn name(&self) -> &str {
        "word_filter"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::MessageReceived, Hook::MessageSending]
    }

    fn masks(&self) -> bool {
        true
    }

    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError> {
        let list = self.0.of(config, |it| List::new(settings(it)?))?;
        let wanted = match event.hook() {
            Hook::MessageReceived => list.settings.incoming,
            _ => list.settings.outgoing,
        };
        let (Some(text), Some(words)) = (event.text().filter(|_| wanted), &list.words) else {
            return Ok(Verdict::Pass);
        };
        let Some(found) = words.find(text) else { return Ok(Verdict::Pass) };
        let is_quote = matches!(event, Event::MessageReceived(it) if it.part == Part::Quote);
        let hide = |it: &regex::Captures<'_>| "*".repeat(it[0].chars().count());
        Ok(match list.settings.action {
            // A quote is of another message, whose own fate this is not.
            Action::Mask => Verdict::Change(words.replace_all(text, hide).into_owned()),
            Action::Block | Action::Hold if is_quote => {
                Verdict::Change(words.replace_all(text, hide).into_owned())
            }
            Action::Replace => {
                let by = regex::NoExpand(&list.settings.replacement);
                Verdict::Change(words.replace_all(text, by).into_owned())
            }
            Action::Block => Verdict::Drop("it has a word of the list".to_owned()),
            Action::Hold => Verdict::Hold("it has a word of the list".to_owned()),
            Action::Alert => Verdict::Note(format!("`{}` is on the list", found.as_str())),
        })
    }
}
