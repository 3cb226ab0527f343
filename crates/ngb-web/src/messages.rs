//! Messages: reading, posting, waiting for the answer, and why.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use ngb_core::{
    address::{ChannelKind, Jid, Place},
    clock::Timestamp,
    id::{LaneId, MessageId},
    role::Right,
};
use ngb_gateway::{
    dispatch::Asked,
    handle::{Post, Posted},
    store::{MAX_PAGE, MessageFilter},
};
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
    input::{Input, MAX_MESSAGE_BYTES, Path, Query},
    shape::{self, DONE, Done, MessageView, WhyView},
};

/// Messages of one page when nobody says how many; the original's number.
const DEFAULT_PAGE: u32 = 50;

/// How long a request waits for an answer when nobody says; after it, 202 with the id to ask again.
const WAIT: Duration = Duration::from_secs(10 * 60);

/// Longest that somebody may ask to wait.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Longest text that is searched for, in characters.
const MAX_SOUGHT_CHARS: usize = 200;

/// Longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 200;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "MessageFilter")]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[serde(alias = "chatJid", alias = "jid")]
    chat_jid: Option<String>,
    group: Option<String>,
    /// Only those of this conversation.
    lane: Option<LaneId>,
    /// Of the chat; empty for what is in no thread.
    thread: Option<String>,
    before: Option<MessageId>,
    after: Option<MessageId>,
    limit: Option<u32>,
    /// Only those with these words, in any order and any language; among the latest also a part of a word.
    q: Option<String>,
}

/// A page of messages, the oldest first.
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    let jid = filter.chat_jid.as_deref().map(|it| groups::resolve(&app, it)).transpose()?;
    let named = |it| groups::find_for(&app, &who, it, Right::Read);
    let group = filter.group.as_deref().map(named).transpose()?;
    if let Some(jid) = &jid {
        who.need_for(jid, &app.gateway.directory().snapshot(), Right::Read)?;
    }
    let is_backward = filter.after.is_none();
    let wanted = MessageFilter {
        jid,
        group: group.map(|it| it.id),
        lane: filter.lane,
        thread: filter.thread,
        seen: who.seen(),
        before: filter.before,
        after: filter.after,
        limit: filter.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE),
    };
    let store = app.gateway.store();
    let mut messages = match filter.q.as_deref().map(str::trim) {
        Some(text) => store.search(wanted, sought(text, is_backward)?).await?,
        None => store.messages(wanted).await?,
    };
    if is_backward {
        messages.reverse();
    }
    Ok(Json(messages.iter().map(shape::message).collect()))
}

/// What is looked for; a search goes back from the latest only.
fn sought(text: &str, is_backward: bool) -> Result<&str, ApiError> {
    if text.is_empty() || MAX_SOUGHT_CHARS < text.chars().count() {
        return Err(ApiError::bad(format!("`q` has 1 to {MAX_SOUGHT_CHARS} characters")));
    }
    if !is_backward {
        return Err(ApiError::bad("`q` does not go with `after`").hint("use `before`"));
    }
    Ok(text)
}

/// One message.
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Path(id): Path<MessageId>,
) -> Result<Json<MessageView>, ApiError> {
    let found = app.gateway.store().message(id).await?;
    let message = found.ok_or_else(|| ApiError::missing("message", id))?;
    who.need_message(&message, &app.gateway.directory().snapshot())?;
    Ok(Json(shape::message(&message)))
}

