//! `/ws`: what happens, as JSON text frames, resumable by (instance, number).
//!
//! ```text
//! client   {"resume":{"instance":7,"number":41}}        (may be left out: from now on)
//! server   {"instance":7,"number":43,"events":[{"number":42,"type":"message",…},…]}
//!          {"instance":7,"number":99,"reset":true}      some were missed: read the state anew
//!          {"instance":7,"number":43,"events":[]}       at least each 20 s: still here
//! ```

use std::time::Duration;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use ngb_core::{clock::Clock, role::Right};
use ngb_gateway::{
    events::{Cursor, Event, Next, Numbered, Subscription},
    registry::Snapshot,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    describe::{Given, Operation},
    door::{self, Who},
    error::ApiError,
};

/// How often something is sent at least; a client may take a longer silence for a dead connection.
const BEAT: Duration = Duration::from_secs(20);

/// How long a client has to say where it stood.
const RESUME_WAIT: Duration = Duration::from_secs(2);

/// Longest that one frame may take to leave. Whoever reads slower than that comes back with a cursor; nothing piles up
/// for them here.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// Largest frame that a client may send, in bytes.
const MAX_CLIENT_BYTES: usize = 4 * 1024;

/// The login ended. The original's page knew 4001 as "log in again".
const CLOSE_LOGIN: u16 = 4001;

/// The server goes away (RFC 6455, section 7.4.1).
const CLOSE_AWAY: u16 = 1001;

/// A message is too long (the same section).
const CLOSE_TOO_LONG: u16 = 1009;

#[derive(Deserialize)]
struct Hello {
    resume: Option<Cursor>,
}

/// The connection becomes a WebSocket.
pub(crate) struct Upgraded(Response);

impl IntoResponse for Upgraded {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Given for Upgraded {
    fn describe(to: &mut Operation<'_>) {
        let frame = to.schemas.subschema_for::<Frame>().to_value();
        to.answers("101", "A WebSocket of such text frames.", "application/json", frame);
    }
}

/// Opens the stream.
pub(crate) async fn open(
    State(app): State<App>,
    who: Who,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Upgraded, ApiError> {
    let upgrade = upgrade
        .map_err(|err| ApiError::bad(err.body_text()))?
        .max_message_size(MAX_CLIENT_BYTES)
        .max_frame_size(MAX_CLIENT_BYTES)
        .on_upgrade(move |socket| stream(app, who, socket));
    Ok(Upgraded(upgrade))
}

async fn stream(app: App, mut who: Who, mut socket: WebSocket) {
    let clock = app.gateway.clock();
    // Taken before the greeting, so that nothing between the two is missed.
    let mut events = app.gateway.hub().subscribe(None);
    match clock.timeout(RESUME_WAIT, socket.recv()).await {
        Ok(Some(Ok(Message::Text(text)))) => {
            if let Ok(Hello { resume: Some(cursor) }) = serde_json::from_str(&text) {
                events = app.gateway.hub().subscribe(Some(cursor));
            }
        }
        Ok(Some(Err(err))) if is_too_long(&err) => {
            return leave(clock, socket, CLOSE_TOO_LONG).await;
        }
        // They are heard of below, where that matters.
        Ok(_) | Err(_) => (),
    }
    let close = loop {
        let frame = tokio::select! {
            next = events.next() => {
                // What they may can change while they listen.
                if let Some(user) = who.user.filter(|_| who.session.is_some()) {
                    who.roles = door::roles_of(&app, user);
                }
                frame(mine(next, &app, &who), &events)
            }
            heard = socket.recv() => match heard {
                Some(Err(err)) if is_too_long(&err) => break CLOSE_TOO_LONG,
                // Nothing else is asked of a client; pongs are answered below us.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            () = clock.sleep(BEAT) => {
                if !is_still_in(&app, &who).await {
                    break CLOSE_LOGIN;
                }
                frame(Next::Events(Vec::new()), &events)
            }
            () = app.drain.cancelled() => break CLOSE_AWAY,
        };
        let text = serde_json::to_string(&frame).expect("events have only string keys");
        let sent = clock.timeout(SEND_LIMIT, socket.send(Message::Text(text.into())));
        if !matches!(sent.await, Ok(Ok(()))) {
            return;
        }
    };
    leave(clock, socket, close).await;
}

/// Whether a client's frame was longer than it may be; what follows of it isn't read.
fn is_too_long(err: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    let cause = std::error::Error::source(err).and_then(|it| it.downcast_ref());
    matches!(cause, Some(Error::Capacity(_)))
}

/// Says why, and ends the connection, whether they hear it or not.
async fn leave(clock: &Clock, mut socket: WebSocket, code: u16) {
    let reason = match code {
        CLOSE_TOO_LONG => format!("a frame of a client has at most {MAX_CLIENT_BYTES} bytes"),
        _ => String::new(),
    };
    let bye = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    drop(clock.timeout(SEND_LIMIT, socket.send(bye)).await);
}

/// Leaves what the person may see.
fn mine(next: Next, app: &App, who: &Who) -> Next {
    let Next::Events(mut events) = next else { return next };
    if !who.may(Right::Operate) {
        let snapshot = app.gateway.directory().snapshot();
        events.retain(|it| may_see(&it.event, who, &snapshot));
    }
    Next::Events(events)
}

fn may_see(event: &Event, who: &Who, snapshot: &Snapshot) -> bool {
    match event {
        Event::Message { group, place, .. } => who.sees(*group, place, snapshot),
        Event::RunStarted { group, .. }
        | Event::Step { group, .. }
        | Event::RunFinished { group, .. } => who.may_in(*group, Right::Read),
        Event::Asked { place, .. } => who.sees(None, place, snapshot),
        // Says no more than that some question is closed.
        Event::AskAnswered { .. } | Event::Settings => true,
        Event::Channel { .. } => who.may(Right::Read),
        Event::PairingOffered { .. } => who.may(Right::ApproveChat),
        Event::Alert { .. } => who.may(Right::Operate),
    }
}

/// One frame of ours: events, or `reset` when some were missed.
#[derive(Debug, Serialize, JsonSchema)]
struct Frame {
    #[serde(flatten)]
    cursor: Cursor,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Numbered>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
}

fn frame(next: Next, events: &Subscription) -> Frame {
    let cursor = events.cursor();
    match next {
        Next::Events(events) => Frame { cursor, events: Some(events), reset: None },
        Next::Reset => Frame { cursor, events: None, reset: Some(true) },
    }
}

/// Whether the session that opened the stream still holds; an error of the store ends nothing.
async fn is_still_in(app: &App, who: &Who) -> bool {
    let Some(hash) = &who.session else { return true };
    let now = app.gateway.clock().now();
    match app.gateway.store().session(hash, now).await {
        Ok(found) => found.is_some_and(|it| now < it.expires_at),
        Err(err) => {
            tracing::warn!("could not look up a session: {:#}", anyhow::Error::from(err));
            true
        }
    }
}
