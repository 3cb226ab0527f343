//! The long connection: a frame is acknowledged once what it holds is on disk.
//!
//! <https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/request-url-configuration-case>:
//! Feishu repeats what is not acknowledged within 3 s, and gives each event to one of an app's connections at random.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose};
use futures_util::{FutureExt as _, future::BoxFuture};
use ngb_core::{
    clock::Timestamp,
    message::{Happening, Inbound},
    notice::{Lang, Notice},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Feishu,
    codes::TOO_MANY_CONNECTIONS,
    frame::{CONTROL, DATA, Frame, Parts},
    wire,
};
use crate::{
    Accepted, ChannelError, Intake, NotAccepted,
    socket::{Beat, Dial, Event, Socket, pending},
};

/// How often we ping, where Feishu doesn't say, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest frame, in bytes: a message has 150 KB, and larger events come in parts.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// Most events that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

const DOING: &str = "listen to Feishu";

/// How long other connections count as there after Feishu last counted too many.
const RIVAL_LINGERS: Duration = Duration::from_secs(3 * 60);

/// A frame that wants its acknowledgement, and what it holds.
struct Envelope {
    frame: Frame,
    came_at: Timestamp,
    event: Option<Inbound>,
}

/// A connection, as Feishu wants it kept.
struct Line {
    socket: Socket,
    service: i32,
    parts: Parts,
}

impl Feishu {
    pub(super) async fn listen(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let mut line = tokio::select! {
            line = self.connect(intake) => line?,
            () = stop.cancelled() => return Ok(()),
        };
        intake.pulse.beat(self.api.clock().now());
        let done = tokio::select! {
            done = self.take_all_frames(&mut line, intake) => done,
            () = stop.cancelled() => Ok(()),
        };
        line.socket.close(1000, "").await;
        done
    }

    async fn connect(&self, intake: &Intake) -> Result<Line, ChannelError> {
        const DOING: &str = "open a connection to Feishu";
        // Before the first event: whether the bot is meant must be known when it comes.
        let me = self.me().await?;
        let endpoint = self.api.endpoint().await.map_err(|it| {
            if it.is_one_of(TOO_MANY_CONNECTIONS) {
                intake.pulse.rival(it.to_string(), self.api.clock().now(), Some(RIVAL_LINGERS));
            }
            it.doing(DOING)
        })?;
        let url = Dial::handed(&endpoint.url, self.api.url()).map_err(|it| it.doing(DOING))?;
        let service = Url::parse(&url).ok();
        let service = service.as_ref().and_then(|it| {
            it.query_pairs().find(|it| it.0 == "service_id").and_then(|it| it.1.parse().ok())
        });
        let dial = Dial {
            url,
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: beat(&endpoint.config),
        };
        let socket = Socket::open(&self.api.http, dial).await.map_err(|it| it.doing(DOING))?;
        info!(account = %self.profile.account, "the bot is `{}`", me.name);
        Ok(Line { socket, service: service.unwrap_or_default(), parts: Parts::default() })
    }

    async fn take_all_frames(&self, line: &mut Line, intake: &Intake) -> Result<(), ChannelError> {
        let me = self.me().await?;
        // Runs beside the socket, whose heartbeats go on; what is new waits for it.
        let catching_up = self.catch_up(&intake.inbox, me);
        let mut behind: Option<BoxFuture<'_, Result<(), ChannelError>>> =
            Some(Box::pin(catching_up));
        let mut held = Vec::new();
        loop {
            let first = tokio::select! {
                biased;
                caught_up = pending(&mut behind) => {
                    caught_up?;
                    behind = None;
                    self.settle(line, intake, std::mem::take(&mut held)).await?;
                    continue;
                }
                came = line.socket.next() => came,
            };
            let mut batch: Vec<Envelope> = Vec::new();
            let mut over = None;
            let mut next = Some(first);
            while let Some(came) = next {
                match came {
                    Ok(Event::Binary(bytes)) => {
                        intake.pulse.progress(self.api.clock().now());
                        batch.extend(self.read_frame(line, &bytes, me).await);
                    }
                    Ok(Event::BeatDue) => {
                        let ping = Frame::ping(line.service).bytes();
                        line.socket.send_binary(ping).await.map_err(|it| it.doing(DOING))?;
                    }
                    Ok(Event::Text(_) | Event::Alive) => (),
                    Err(err) => over = Some(err.doing(DOING)),
                }
                let more = over.is_none() && batch.len() < BATCH;
                next = if more { line.socket.next().now_or_never() } else { None };
            }
            if behind.is_some() {
                held.extend(batch);
            } else {
                self.settle(line, intake, batch).await?;
            }
            if let Some(err) = over {
                return Err(err);
            }
        }
    }

