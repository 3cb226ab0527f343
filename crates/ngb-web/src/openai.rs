//! A group in the shape of OpenAI's chat completions, which every tool speaks.
//!
//! The agent keeps its own conversation, so only what follows the last `assistant` message is given to it. `user` names
//! the conversation; without one it is `api`. Shapes: platform.openai.com/docs/api-reference/chat.

use std::convert::Infallible;

use axum::{
    Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use ngb_core::{address::Place, frame::Step, role::Right};
use ngb_gateway::events::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    App,
    answer::{Heard, Settled, Waiter},
    describe::{Given, Operation},
    door::Who,
    error::ApiError,
    groups,
    input::{Input, Path},
    messages::{self, now},
};

/// The conversation of requests that name no `user`.
const DEFAULT_USER: &str = "api";

/// Longest name of a conversation, in characters.
const MAX_USER_CHARS: usize = 64;

/// Fields that we have no use for are ignored, as OpenAI's own servers do with some.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatCompletion")]
pub(crate) struct Completion {
    messages: Vec<Said>,
    #[serde(default)]
    stream: bool,
    user: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
struct Said {
    role: String,
    content: Value,
}

/// A list in OpenAI's shape.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    owned_by: &'static str,
}

/// A completion in OpenAI's shape: whole, or streamed.
pub(crate) struct Completed(Response);

impl IntoResponse for Completed {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Given for Completed {
    fn describe(to: &mut Operation<'_>) {
        let whole = json!({
            "type": "object",
            "required": ["id", "object", "created", "model", "choices"],
            "description": "See platform.openai.com/docs/api-reference/chat.",
        });
        to.answers("200", "The answer.", "application/json", whole);
        to.answers("200", "The answer.", "text/event-stream", json!({ "type": "string" }));
    }
}

/// The one "model" of a group: its agent.
pub(crate) async fn models(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
) -> Result<Json<Models>, ApiError> {
    let group = groups::find_for(&app, &who, &group, Right::Read)?;
    let created = app.gateway.about().started_at.0 / 1000;
    let id = group.folder.to_string();
    let model = Model { id, object: "model", created, owned_by: "nanogridbot" };
    Ok(Json(Models { object: "list", data: vec![model] }))
}

/// Sends what was said last, and gives the agent's answer.
pub(crate) async fn complete(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
    headers: HeaderMap,
    Input(asked): Input<Completion>,
) -> Result<Completed, ApiError> {
    let group = groups::find_for(&app, &who, &group, Right::Speak)?;
    let text = last_said(&asked.messages)?;
    let user = asked.user.as_deref().unwrap_or(DEFAULT_USER);
    let plain = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.' | '@');
    let thread: String = user.chars().filter(|it| plain(*it)).take(MAX_USER_CHARS).collect();
    let thread = if thread.is_empty() { DEFAULT_USER.to_owned() } else { thread };
    let place = Place { jid: groups::page_jid(&group), thread: Some(thread.into()) };

    let key = headers.get("idempotency-key").and_then(|it| it.to_str().ok()).map(str::to_owned);
    let (posted, mut waiter) = messages::send(&app, &who, place, text, key).await?;
    let shape = Shape {
        id: format!("chatcmpl-{}", posted.message),
        created: now(&app).0 / 1000,
        model: group.folder.to_string(),
    };
    if asked.stream {
        return Ok(Completed(streamed(app, shape, waiter).into_response()));
    }
    let settled = loop {
        let heard = tokio::select! {
            heard = waiter.next() => heard?,
            () = app.drain.cancelled() => return Err(ApiError::stopping()),
        };
        if let Heard::Settled(it) = heard {
            break it;
        }
    };
    let message = json!({ "role": "assistant", "content": text_of(&settled)? });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    Ok(Completed(Json(shape.wrap("chat.completion", &choice)).into_response()))
}

/// The texts after the last answer, as one message.
fn last_said(messages: &[Said]) -> Result<String, ApiError> {
    let from = messages.iter().rposition(|it| it.role == "assistant").map_or(0, |it| it + 1);
    let mut texts = Vec::new();
    for said in messages[from..].iter().filter(|it| it.role == "user") {
        match &said.content {
            Value::String(text) => texts.push(text.clone()),
            Value::Array(parts) => {
                for part in parts {
                    let Some(text) = part["text"].as_str() else {
                        return Err(ApiError::bad("only parts of type `text` are understood"));
                    };
                    texts.push(text.to_owned());
                }
            }
            _ => return Err(ApiError::bad("`content` is neither a text nor a list of parts")),
        }
    }
    if texts.is_empty() {
        return Err(ApiError::bad("`messages` does not end with one of role `user`"));
    }
    Ok(texts.join("\n\n"))
}

fn text_of(settled: &Settled) -> Result<String, ApiError> {
    match (settled.outcome, &settled.answer) {
        ("answered" | "said", answer) => {
            Ok(answer.as_ref().map(|it| it.content.text.clone()).unwrap_or_default())
        }
        (outcome, answer) => {
            let told = answer.as_ref().map_or("", |it| it.content.text.as_str());
            let message = format!("the agent did not answer ({outcome}). {told}");
            Err(ApiError::new(StatusCode::BAD_GATEWAY, "not_answered", message.trim()))
        }
    }
}

/// What each piece of a completion has in common.
struct Shape {
    id: String,
    created: i64,
    model: String,
}

impl Shape {
    fn wrap(&self, object: &str, choice: &Value) -> Value {
        let Self { id, created, model } = self;
        json!({ "id": id, "object": object, "created": created, "model": model, "choices": [choice] })
    }

