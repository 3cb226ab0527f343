//! How an agent that others wrote reaches the broker and the gateway.

use std::io;

use ngb_core::frame::{ModelSpec, ProviderKind};

use crate::{Folders, forward::Forward, host_calls::HostCalls};

/// Stands for the key, which only the broker has.
const NO_KEY: &str = "the-broker-has-it";

/// Both ways, open as long as the agent's process may be started.
pub(crate) struct Ways {
    forward: Forward,
    pub(crate) host_calls: HostCalls,
}

impl Ways {
    /// # Errors
    ///
    /// When a port or a socket can't be opened.
    pub(crate) async fn open(folders: &Folders) -> io::Result<Self> {
        let forward = Forward::open(folders.broker.clone()).await?;
        Ok(Self { forward, host_calls: HostCalls::open()? })
    }

    /// The variables by which programs know their model and the way out.
    pub(crate) fn variables(&self, model: Option<&ModelSpec>) -> Vec<(&'static str, String)> {
        let mut all = self.forward.proxy_variables();
        all.extend(model.map(|it| self.of_model(it)).unwrap_or_default());
        all
    }

    /// The variables by which programs know their model: where it is, a key that is none, and its name.
    fn of_model(&self, model: &ModelSpec) -> Vec<(&'static str, String)> {
        let url = self.forward.provider_url(&model.provider);
        let name = || model.model.clone();
        match model.kind {
            // See <https://code.claude.com/docs/en/env-vars>. A run has one model: what would be asked of a smaller one goes to
            // the same.
            ProviderKind::Anthropic => vec![
                ("ANTHROPIC_BASE_URL", url),
                ("ANTHROPIC_API_KEY", NO_KEY.to_owned()),
                ("ANTHROPIC_MODEL", name()),
                ("ANTHROPIC_DEFAULT_OPUS_MODEL", name()),
                ("ANTHROPIC_DEFAULT_SONNET_MODEL", name()),
                ("ANTHROPIC_DEFAULT_HAIKU_MODEL", name()),
                ("ANTHROPIC_SMALL_FAST_MODEL", name()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
                ("DISABLE_AUTOUPDATER", "1".to_owned()),
                ("DISABLE_ERROR_REPORTING", "1".to_owned()),
                ("DISABLE_TELEMETRY", "1".to_owned()),
            ],
            ProviderKind::OpenAi => vec![
                ("OPENAI_BASE_URL", url),
                ("OPENAI_API_KEY", NO_KEY.to_owned()),
                ("OPENAI_MODEL", name()),
            ],
            ProviderKind::Ollama => vec![("OLLAMA_HOST", url)],
        }
    }
}
