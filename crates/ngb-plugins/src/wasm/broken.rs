//! An installed plugin that can't be used, and must not be left out either.

use async_trait::async_trait;

use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Hook, Verdict},
};

/// Stands in the chain for an installed plugin that can't be used: it fails, and so what it is asked about is held where it is
/// required.
pub struct Broken {
    pub name: String,
    pub why: String,
    pub required: bool,
}

#[async_trait]
impl Plugin for Broken {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &'static str {
        "none"
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::MessageReceived, Hook::MessageSending]
    }

    async fn ask(&self, _: &Event, _: &Config) -> Result<Verdict, PluginError> {
        Err(PluginError::Failed(format!("it can't be used: {}", self.why)))
    }
}
