//! Asks a model once, waits where it says to wait, and tells failures apart.

use std::time::Duration;

use ngb_core::{
    clock::Clock,
    frame::{Failure, Step},
};

use super::shape::{Delta, Reply, Request};
use crate::{
    turn::Turn,
    way_out::{self, NoWayOut, WayOut},
};

/// Tries of one request before the run fails; the gateway then tries the run anew, later.
const MAX_TRIES: u32 = 4;

/// First wait where the provider names none; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait that is sat out here; for a longer one the run ends, and its slot is free for others.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Longest line of a stream, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug, PartialEq)]
pub(crate) enum Trouble {
    Failed {
        failure: Failure,
        reason: String,
    },
    /// The prompt doesn't fit.
    TooLong(String),
    /// The provider finds the conversation malformed.
    Malformed(String),
    /// The model knows no tools.
    NoTools,
}

impl Trouble {
    pub(super) fn failed(failure: Failure, reason: impl Into<String>) -> Self {
        Self::Failed { failure, reason: reason.into() }
    }
}

/// How one try ended without a reply.
#[derive(Debug, PartialEq)]
enum Try {
    Again { wait: Option<Duration>, reason: String },
    Over(Trouble),
}

/// Who asks, and what is shown of the reply while it comes.
pub(crate) struct Model<'a> {
    pub(crate) way_out: &'a WayOut,
    pub(crate) clock: &'a Clock,
    pub(crate) turn: &'a Turn,
    pub(crate) shown: bool,
}

impl Model<'_> {
    /// The reply to `request`.
    ///
    /// # Errors
    ///
    /// When the model refuses, or goes on failing.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Reply, Trouble> {
        let mut backoff = FIRST_WAIT;
        let mut tried = 0;
        loop {
            tried += 1;
            let (wait, reason) = match self.once(request).await {
                Ok(reply) => {
                    self.turn.used(reply.input_tokens, reply.output_tokens).await;
                    return Ok(reply);
                }
                Err(Try::Over(trouble)) => return Err(trouble),
                Err(Try::Again { wait, reason }) => (wait.unwrap_or(backoff), reason),
            };
            if MAX_TRIES <= tried || MAX_WAIT < wait {
                return Err(Trouble::failed(Failure::Passing, reason));
            }
            self.clock.sleep(wait).await;
            backoff *= 2;
        }
    }

    async fn once(&self, request: &Request) -> Result<Reply, Try> {
        let again = |err: NoWayOut| Try::Again { wait: None, reason: err.to_string() };
        let Request { kind, path, body } = request;
        let sent = self.way_out.post(path, body.clone()).await;
        let mut answer = sent.map_err(again)?;
        if answer.status != 200 {
            let retry_after = answer.retry_after.map(Duration::from_secs);
            let whole = answer.whole().await.map_err(again)?;
            let said = way_out::message_of(&String::from_utf8_lossy(&whole.body));
            return Err(classify(whole.status, whole.refused.as_deref(), retry_after, &said));
        }
        let mut reply = Reply::default();
        let mut line: Vec<u8> = Vec::new();
        while let Some(piece) = answer.next().await.map_err(again)? {
            for part in piece.split_inclusive(|it| *it == b'\n') {
                line.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    let shown = reply.take(*kind, line.trim_ascii());
                    line.clear();
                    if let Some(delta) = shown.filter(|_| self.shown) {
                        self.turn.show(step(delta)).await;
                    }
                }
            }
            if MAX_LINE_BYTES < line.len() {
                let reason = "the provider sent a line without end".to_owned();
                return Err(Try::Over(Trouble::failed(Failure::Permanent, reason)));
            }
        }
        if let Some(reason) = reply.error {
            return Err(Try::Again { wait: None, reason });
        }
        if !reply.ended {
            let reason = "the provider's answer was cut off".to_owned();
            return Err(Try::Again { wait: None, reason });
        }
        Ok(reply)
    }
}

fn step(delta: Delta) -> Step {
    match delta {
        Delta::Text(delta) => Step::Text { delta },
        Delta::Thinking(delta) => Step::Thinking { delta },
    }
}

/// What a refusal means. The texts are those of Anthropic, OpenAI, Ollama and llama.cpp servers.
fn classify(status: u16, refused: Option<&str>, wait: Option<Duration>, said: &str) -> Try {
    const TOO_LONG: &[&str] = &[
        "too long",
        "context length",
        "context_length",
        "context window",
        "maximum context",
        "exceeds the available context",
        "too many tokens",
        "request too large",
    ];
    let lower = said.to_lowercase();
    let over = |failure| Try::Over(Trouble::failed(failure, said));
    let again = || Try::Again { wait, reason: format!("status {status}: {said}") };
    match refused {
        Some("over_budget") => return over(Failure::OverBudget),
        Some("closed") => return over(Failure::Passing),
        Some("unreachable") => return again(),
        Some("too_large") => return Try::Over(Trouble::TooLong(said.to_owned())),
        Some(_) => return over(Failure::Permanent),
        None => {}
    }
    match status {
        401 | 403 => over(Failure::KeyRefused),
        404 => over(Failure::ModelUnknown),
        413 => Try::Over(Trouble::TooLong(said.to_owned())),
        408 | 409 | 425 | 429 | 500.. => again(),
        400 | 422 if lower.contains("not support tools") => Try::Over(Trouble::NoTools),
        400 | 422 if TOO_LONG.iter().any(|it| lower.contains(it)) => {
            Try::Over(Trouble::TooLong(said.to_owned()))
        }
        400 | 422 => Try::Over(Trouble::Malformed(said.to_owned())),
        _ => over(Failure::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        use Failure::{KeyRefused, ModelUnknown, OverBudget, Passing, Permanent};
        let over = |failure, said: &str| Try::Over(Trouble::failed(failure, said));
        let again = |wait: Option<u64>, reason: &str| Try::Again {
            wait: wait.map(Duration::from_secs),
            reason: reason.into(),
        };
        #[rustfmt::skip]
        let table = [
            (401, None,                 None,    "bad key",               over(KeyRefused, "bad key")),
            (403, None,                 None,    "no",                    over(KeyRefused, "no")),
            (404, None,                 None,    "no such model",         over(ModelUnknown, "no such model")),
            (429, None,                 Some(7), "slow down",             again(Some(7), "status 429: slow down")),
            (529, None,                 None,    "Overloaded",            again(None, "status 529: Overloaded")),
            (502, Some("unreachable"),  None,    "down",                  again(None, "status 502: down")),
            (402, Some("over_budget"),  None,    "used up",               over(OverBudget, "used up")),
            (410, Some("closed"),       None,    "no run",                over(Passing, "no run")),
            (400, Some("not_allowed"),  None,    "no provider",           over(Permanent, "no provider")),
            (402, None,                 None,    "pay first",             over(Permanent, "pay first")),
            (400, None,                 None,    "prompt is too long: 9", Try::Over(Trouble::TooLong("prompt is too long: 9".into()))),
            (400, None,                 None,    "x does not support tools", Try::Over(Trouble::NoTools)),
            (400, None,                 None,    "unexpected tool_result", Try::Over(Trouble::Malformed("unexpected tool_result".into()))),
        ];
        for (status, refused, wait, said, want) in table {
            let got = classify(status, refused, wait.map(Duration::from_secs), said);
            assert_eq!(got, want, "{status} {refused:?} {said}");
        }
    }
}
