//! Whether a model answers, by one completion; each way to fail told apart.

use std::time::Duration;

use http::HeaderMap;
use ngb_core::{
    clock::{Clock, TimedOut},
    frame::ProviderKind,
    secret::Redactor,
};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{Provider, Unreached, model};

/// How long an answer may take: a model of one's own may first have to be read into memory.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest part of what a provider says that is shown, in characters.
const MAX_SAID_CHARS: usize = 200;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why a model did not answer; a sentence for people, without the key.
#[derive(Debug, Error)]
pub enum Unproved {
    #[error("the provider `{provider}` does not answer: {cause}")]
    Unreached { provider: String, cause: Unreached },
    #[error("the provider `{provider}` gave no answer: {cause}")]
    TimedOut { provider: String, cause: TimedOut },
    #[error("the provider `{provider}` refuses the key: {said}")]
    Key { provider: String, said: String },
    #[error("the provider `{provider}` has no model `{model}`: {said}")]
    NoModel { provider: String, model: String, said: String },
    #[error("the account at `{provider}` may use no more: {said}")]
    NoCredit { provider: String, said: String },
    #[error("the provider `{provider}` is busy ({status}): {said}")]
    Busy { provider: String, status: u16, said: String },
    #[error("what is at the address of `{provider}` has no API of the kind `{kind}` ({status})")]
    NotTheApi { provider: String, kind: &'static str, status: u16 },
    #[error("the provider `{provider}` refuses ({status}): {said}")]
    Refused { provider: String, status: u16, said: String },
}

impl Unproved {
    /// What to do about it.
    pub fn mend(&self) -> String {
        match self {
            Self::Unreached { cause: Unreached::Proxy(_), .. } => {
                "correct the proxy, or name the host in `no_proxy`".into()
            }
            Self::Unreached { cause: Unreached::Tls { .. }, .. } => {
                "if the host has a certificate of a private authority, name its PEM file in `[network] ca_file`; check the machine's clock".into()
            }
            Self::Unreached { provider, .. } => {
                format!("check `[providers.{provider}] base_url` and the network; behind a proxy set `[network] proxy`")
            }
            Self::TimedOut { .. } | Self::Busy { .. } => "try again in a while".into(),
            Self::Key { provider, .. } => {
                format!("set a good key as `[providers.{provider}] api_key`, and `auth` as the provider wants it")
            }
            Self::NoModel { provider, .. } => {
                format!("name another as `[agent] model = \"{provider}/…\"`")
            }
            Self::NoCredit { .. } => "look at the account's credit and limits at the provider".into(),
            Self::NotTheApi { provider, .. } => {
                format!("check `kind` and `base_url` of `[providers.{provider}]`")
            }
            Self::Refused { .. } => "the provider's own words say what it wants".into(),
        }
    }
}

/// Has `model` answer once; how long that took.
///
/// # Errors
///
/// When it doesn't, with the reason.
pub async fn prove(provider: &Provider, model: &str, clock: &Clock) -> Result<Duration, Unproved> {
    let began = clock.now();
    let name = || provider.name.clone();
    let (status, body) = match clock.timeout(LIMIT, ask(provider, model)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(cause)) => return Err(Unproved::Unreached { provider: name(), cause }),
        Err(cause) => return Err(Unproved::TimedOut { provider: name(), cause }),
    };
    let json: Option<Value> = serde_json::from_slice(&body).ok();
    let kind = provider.kind.as_str();
    let key = match provider.kind {
        ProviderKind::Anthropic => "content",
        ProviderKind::OpenAi => "choices",
        ProviderKind::Ollama => "message",
    };
    if status == 200 {
        return match json.is_some_and(|it| !it[key].is_null()) {
            true => Ok(clock.now().since(began)),
            false => Err(Unproved::NotTheApi { provider: name(), kind, status }),
        };
    }
    let said = said(provider, json.as_ref(), &body);
    let low = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|it| low.contains(it));
    let of_model = low.contains("model")
        && has(&[
            "not found",
            "not exist",
            "unknown",
            "invalid",
            "no such",
            "model:",
            "not supported",
        ]);
    let (provider, model) = (name(), model.to_owned());
    Err(match status {
        401 | 403 => Unproved::Key { provider, said },
        400 | 404 | 422 if of_model => Unproved::NoModel { provider, model, said },
        404 | 405 => Unproved::NotTheApi { provider, kind, status },
        402 => Unproved::NoCredit { provider, said },
        400 | 429 if has(&["quota", "credit", "billing", "balance"]) => {
            Unproved::NoCredit { provider, said }
        }
        429 | 500.. => Unproved::Busy { provider, status, said },
        _ => Unproved::Refused { provider, status, said },
    })
}

async fn ask(provider: &Provider, model: &str) -> Result<(u16, bytes::Bytes), Unreached> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let mut body = json!({
        "model": model, "stream": false,
        "messages": [{"role": "user", "content": "Answer with the word ok."}],
    });
    match provider.kind {
        ProviderKind::Anthropic => {
            headers.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
            body["max_tokens"] = 16.into();
        }
        // How a limit is named differs from model to model; two words need none.
        ProviderKind::OpenAi => (),
        ProviderKind::Ollama => body["options"] = json!({"num_predict": 16}),
    }
    let request = model::build(provider, &headers).body(body.to_string());
    let answer = provider.http.send(request).await?;
    let status = answer.status().as_u16();
    Ok((status, model::collect(answer, MAX_ANSWER_BYTES).await))
}

/// The provider's own words: `error.message`, `error` or the body, without the key and not endless.
fn said(provider: &Provider, json: Option<&Value>, body: &[u8]) -> String {
    let text = json.and_then(|it| {
        let error = &it["error"];
        error["message"].as_str().or(error.as_str()).or(it["message"].as_str()).map(str::to_owned)
    });
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = Redactor::new(provider.api_key.clone()).redact(&text).into_owned();
    if text.is_empty() {
        "without a word".to_owned()
    } else {
        text.chars().take(MAX_SAID_CHARS).collect()
    }
}
