//! The gateway: <https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html>.
//!
//! ```text
//! hello ─▶ identify ─▶ READY ─────────────────────────────────▶ events
//!       └▶ resume ───▶ events that were not stored come again ─▶ RESUMED
//! ```
//! The sequence number to resume from moves only once an event is on disk, so a socket that ends costs nothing.

use std::time::Duration;

use futures_util::FutureExt as _;
use ngb_core::message::{Happening, Inbound};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    QqBot,
    codes::{Closed, closed},
    wire,
};
use crate::{
    ChannelError, Intake, NotAccepted, Retry,
    http::HttpError,
    session::Session,
    socket::{Beat, Dial, Event, Socket, SocketError},
};

/// Groups and people, and what is said in channels to the bot
/// (<https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html#事件订阅intents>).
const GROUPS_AND_PEOPLE: u64 = 1 << 25;
const CHANNELS: u64 = 1 << 12 | 1 << 30;

/// Longest frame, in bytes; files are addresses in it.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// How long the greeting may take.
const HELLO_LIMIT: Duration = Duration::from_secs(20);

/// Heartbeats that a hello may ask for, and the one of a hello that asks for none.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);
const LONGEST_BEAT: Duration = Duration::from_secs(300);
const USUAL_BEAT: Duration = Duration::from_secs(41);

/// Wait before a session that QQ does not know is begun anew.
const BEGIN_ANEW: Duration = Duration::from_secs(2);

/// Most events that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// An ordinary end, and one after which the session is taken up again.
const END_SESSION: u16 = 1_000;
const KEEP_SESSION: u16 = 4_000;

const DOING: &str = "listen to QQ";

/// The gateway's operations.
mod op {
    pub(super) const DISPATCH: u64 = 0;
    pub(super) const HEARTBEAT: u64 = 1;
    pub(super) const IDENTIFY: u64 = 2;
    pub(super) const RESUME: u64 = 6;
    pub(super) const RECONNECT: u64 = 7;
    pub(super) const INVALID_SESSION: u64 = 9;
    pub(super) const HELLO: u64 = 10;
    pub(super) const HEARTBEAT_ACK: u64 = 11;
}

/// A socket, and whether its last heartbeat was answered.
struct Pulse {
    socket: Socket,
    interval: Duration,
    answered: bool,
}

impl Pulse {
    fn set_beat(&mut self) {
        self.socket.set_beat(Beat::Own { every: self.interval, patience: self.interval });
    }
}

/// Events of one stretch, and up to where they go.
#[derive(Default)]
struct Batch {
    events: Vec<Inbound>,
    seq: u64,
}

/// What a frame asks for beyond its event.
enum Step {
    Nothing,
    /// QQ wants a heartbeat now.
    Beat,
    Over(ChannelError),
}

impl QqBot {
    pub(super) async fn listen(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let mut pulse = tokio::select! {
            pulse = self.connect() => pulse?,
            () = stop.cancelled() => return Ok(()),
        };
        let done = tokio::select! {
            done = self.take_all(&mut pulse, intake) => done,
            () = stop.cancelled() => Ok(()),
        };
        match &done {
            Ok(()) => {
                self.sessions.forget();
                pulse.socket.close(END_SESSION, "").await;
            }
            Err(_) => pulse.socket.close(KEEP_SESSION, "").await,
        }
        done
    }

    /// A socket that has identified or resumed; what QQ makes of that comes as an event.
    async fn connect(&self) -> Result<Pulse, ChannelError> {
        const DOING: &str = "connect to QQ's gateway";
        // Before the first event: whether the bot is meant must be known when it comes.
        self.me().await?;
        let found = self.api.get("/gateway").await.map_err(|it| it.doing(DOING))?;
        let url = found["url"].as_str().unwrap_or_default();
        let url = Dial::handed(url, self.api.url()).map_err(|it| it.doing(DOING))?;
        let dial = Dial {
            url,
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: Beat::Theirs { patience: HELLO_LIMIT },
        };
        let mut socket = Socket::open(&self.api.http, dial).await.map_err(|it| it.doing(DOING))?;
        let interval = loop {
            match socket.next().await {
                Ok(Event::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                    if frame["op"] == op::HELLO {
                        let every = frame["d"]["heartbeat_interval"].as_u64();
                        let every = every.map_or(USUAL_BEAT, Duration::from_millis);
                        break every.clamp(SHORTEST_BEAT, LONGEST_BEAT);
                    }
                }
                Ok(_) => (),
                Err(err) => return Err(self.lost(err).await),
            }
        };
        let session = self.sessions.get();
        if session.is_none() {
            let wait = self.sessions.identify_in(self.api.clock().now());
            self.api.clock().sleep(wait).await;
        }
        let token = self.api.token(None).await.map_err(|it| it.doing(DOING))?;
        let first = match session {
            Some(Session { id, seq, .. }) => {
                json!({"op": op::RESUME, "d": {"token": token.expose(), "session_id": id, "seq": seq}})
            }
            None => {
                let intents = GROUPS_AND_PEOPLE | if self.guilds { CHANNELS } else { 0 };
                json!({"op": op::IDENTIFY, "d": {
                    "token": token.expose(), "intents": intents, "shard": [0, 1], "properties": {},
                }})
            }
        };
        socket.send_text(first.to_string()).await.map_err(|it| it.doing(DOING))?;
        let mut pulse = Pulse { socket, interval, answered: true };
        pulse.set_beat();
        Ok(pulse)
    }