    async fn read_frame(&self, line: &mut Line, bytes: &[u8], me: &wire::Me) -> Option<Envelope> {
        let came_at = self.api.clock().now();
        let Some(frame) = Frame::read(bytes) else {
            warn!(account = %self.profile.account, bytes = bytes.len(), "a frame can't be read and is dropped");
            return None;
        };
        match frame.method {
            CONTROL if frame.header("type") == "pong" => {
                // It may bring other settings of the connection.
                let config = frame.payload.as_deref().unwrap_or_default();
                if let Ok(config) = serde_json::from_slice::<Value>(config)
                    && config["PingInterval"].is_number()
                {
                    line.socket.set_beat(beat(&config));
                }
                None
            }
            DATA => {
                let payload = line.parts.take(&frame, came_at)?;
                let body = serde_json::from_slice(&payload).unwrap_or_default();
                let event = match wire::read(&body, &self.profile.account, me) {
                    Some(event) => Some(self.named(event).await),
                    None => None,
                };
                Some(Envelope { frame, came_at, event })
            }
            _ => None,
        }
    }

    /// Puts a batch on disk, then acknowledges all of it.
    async fn settle(
        &self,
        line: &mut Line,
        intake: &Intake,
        batch: Vec<Envelope>,
    ) -> Result<(), ChannelError> {
        let mut events = Vec::new();
        let mut waiting = Vec::with_capacity(batch.len());
        for Envelope { frame, came_at, event } in batch {
            let is_press =
                matches!(&event, Some(it) if matches!(it.what, Happening::Pressed { .. }));
            waiting.push((frame, came_at, event.is_some().then_some(events.len()), is_press));
            events.extend(event);
        }
        events.iter().for_each(|it| self.visible.saw(it));
        let accepted = match events.is_empty() {
            true => Vec::new(),
            false => match intake.inbox.accept_all(events).await {
                Ok(accepted) => accepted,
                Err(NotAccepted::NotStored) => {
                    warn!(account = %self.profile.account, "events could not be stored, so they are not acknowledged and come again");
                    return Ok(());
                }
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            },
        };
        for (frame, came_at, at, is_press) in waiting {
            let outcome = at.and_then(|it| accepted.get(it));
            let payload = acknowledgement(is_press, outcome == Some(&Accepted::NotYours));
            let took = self.api.clock().now().since(came_at).as_millis();
            // A socket that is gone meanwhile costs a repeat, which its key drops.
            let answer = frame.answer(&payload, took).bytes();
            line.socket.send_binary(answer).await.map_err(|it| it.doing(DOING))?;
        }
        Ok(())
    }
}

/// How the connection is to be kept, as Feishu says.
fn beat(config: &Value) -> Beat {
    let every = config["PingInterval"].as_u64().filter(|it| (1..=3600).contains(it));
    let every = every.map_or(PING_EVERY, Duration::from_secs);
    Beat::Own { every, patience: PATIENCE.min(every) }
}

/// 200; to who pressed a button also a word, where it was not theirs to press
/// (<https://open.feishu.cn/document/feishu-cards/card-callback-communication>).
fn acknowledgement(is_press: bool, not_yours: bool) -> Value {
    if !is_press {
        return json!({"code": 200});
    }
    let word = match not_yours {
        true => {
            json!({"toast": {"type": "warning", "content": Notice::NotYours.say(Lang::Zh, None)}})
        }
        false => json!({}),
    };
    json!({"code": 200, "data": general_purpose::STANDARD.encode(word.to_string())})
}
