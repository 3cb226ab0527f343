//! Calls, and what OneBot's codes mean. <https://github.com/botuniverse/onebot-11/blob/master/communication/ws.md>

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use thiserror::Error;

use super::Qq;
use crate::{
    ChannelError, Retry,
    calls::CallError,
    http::{HttpError, UPLOAD_LIMIT},
};

/// How long the answer to a call may take; QQ itself answers NapCat within ten seconds, or never.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Largest call, in bytes, that is given the ordinary limit; a larger one holds a file.
const LARGE_BYTES: usize = 64 << 10;

/// Codes: what next, and what it means; empty where the words that came suffice.
#[rustfmt::skip]
const CODES: &[(i64, Retry, &str)] = &[
    (100,   Retry::Never,   "the call lacks something"),
    (200,   Retry::Backoff, ""),
    (1_200, Retry::Backoff, "QQ did not take it; if that goes on, its risk control (风控) minds this account"),
    (1_400, Retry::Never,   "the call is not understood"),
    (1_401, Retry::Never,   "the token is missing"),
    (1_403, Retry::Never,   "the token is not that of the OneBot implementation"),
    (1_404, Retry::Never,   "the OneBot implementation doesn't know this call"),
];

#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("OneBot said {code}: {words}{}", behind(*code))]
    Refused { code: i64, words: String },
}

fn behind(code: i64) -> String {
    match meaning(code).1 {
        "" => String::new(),
        hint => format!("; {hint}"),
    }
}

/// What next after `code`, and what it means.
pub(super) fn meaning(code: i64) -> (Retry, &'static str) {
    let known = CODES.iter().find(|it| it.0 == code);
    known.map_or((Retry::Never, ""), |it| (it.1, it.2))
}

impl ApiError {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        HttpError::Unfit(why.into()).into()
    }

    /// The same for whoever asked.
    pub(super) fn doing(self, doing: impl Into<String>) -> ChannelError {
        let (retry, maybe_done) = match &self {
            Self::Call(err) => (Retry::Backoff, err.maybe_done()),
            Self::Http(err) => (err.retry(), err.maybe_done()),
            // NapCat gives up waiting for QQ, which may have taken it.
            Self::Refused { code, words } => {
                (meaning(*code).0, words.to_ascii_lowercase().contains("timeout"))
            }
        };
        let source = Box::new(self);
        ChannelError { doing: doing.into(), retry, maybe_done, moved_to: None, source }
    }
}

impl Qq {
    /// Calls an action and waits for its answer; what is in it.
    pub(super) async fn call(&self, action: &str, params: Value) -> Result<Value, ApiError> {
        let echo = format!("ngb-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let frame = json!({"action": action, "params": params, "echo": echo}).to_string();
        let limit = if LARGE_BYTES < frame.len() { UPLOAD_LIMIT } else { ANSWER_LIMIT };
        let mut answer = self.calls.call(echo, frame, limit).await?;
        let code = answer["retcode"].as_i64().unwrap_or_default();
        let is_done = matches!(answer["status"].as_str(), Some("ok" | "async") | None) && {
            // 1 is "it will be done", beside the status `async`.
            matches!(code, 0 | 1)
        };
        if is_done {
            return Ok(answer["data"].take());
        }
        let words = [&answer["wording"], &answer["message"], &answer["msg"]];
        let words = words.into_iter().find_map(|it| it.as_str().filter(|it| !it.is_empty()));
        Err(ApiError::Refused { code, words: words.unwrap_or("no reason").to_owned() })
    }
}
