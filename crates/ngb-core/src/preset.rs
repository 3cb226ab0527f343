//! Where models are to be had: for each provider its address, the API it speaks, and how it wants its key.
//!
//! Addresses and names of variables are from the providers' own pages, as of November 2026.

use crate::frame::ProviderKind;

/// A provider whose model can be chosen without knowing more than a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Of `[providers.<name>]`.
    pub name: &'static str,
    pub title: &'static str,
    pub kind: ProviderKind,
    /// What stands in angle brackets is the account's own, to be filled in.
    pub base_url: &'static str,
    /// `auth` of the settings.
    pub auth: &'static str,
    /// The variables that usually hold its key; none where it wants none.
    pub variables: &'static [&'static str],
    /// A model that it has; where the name is the account's own, what it looks like.
    pub model: &'static str,
}

impl Preset {
    pub fn needs_key(&self) -> bool {
        !self.variables.is_empty()
    }

    /// Whether it is a server of one's own, which can be looked for.
    pub fn is_local(&self) -> bool {
        self.base_url.starts_with("http://127.0.0.1:")
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|it| it.name == name)
    }
}

const fn hosted(
    name: &'static str,
    title: &'static str,
    base_url: &'static str,
    variables: &'static [&'static str],
    model: &'static str,
) -> Preset {
    let (kind, auth) = (ProviderKind::OpenAi, "bearer");
    Preset { name, title, kind, base_url, auth, variables, model }
}

const fn local(
    name: &'static str,
    title: &'static str,
    kind: ProviderKind,
    base_url: &'static str,
    model: &'static str,
) -> Preset {
    Preset { name, title, kind, base_url, auth: "bearer", variables: &[], model }
}

/// All of them, those with an address of their own first.
#[rustfmt::skip]
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "anthropic",
        title: "Anthropic",
        kind: ProviderKind::Anthropic,
        base_url: "https://api.anthropic.com",
        auth: "x-api-key",
        variables: &["ANTHROPIC_API_KEY"],
        model: "claude-sonnet-4-5",
    },
    hosted("openai",      "OpenAI",                  "https://api.openai.com/v1",                               &["OPENAI_API_KEY"],                     "gpt-5-mini"),
    Preset {
        auth: "api-key",
        ..hosted("azure", "Azure OpenAI",            "https://<resource>.openai.azure.com/openai/v1",           &["AZURE_OPENAI_API_KEY"],               "<deployment>")
    },
    hosted("openrouter",  "OpenRouter",              "https://openrouter.ai/api/v1",                            &["OPENROUTER_API_KEY"],                 "anthropic/claude-sonnet-4.5"),
    hosted("gemini",      "Google Gemini",           "https://generativelanguage.googleapis.com/v1beta/openai", &["GEMINI_API_KEY", "GOOGLE_API_KEY"],   "gemini-2.5-flash"),
    hosted("deepseek",    "DeepSeek",                "https://api.deepseek.com/v1",                             &["DEEPSEEK_API_KEY"],                   "deepseek-chat"),
    hosted("qwen",        "Qwen (DashScope)",        "https://dashscope.aliyuncs.com/compatible-mode/v1",       &["DASHSCOPE_API_KEY"],                  "qwen-plus"),
    hosted("kimi",        "Kimi (Moonshot)",         "https://api.moonshot.cn/v1",                              &["MOONSHOT_API_KEY"],                   "kimi-k2-turbo-preview"),
    hosted("glm",         "GLM (Zhipu)",             "https://open.bigmodel.cn/api/paas/v4",                    &["ZHIPUAI_API_KEY", "ZAI_API_KEY"],     "glm-4.6"),
    hosted("doubao",      "Doubao (Volcengine Ark)", "https://ark.cn-beijing.volces.com/api/v3",                &["ARK_API_KEY"],                        "doubao-seed-1-6-251015"),
    hosted("minimax",     "MiniMax",                 "https://api.minimaxi.com/v1",                             &["MINIMAX_API_KEY"],                    "MiniMax-M2"),
    hosted("siliconflow", "SiliconFlow",             "https://api.siliconflow.cn/v1",                           &["SILICONFLOW_API_KEY"],                "Qwen/Qwen3-32B"),
    local("ollama",   "Ollama",    ProviderKind::Ollama, "http://127.0.0.1:11434",   "qwen3:8b"),
    local("lmstudio", "LM Studio", ProviderKind::OpenAi, "http://127.0.0.1:1234/v1", "qwen3-8b"),
    local("llamacpp", "llama.cpp", ProviderKind::OpenAi, "http://127.0.0.1:8080/v1", "default"),
    local("vllm",     "vLLM",      ProviderKind::OpenAi, "http://127.0.0.1:8000/v1", "Qwen/Qwen3-8B"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_can_be_written_down() {
        let names: BTreeSet<_> = PRESETS.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), PRESETS.len());
        for it in PRESETS {
            assert_eq!(Preset::named(it.name), Some(it));
            assert!(it.name.chars().all(|it| it.is_ascii_lowercase()), "{}", it.name);
            assert!(it.base_url.starts_with("https://") || it.is_local(), "{}", it.base_url);
            assert!(it.needs_key() != it.is_local() && !it.model.is_empty(), "{}", it.name);
            assert!(["x-api-key", "bearer", "api-key"].contains(&it.auth));
        }
    }
}
