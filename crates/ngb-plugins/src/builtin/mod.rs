//! The plugins that the gateway brings along. Each is off until the settings name it.

mod auto_reply;
mod mention;
mod personal;
mod rate_limiter;
mod redactor;
mod word_filter;

use std::sync::Arc;

use ngb_core::clock::Clock;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Config, Plugin, PluginError};

/// What a built-in plugin is, before it is made.
pub struct Builtin {
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Whether what it fails at is held, unless the settings say otherwise.
    pub required: bool,
    make: fn(&Clock) -> Arc<dyn Plugin>,
    check: fn(&Value) -> Result<(), String>,
    schema: fn() -> Value,
}

impl Builtin {
    /// All of them, in the order in which they are asked unless the settings say otherwise.
    pub const ALL: &[Self] = &[
        Self {
            name: "rate_limiter",
            about: "drops what is too much from a chat or a person, and says so once",
            required: false,
            make: |clock| Arc::new(rate_limiter::RateLimiter::new(clock.clone())),
            check: of::<rate_limiter::Limits>,
            schema: shape::<rate_limiter::Limits>,
        },
        Self {
            name: "redactor",
            about: "masks credentials and personal data, on the way in and out",
            required: true,
            make: |_| Arc::new(redactor::Redactor::new()),
            check: redactor::check,
            schema: shape::<redactor::Settings>,
        },
        Self {
            name: "word_filter",
            about: "blocks, masks, replaces, holds or notes what lists of words name",
            required: true,
            make: |_| Arc::new(word_filter::WordFilter::new()),
            check: word_filter::check,
            schema: shape::<word_filter::Settings>,
        },
        Self {
            name: "auto_reply",
            about: "answers what matches a pattern, without an agent",
            required: false,
            make: |_| Arc::new(auto_reply::AutoReply::new()),
            check: auto_reply::check,
            schema: shape::<auto_reply::Settings>,
        },
        Self {
            name: "mention",
            about: "knows other names by which the agent is meant",
            required: false,
            make: |_| Arc::new(mention::Mention::new()),
            check: mention::check,
            schema: shape::<mention::Settings>,
        },
    ];

    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|it| it.name == name)
    }

    pub fn make(&self, clock: &Clock) -> Arc<dyn Plugin> {
        (self.make)(clock)
    }

    /// What its settings may be, as a JSON schema, with their defaults.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Whether `config` is one of its settings.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn check(&self, config: &Value) -> Result<(), String> {
        (self.check)(config)
    }
}

/// Reads settings; an absent table is all defaults.
fn settings<T: DeserializeOwned>(config: &Value) -> Result<T, String> {
    serde_json::from_value(config.clone()).map_err(|err| err.to_string())
}

fn shape<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

fn of<T: DeserializeOwned>(config: &Value) -> Result<(), String> {
    settings::<T>(config).map(drop)
}

/// What was made of settings, until they are others.
struct Made<T>(std::sync::Mutex<Vec<(Arc<str>, Arc<T>)>>);

/// Settings that are kept ready: one for all groups, and one for each that has its own.
const KEPT: usize = 64;

impl<T> Made<T> {
    fn new() -> Self {
        Self(std::sync::Mutex::default())
    }

    fn of(
        &self,
        config: &Config,
        make: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Arc<T>, PluginError> {
        let text = config.text();
        let mut kept = self.0.lock().expect("nobody panics while holding it");
        if let Some((_, it)) = kept.iter().find(|it| it.0 == text) {
            return Ok(it.clone());
        }
        let made = Arc::new(make(config.value()).map_err(PluginError::Failed)?);
        kept.truncate(KEPT - 1);
        kept.insert(0, (text, made.clone()));
        Ok(made)
    }
}

#[cfg(test)]
mod tests;
