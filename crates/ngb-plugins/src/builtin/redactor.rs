//! `redactor`: masks what must not be seen.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Made,
    personal::{Finder, Kind},
    settings,
};
use crate::{
    Config, Plugin, PluginError,
    hook::{Event, Hook, Verdict},
};

/// Its settings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// What to mask; default all that it knows.
    kinds: Vec<Kind>,
    /// What people write.
    incoming: bool,
    /// What agents say.
    outgoing: bool,
    /// What stands there instead; `{kind}` becomes the word for it.
    mask: String,
}

impl Default for Settings {
    fn default() -> Self {
        let mask = "[{kind} hidden]".to_owned();
        Self { kinds: Kind::ALL.to_vec(), incoming: true, outgoing: true, mask }
    }
}

pub(crate) fn check(config: &Value) -> Result<(), String> {
    settings::<Settings>(config).map(drop)
}

pub(crate) struct Redactor(Made<(Settings, Finder)>);

impl Redactor {
    pub(crate) fn new() -> Self {
        Self(Made::new())
    }
}

#[async_trait]
impl Plugin for Redactor {
    fn name(&self) -> &str {
        "redactor"
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
        let made = self.0.of(config, |it| {
            let settings: Settings = settings(it)?;
            let finder = Finder::new(&settings.kinds);
            Ok((settings, finder))
        })?;
        let (settings, finder) = &*made;
        let wanted = match event.hook() {
            Hook::MessageReceived => settings.incoming,
            _ => settings.outgoing,
        };
        let Some(text) = event.text().filter(|_| wanted) else { return Ok(Verdict::Pass) };
        let mask = |kind: Kind| settings.mask.replace("{kind}", kind.as_str());
        Ok(Verdict::Change(finder.mask(text, mask)))
    }
}