    async fn take_all(&self, pulse: &mut Pulse, intake: &Intake) -> Result<(), ChannelError> {
        loop {
            let mut next = Some(pulse.socket.next().await);
            let mut batch = Batch::default();
            let mut over = None;
            while let Some(came) = next {
                let step = match came {
                    Ok(Event::Text(text)) => {
                        self.read_frame(&text, pulse, intake, &mut batch).await?
                    }
                    Ok(Event::BeatDue) if !pulse.answered => Step::Over(deaf()),
                    Ok(Event::BeatDue) => Step::Beat,
                    Ok(Event::Binary(_) | Event::Alive) => Step::Nothing,
                    Err(err) => Step::Over(self.lost(err).await),
                };
                match step {
                    Step::Nothing => (),
                    Step::Beat => self.beat(pulse).await?,
                    Step::Over(err) => over = Some(err),
                }
                let more = over.is_none() && batch.events.len() < BATCH;
                next = if more { pulse.socket.next().now_or_never() } else { None };
            }
            self.settle(intake, batch).await?;
            if let Some(err) = over {
                return Err(err);
            }
        }
    }

    async fn beat(&self, pulse: &mut Pulse) -> Result<(), ChannelError> {
        let seq = self.sessions.get().map(|it| it.seq).filter(|it| 0 < *it);
        let beat = json!({"op": op::HEARTBEAT, "d": seq}).to_string();
        pulse.socket.send_text(beat).await.map_err(|it| it.doing(DOING))?;
        pulse.answered = false;
        pulse.set_beat();
        Ok(())
    }

    async fn read_frame(
        &self,
        text: &str,
        pulse: &mut Pulse,
        intake: &Intake,
        batch: &mut Batch,
    ) -> Result<Step, ChannelError> {
        let now = self.api.clock().now();
        let account = &self.profile.account;
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            warn!(%account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Ok(Step::Nothing);
        };
        Ok(match frame["op"].as_u64() {
            Some(op::DISPATCH) => {
                let (kind, d) = (frame["t"].as_str().unwrap_or("no type"), &frame["d"]);
                // Some events have no number.
                batch.seq = frame["s"].as_u64().unwrap_or_default().max(batch.seq);
                match kind {
                    "READY" => {
                        let id = d["session_id"].as_str().unwrap_or_default().to_owned();
                        self.sessions.begin(Session { id, url: None, seq: 0 });
                        let name = d["user"]["username"].as_str().unwrap_or_default();
                        info!(%account, "the bot is `{name}`");
                        intake.pulse.beat(now);
                    }
                    "RESUMED" => intake.pulse.progress(now),
                    _ => intake.pulse.beat(now),
                }
                let id = frame["id"].as_str().unwrap_or_default();
                let id =
                    if id.is_empty() { format!("{}-{}", now.0, batch.seq) } else { id.to_owned() };
                let me = self.me().await?;
                let said = wire::Said { kind, id: &id, d, account, me, now };
                batch.events.extend(wire::read(&said));
                Step::Nothing
            }
            Some(op::HEARTBEAT) => Step::Beat,
            Some(op::HEARTBEAT_ACK) => {
                pulse.answered = true;
                intake.pulse.progress(now);
                Step::Nothing
            }
            Some(op::RECONNECT) => Step::Over(again("QQ moves this connection elsewhere")),
            Some(op::INVALID_SESSION) => {
                self.sessions.forget();
                let retry = Retry::After(BEGIN_ANEW);
                Step::Over(ChannelError { retry, ..again("QQ has forgotten the session") })
            }
            _ => Step::Nothing,
        })
    }

    /// Puts events on disk; only then may QQ forget them.
    async fn settle(&self, intake: &Intake, batch: Batch) -> Result<(), ChannelError> {
        let Batch { events, seq } = batch;
        if !events.is_empty() {
            events.iter().for_each(|it| self.note(it));
            match intake.inbox.accept_all(events).await {
                Ok(_) => intake.pulse.progress(self.api.clock().now()),
                // It comes again when the session is resumed from before it.
                Err(NotAccepted::NotStored) => return Err(again("events could not be stored")),
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            }
        }
        self.sessions.stored(seq);
        Ok(())
    }

    /// Remembers what may be answered.
    pub(super) fn note(&self, event: &Inbound) {
        if let Happening::Message(it) = &event.what {
            let now = self.api.clock().now();
            self.recent.heard(event.place.jid.chat(), &it.platform_id, now);
        }
    }

    /// What the end of a socket means.
    async fn lost(&self, err: SocketError) -> ChannelError {
        match closed(err.close_code()) {
            Closed::Final(why) => ChannelError {
                retry: Retry::Never,
                source: format!("{why} ({err})").into(),
                ..err.doing(DOING)
            },
            Closed::NewSession => {
                self.sessions.forget();
                err.doing(DOING)
            }
            Closed::NewToken => {
                // Should no new one be had, the next connection says why.
                if let Ok(stale) = self.api.token(None).await {
                    _ = self.api.token(Some(&stale)).await;
                }
                err.doing(DOING)
            }
            Closed::Resume => err.doing(DOING),
        }
    }
}

fn again(why: &'static str) -> ChannelError {
    ChannelError {
        source: why.into(),
        retry: Retry::Backoff,
        ..HttpError::Unfit(why.into()).doing(DOING)
    }
}

fn deaf() -> ChannelError {
    again("a heartbeat was not answered, so the connection is dead")
}
