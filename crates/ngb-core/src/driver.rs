//! Who answers: which agent runs in the sandbox, and which model it asks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::frame::ProviderKind;

/// Which agent runs in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Works with no model and says so.
    Demo,
    /// Our own loop of model and tools.
    Builtin,
    /// Claude Code's command line.
    ClaudeCode,
    /// Any agent that speaks the Agent Client Protocol.
    Acp,
}

impl Driver {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Builtin => "builtin",
            Self::ClaudeCode => "claude-code",
            Self::Acp => "acp",
        }
    }

    /// Whether it can ask a model of this kind, or do without one.
    ///
    /// # Errors
    ///
    /// What it needs.
    pub fn check(self, model: Option<ProviderKind>) -> Result<(), &'static str> {
        match (self, model) {
            (Self::Builtin, None) => {
                Err("the driver `builtin` needs a `model`, written `<provider>/<model>`")
            }
            (Self::ClaudeCode, None | Some(ProviderKind::OpenAi | ProviderKind::Ollama)) => {
                Err("the driver `claude-code` needs a `model` of a provider of kind `anthropic`")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown driver `{0}`; known: auto, builtin, claude-code, acp, demo")]
pub struct UnknownDriver(String);

impl FromStr for Driver {
    type Err = UnknownDriver;

    fn from_str(s: &str) -> Result<Self, UnknownDriver> {
        match s {
            "demo" => Ok(Self::Demo),
            "builtin" => Ok(Self::Builtin),
            "claude-code" => Ok(Self::ClaudeCode),
            "acp" => Ok(Self::Acp),
            other => Err(UnknownDriver(other.to_owned())),
        }
    }
}

/// A model by its provider's name in the settings and its own: `anthropic/claude-sonnet-4-5`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName {
    pub provider: String,
    pub model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not of the form `<provider>/<model>`")]
pub struct BadModelName(String);

impl FromStr for ModelName {
    type Err = BadModelName;

    fn from_str(s: &str) -> Result<Self, BadModelName> {
        match s.trim().split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
            }
            _ => Err(BadModelName(s.to_owned())),
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = BadModelName;

    fn try_from(s: String) -> Result<Self, BadModelName> {
        s.parse()
    }
}

impl From<ModelName> for String {
    fn from(it: ModelName) -> Self {
        it.to_string()
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["anthropic/opus", "openrouter/anthropic/claude", "local/qwen3:8b"] {
            assert_eq!(good.parse::<ModelName>().unwrap().to_string(), good);
        }
        for bad in ["", "opus", "/opus", "anthropic/"] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad}");
        }
        for it in [Driver::Demo, Driver::Builtin, Driver::ClaudeCode, Driver::Acp] {
            assert_eq!(it.as_str().parse(), Ok(it));
            assert_eq!(serde_json::to_value(it).unwrap(), it.as_str());
        }
    }
}