    fn chunk(&self, delta: &Value, end: Option<&str>) -> sse::Event {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
        sse::Event::default().data(self.wrap("chat.completion.chunk", &choice).to_string())
    }
}

fn streamed(
    app: App,
    shape: Shape,
    waiter: Waiter,
) -> Sse<impl stream::Stream<Item = Result<sse::Event, Infallible>>> {
    struct State {
        app: App,
        shape: Shape,
        waiter: Waiter,
        shown: String,
    }
    let first = shape.chunk(&json!({ "role": "assistant", "content": "" }), None);
    let state = State { app, shape, waiter, shown: String::new() };
    let rest = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        loop {
            let heard = tokio::select! {
                heard = state.waiter.next() => heard,
                () = state.app.drain.cancelled() => Ok(Heard::Settled(Box::new(Settled { outcome: "failed", answer: None }))),
            };
            let settled = match heard {
                Ok(Heard::Event(Event::Step { step: Step::Text { delta }, .. })) => {
                    state.shown.push_str(&delta);
                    let chunk = state.shape.chunk(&json!({ "content": delta }), None);
                    return Some((vec![chunk], Some(state)));
                }
                Ok(Heard::Event(_)) => continue,
                Ok(Heard::Settled(it)) => text_of(&it),
                Err(err) => Err(err.into()),
            };
            let mut end = Vec::new();
            match settled {
                Ok(text) => {
                    let left = remainder(&state.shown, &text);
                    if !left.is_empty() {
                        end.push(state.shape.chunk(&json!({ "content": left }), None));
                    }
                    end.push(state.shape.chunk(&json!({}), Some("stop")));
                }
                Err(err) => {
                    let error = json!({ "error": { "code": err.code, "message": err.message } });
                    end.push(sse::Event::default().data(error.to_string()));
                }
            }
            end.push(sse::Event::default().data("[DONE]"));
            return Some((end, None));
        }
    });
    let rest = rest.flat_map(stream::iter);
    Sse::new(stream::iter([first]).chain(rest).map(Ok)).keep_alive(KeepAlive::default())
}

/// What of the stored answer was not shown yet. An answer that differs from what was streamed (a later try made it)
/// follows whole.
fn remainder(shown: &str, answer: &str) -> String {
    if let Some(rest) = answer.strip_prefix(shown) {
        return rest.to_owned();
    }
    if shown.trim_end().ends_with(answer.trim_end()) {
        return String::new();
    }
    format!("\n\n{answer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_last() {
        #[rustfmt::skip]
        let table = [
            (json!([{ "role": "user", "content": "a" }]),                                            Ok("a")),
            (json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "a" }]),      Ok("a")),
            (json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" },
                    { "role": "user", "content": "c" }, { "role": "user", "content": "d" }]),        Ok("c\n\nd")),
            (json!([{ "role": "user", "content": [{ "type": "text", "text": "a" }] }]),              Ok("a")),
            (json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }]),     Err("type `text`")),
            (json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }]),   Err("does not end")),
            (json!([]),                                                                              Err("does not end")),
        ];
        for (messages, want) in table {
            let messages: Vec<Said> = serde_json::from_value(messages).unwrap();
            match (last_said(&messages), want) {
                (Ok(got), want) => assert_eq!(Ok(got.as_str()), want),
                (Err(err), Err(needle)) => assert!(err.message.contains(needle), "{err:?}"),
                (Err(err), Ok(want)) => panic!("{want}: {err:?}"),
            }
        }
    }

    #[test]
    fn what_is_left_to_show() {
        #[rustfmt::skip]
        let table = [
            ("",            "abc",    "abc"),
            ("ab",          "abc",    "c"),
            ("abc",         "abc",    ""),
            ("first. abc",  "abc",    ""),
            ("other",       "abc",    "\n\nabc"),
        ];
        for (shown, answer, want) in table {
            assert_eq!(remainder(shown, answer), want, "{shown}");
        }
    }
}
