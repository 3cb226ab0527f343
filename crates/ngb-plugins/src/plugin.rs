//! What a plugin is.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;

use crate::hook::{Event, Hook, Verdict};

/// Code that is asked at hooks: built in, or a WebAssembly component.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// As settings and `why` name it: lower-case letters, digits, `_` and `-`.
    fn name(&self) -> &str;

    fn version(&self) -> &str;

    /// Where it wants to be asked.
    fn hooks(&self) -> &[Hook];

    /// Whether it hides what must not be seen, and so is asked about quotes as well.
    fn masks(&self) -> bool {
        false
    }

    /// Says what is to become of `event`, whose text is as the plugins before left it.
    ///
    /// # Errors
    ///
    /// When it fails; then the event goes on, or is held where the plugin is required.
    async fn ask(&self, event: &Event, config: &Config) -> Result<Verdict, PluginError>;

    /// What the next version of it is to know, after its last event.
    ///
    /// # Errors
    ///
    /// When it fails; then the old one stays.
    async fn save(&self) -> Result<Option<Vec<u8>>, PluginError> {
        Ok(None)
    }

    /// Takes what the version before saved, before its first event.
    ///
    /// # Errors
    ///
    /// When it does not want it; then the old one stays.
    async fn restore(&self, _state: Vec<u8>) -> Result<(), PluginError> {
        Ok(())
    }
}

/// A plugin's settings for the group at hand.
#[derive(Clone, Debug)]
pub struct Config {
    value: Value,
    text: Arc<str>,
}

impl Config {
    pub fn new(value: Value) -> Self {
        let text = value.to_string().into();
        Self { value, text }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// As JSON.
    pub fn text(&self) -> Arc<str> {
        self.text.clone()
    }
}

/// Why a plugin said nothing.
#[derive(Debug, Error)]
pub enum PluginError {
    /// It, or what it runs in, failed.
    #[error("{0}")]
    Failed(String),
    #[error("it took longer than {} ms", .0.as_millis())]
    TooSlow(std::time::Duration),
    #[error("it said `{verdict}`, which {hook} does not take")]
    Unfit { verdict: &'static str, hook: &'static str },
}