/// The path of one message.
pub(crate) async fn why(
    State(app): State<App>,
    who: Who,
    Path(id): Path<MessageId>,
) -> Result<Json<WhyView>, ApiError> {
    let why = app.gateway.store().why(id).await?;
    who.need_message(&why.message, &app.gateway.directory().snapshot())?;
    Ok(Json(shape::why(&why)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// An address of the page or a terminal; or else `group`.
    #[serde(alias = "chatJid", alias = "jid")]
    chat_jid: Option<String>,
    group: Option<String>,
    thread: Option<String>,
    #[serde(alias = "text")]
    content: String,
    idempotency_key: Option<String>,
    #[serde(default = "yes")]
    wait: bool,
    wait_seconds: Option<f64>,
}

fn yes() -> bool {
    true
}

/// Stores a message; waits for the answer, or streams it, when asked to.
pub(crate) async fn post(
    State(app): State<App>,
    who: Who,
    headers: HeaderMap,
    Input(new): Input<NewMessage, MAX_MESSAGE_BYTES>,
) -> Result<Reply, ApiError> {
    let jid = match (&new.chat_jid, &new.group) {
        (Some(jid), None) => groups::resolve(&app, jid)?,
        (None, Some(group)) => groups::page_jid(&groups::find(&app, group)?),
        _ => return Err(ApiError::bad("say either `chatJid` or `group`")),
    };
    let place = Place { jid, thread: new.thread.map(Into::into) };
    let in_header = headers.get("idempotency-key").map(|it| it.to_str().map(str::to_owned));
    let in_header = in_header
        .transpose()
        .map_err(|_| ApiError::bad("the header `Idempotency-Key` is not plain text"))?;
    let key = new.idempotency_key.or(in_header);
    let (posted, waiter) = send(&app, &who, place, new.content, key).await?;
    let streams = headers
        .get(header::ACCEPT)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.contains("text/event-stream"));
    if streams {
        return Ok(Reply(stream_answer(app, posted, waiter).into_response()));
    }
    if !new.wait {
        return Ok(Reply(Json(taken(posted)).into_response()));
    }
    let limit = new.wait_seconds.map_or(Ok(WAIT), Duration::try_from_secs_f64);
    let limit = limit.map_err(|err| ApiError::bad(format!("`wait_seconds`: {err}")))?.min(MAX_WAIT);
    wait(&app, posted, waiter, limit).await
}

/// Posts a text as `who`, and begins to follow it.
pub(crate) async fn send(
    app: &App,
    who: &Who,
    place: Place,
    text: String,
    key: Option<String>,
) -> Result<(Posted, Waiter), ApiError> {
    writable(&place.jid)?;
    who.need_for(&place.jid, &app.gateway.directory().snapshot(), Right::Speak)?;
    if text.trim().is_empty() {
        return Err(ApiError::bad("the message is empty"));
    }
    if key.as_ref().is_some_and(|it| it.is_empty() || MAX_KEY_BYTES < it.len()) {
        return Err(ApiError::bad(format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes")));
    }
    let events = app.gateway.hub().subscribe(None);
    let posted = app
        .gateway
        .post(Post {
            place: place.clone(),
            sender_id: who.sender_id(),
            sender_name: who.name.clone(),
            text,
            // The same key in another chat is another message.
            idempotency_key: key.map(|it| format!("{place}|{it}")),
        })
        .await?;
    let waiter = Waiter::new(app.gateway.clone(), events, posted.message, place, posted.repeat);
    Ok((posted, waiter))
}

/// Only our own channels can be written to from here: on a platform, the platform says who wrote.
fn writable(jid: &Jid) -> Result<(), ApiError> {
    match jid.channel() {
        ChannelKind::Web | ChannelKind::Terminal => Ok(()),
        other => {
            Err(ApiError::bad(format!("`{jid}` is a chat of {other}, which is written there"))
                .hint("write to the group that it is bound to"))
        }
    }
}

async fn wait(
    app: &App,
    posted: Posted,
    mut waiter: Waiter,
    limit: Duration,
) -> Result<Reply, ApiError> {
    let settled = async {
        loop {
            if let Heard::Settled(it) = waiter.next().await? {
                return Ok::<_, ApiError>(*it);
            }
        }
    };
    let settled = tokio::select! {
        settled = app.gateway.clock().timeout(limit, settled) => settled.ok().transpose()?,
        () = app.drain.cancelled() => None,
    };
    let Some(settled) = settled else {
        let pending = Answered { outcome: Some("pending"), ..taken(posted) };
        return Ok(Reply((StatusCode::ACCEPTED, Json(pending)).into_response()));
    };
    Ok(Reply(Json(shown(posted, &settled)).into_response()))
}

/// What became of a message that was posted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answered {
    id: MessageId,
    /// Whether it was here already, by its key.
    repeat: bool,
    /// `answered`, `interrupted`, `failed`, `said`, `unanswered`, or `pending`; none for who does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<MessageView>,
}

/// An answer to a post: whole, or streamed.
pub(crate) struct Reply(Response);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Given for Reply {
    fn describe(to: &mut Operation<'_>) {
        Json::<Answered>::describe(to);
        let schema = to.answers["200"]["content"]["application/json"]["schema"].clone();
        let streamed = json!({ "type": "string" });
        to.answers("200", "Done.", "text/event-stream", streamed);
        to.answers("202", "It is stored, and there is no answer yet.", "application/json", schema);
    }
}

fn taken(posted: Posted) -> Answered {
    let Posted { message: id, repeat, .. } = posted;
    Answered { id, repeat, outcome: None, text: None, answer: None }
}

fn shown(posted: Posted, settled: &Settled) -> Answered {
    Answered {
        outcome: Some(settled.outcome),
        text: settled.answer.as_ref().map(|it| it.content.text.clone()),
        answer: settled.answer.as_ref().map(shape::message),
        ..taken(posted)
    }
}

/// `accepted`, then each step as it happens, then `done` with the stored answer.
fn stream_answer(
    app: App,
    posted: Posted,
    waiter: Waiter,
) -> Sse<impl stream::Stream<Item = Result<sse::Event, Infallible>>> {
    let event = |name: &str, data: &Value| sse::Event::default().event(name).data(data.to_string());
    let first = event("accepted", &json!({ "id": posted.message, "repeat": posted.repeat }));
    let rest = stream::unfold(Some((app, waiter)), move |state| async move {
        let (app, mut waiter) = state?;
        let heard = tokio::select! {
            heard = waiter.next() => heard,
            () = app.drain.cancelled() => return None,
        };
        let (item, next) = match heard {
            Ok(Heard::Event(it)) => {
                let data = serde_json::to_value(&it).expect("events have only string keys");
                (event("event", &data), Some((app, waiter)))
            }
            Ok(Heard::Settled(it)) => {
                let data =
                    serde_json::to_value(shown(posted, &it)).expect("it has only string keys");
                (event("done", &data), None)
            }
            Err(err) => {
                let err = ApiError::from(err);
                (event("error", &json!({ "code": err.code, "message": err.message })), None)
            }
        };
        Some((Ok(item), next))
    });
    use stream::StreamExt as _;
    Sse::new(stream::iter([Ok(first)]).chain(rest)).keep_alive(KeepAlive::default())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Press {
    #[serde(alias = "chatJid", alias = "chat_jid")]
    jid: String,
    value: String,
}

/// Presses a button under a question.
pub(crate) async fn press(
    State(app): State<App>,
    who: Who,
    Input(press): Input<Press>,
) -> Result<Json<Done>, ApiError> {
    let jid = groups::resolve(&app, &press.jid)?;
    who.need_for(&jid, &app.gateway.directory().snapshot(), Right::StopOwn)?;
    app.gateway.press(&jid, &who.sender_id(), &press.value).await?;
    Ok(Json(DONE))
}

/// The original's answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stopped {
    pub(crate) success: bool,
    /// Whether something ran.
    pub(crate) interrupted: bool,
}

/// Stops what runs on a lane. Who may only stop what is their own must have asked for all of it.
pub(crate) async fn stop(
    State(app): State<App>,
    who: Who,
    Path(lane): Path<LaneId>,
) -> Result<Json<Stopped>, ApiError> {
    let mut interrupted = false;
    if let Some((group, asked)) = app.gateway.at_work(lane) {
        let snapshot = app.gateway.directory().snapshot();
        if let Some(group) = snapshot.group(group) {
            who.need_in(group, Right::StopOwn)?;
            let theirs = |it: &Asked| {
                it.sender_id.as_ref().is_some_and(|sender| who.is(&it.place, sender, &snapshot))
            };
            if !asked.iter().all(theirs) {
                who.need_in(group, Right::Stop)?;
            }
        }
        interrupted = app.gateway.interrupt(lane);
    }
    Ok(Json(Stopped { success: true, interrupted }))
}

/// Now, for those who compare clocks.
pub(crate) fn now(app: &App) -> Timestamp {
    app.gateway.clock().now()
}
