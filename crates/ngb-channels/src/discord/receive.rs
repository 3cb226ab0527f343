//! The gateway: <https://docs.discord.com/developers/events/gateway>.
//!
//! ```text
//! hello ─▶ identify ─▶ READY ─▶ what was missed is fetched; meanwhile what is new is held ─▶ events
//!       └▶ resume ──────────▶ events that were not stored come again ─▶ RESUMED ──────────────┘
//! ```
//! The sequence number to resume from moves only once an event is on disk, so a socket that ends costs nothing.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use ngb_core::message::Inbound;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    Discord,
    codes::{Closed, closed},
    press::Waiting,
    wire,
};
use crate::{
    ChannelError, Intake, NotAccepted, Retry,
    http::HttpError,
    session::Session,
    socket::{Beat, Dial, Event, Socket, SocketError, pending},
};

/// Servers with their channels, messages of people, what they say, and reactions: GUILDS, GUILD_MESSAGES,
/// GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGES, DIRECT_MESSAGE_REACTIONS and MESSAGE_CONTENT (<https://docs.discord.com/developers/events/gateway#list-of-intents>).
const INTENTS: u64 = 1 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 15;

/// Longest frame, in bytes: a large server's channels, roles and threads come in one.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// How long the greeting may take.
const HELLO_LIMIT: Duration = Duration::from_secs(20);

/// Heartbeats that a hello may ask for.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);
const LONGEST_BEAT: Duration = Duration::from_secs(300);

/// Most events that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// Most events that are held while what was missed is fetched; with more the connection begins anew later.
const MOST_HELD: usize = 20_000;

/// An end that keeps the session; 1000 and 1001 end it.
const KEEP_SESSION: u16 = 4_000;
const END_SESSION: u16 = 1_000;

const DOING: &str = "listen to Discord";

/// The gateway's operations (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-opcodes>).
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

/// Events of one stretch, what waits for them, and up to where they go.
#[derive(Default)]
struct Batch {
    events: Vec<Inbound>,
    /// With the place of its event.
    waiting: Vec<(usize, Waiting)>,
    seq: u64,
}

impl Batch {
    fn append(&mut self, other: Self) {
        let before = self.events.len();
        self.events.extend(other.events);
        self.waiting.extend(other.waiting.into_iter().map(|(at, it)| (before + at, it)));
        self.seq = self.seq.max(other.seq);
    }
}

/// What a frame asks for beyond its events.
enum Step {
    Nothing,
    /// A new session: what was missed is to be fetched.
    Begun(Session),
    /// Discord wants a heartbeat now.
    Beat,
    Over(ChannelError),
}

impl Discord {
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

    /// A socket that has identified or resumed; what Discord makes of that comes as an event.
    async fn connect(&self) -> Result<Pulse, ChannelError> {
        const DOING: &str = "connect to Discord's gateway";
        let session = self.sessions.get();
        let own = session.as_ref().and_then(|it| it.url.clone());
        let url = match &own {
            Some(url) => url.clone(),
            None => self.gateway_url(session.is_none()).await?,
        };
        let url = Dial::handed(&url, self.api.url()).map_err(|it| it.doing(DOING))?;
        let mut url = reqwest::Url::parse(&url)
            .map_err(|_| HttpError::Unfit("the gateway's address is none".into()).doing(DOING))?;
        url.set_query(Some("v=10&encoding=json"));
        let dial = Dial {
            url: url.into(),
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: Beat::Theirs { patience: HELLO_LIMIT },
        };
        let opened = Socket::open(&self.api.http, dial).await;
        if opened.is_err() && own.is_some() {
            self.sessions.forget_url();
        }
        let mut socket = opened.map_err(|it| it.doing(DOING))?;
        let interval = loop {
            match socket.next().await {
                Ok(Event::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                    if frame["op"] == op::HELLO {
                        let every = frame["d"]["heartbeat_interval"].as_f64().unwrap_or(41_250.0);
                        let every = Duration::try_from_secs_f64(every / 1000.0);
                        break every.unwrap_or(LONGEST_BEAT).clamp(SHORTEST_BEAT, LONGEST_BEAT);
                    }
                }
                Ok(_) => (),
                Err(err) => return Err(self.lost(err)),
            }
        };
        let first = match session {
            Some(Session { id, seq, .. }) => {
                json!({"op": op::RESUME, "d": {"token": self.api.token().expose(), "session_id": id, "seq": seq}})
            }
            None => {
                let wait = self.sessions.identify_in(self.api.now());
                self.api.http.clock.sleep(wait).await;
                let who = json!({"os": std::env::consts::OS, "browser": "nanogridbot", "device": "nanogridbot"});
                json!({"op": op::IDENTIFY, "d": {
                    "token": self.api.token().expose(), "intents": INTENTS, "properties": who,
                }})
            }
        };
        socket.send_text(first.to_string()).await.map_err(|it| it.doing(DOING))?;
        // The first one at a random time, so that not all bots beat together.
        socket.set_beat(Beat::Own { every: interval.mul_f64(fraction()), patience: interval });
        Ok(Pulse { socket, interval, answered: true })
    }

    /// Where sockets are opened. Who identifies too often has its token taken away, so the count is heeded.
    async fn gateway_url(&self, identifies: bool) -> Result<String, ChannelError> {
        const DOING: &str = "ask for Discord's gateway";
        let found = self.api.get("/gateway/bot").await.map_err(|it| it.doing(DOING))?;
        let limit = &found["session_start_limit"];
        if identifies && limit["remaining"] == 0 {
            let wait = limit["reset_after"].as_u64().unwrap_or_default();
            let why =
                HttpError::Unfit("Discord takes no more connections of this bot today".into());
            let retry = Retry::After(Duration::from_millis(wait.max(1_000)));
            return Err(ChannelError { retry, ..why.doing(DOING) });
        }
        match found["url"].as_str() {
            Some(url) => Ok(url.to_owned()),
            None => Err(HttpError::Unfit("Discord named no gateway".into()).doing(DOING)),
        }
    }

    async fn take_all(&self, pulse: &mut Pulse, intake: &Intake) -> Result<(), ChannelError> {
        // These run beside the socket, whose heartbeats go on.
        let mut offering: Option<BoxFuture<'_, ()>> = None;
        let mut behind: Option<BoxFuture<'_, Result<(), ChannelError>>> = None;
        let mut held = Batch::default();
        // It can be taken up again only once nothing before it is missing.
        let mut begun = None;
        loop {
            let first = tokio::select! {
                biased;
                caught_up = pending(&mut behind) => {
                    caught_up?;
                    behind = None;
                    offering = Some(Box::pin(self.offer_commands()));
                    begun.take().into_iter().for_each(|it| self.sessions.begin(it));
                    self.settle(intake, std::mem::take(&mut held)).await?;
                    continue;
                }
                () = pending(&mut offering) => {
                    offering = None;
                    continue;
                }
                came = pulse.socket.next() => came,
            };
            let mut batch = Batch::default();
            let mut over = None;
            let mut next = Some(first);
            while let Some(came) = next {
                let step = match came {
                    Ok(Event::Text(text)) => {
                        self.read_frame(&text, pulse, intake, &mut batch).await
                    }
                    Ok(Event::BeatDue) if !pulse.answered => Step::Over(deaf()),
                    Ok(Event::BeatDue) => Step::Beat,
                    Ok(Event::Binary(_) | Event::Alive) => Step::Nothing,
                    Err(err) => Step::Over(self.lost(err)),
                };
                match step {
                    Step::Nothing => (),
                    Step::Begun(session) => {
                        begun = Some(session);
                        behind = Some(Box::pin(self.catch_up(&intake.inbox)));
                    }
                    Step::Beat => self.beat(pulse).await?,
                    Step::Over(err) => over = Some(err),
                }
                let more = over.is_none() && batch.events.len() < BATCH;
                next = if more { pulse.socket.next().now_or_never() } else { None };
            }
            if behind.is_some() {
                held.append(batch);
                if MOST_HELD < held.events.len() {
                    over.get_or_insert_with(swamped);
                }
            } else {
                self.settle(intake, batch).await?;
            }
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
        pulse.socket.set_beat(Beat::Own { every: pulse.interval, patience: pulse.interval });
        Ok(())
    }

    async fn read_frame(
        &self,
        text: &str,
        pulse: &mut Pulse,
        intake: &Intake,
        batch: &mut Batch,
    ) -> Step {
        let now = self.api.now();
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            warn!(account = %self.profile.account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Step::Nothing;
        };
        match frame["op"].as_u64() {
            Some(op::DISPATCH) => self.read_event(&frame, intake, batch).await,
            Some(op::HEARTBEAT) => Step::Beat,
            Some(op::HEARTBEAT_ACK) => {
                pulse.answered = true;
                intake.pulse.progress(now);
                Step::Nothing
            }
            Some(op::RECONNECT) => Step::Over(again("Discord moves this connection elsewhere")),
            Some(op::INVALID_SESSION) if frame["d"] == true => {
                Step::Over(again("Discord asks to resume once more"))
            }
            Some(op::INVALID_SESSION) => {
                self.sessions.forget();
                // Between 1 and 5 s, says the page.
                let wait =
                    Duration::from_millis(1_000) + Duration::from_secs(4).mul_f64(fraction());
                let retry = Retry::After(wait);
                Step::Over(ChannelError { retry, ..again("Discord has forgotten the session") })
            }
            _ => Step::Nothing,
        }
    }

    async fn read_event(&self, frame: &Value, intake: &Intake, batch: &mut Batch) -> Step {
        let kind = frame["t"].as_str().unwrap_or("no type");
        let event = &frame["d"];
        let seq = frame["s"].as_u64().unwrap_or_default();
        if let Err(err) = self.look_up_room(event).await {
            return Step::Over(err);
        }
        let events = {
            let mut facts = self.known.lock();
            facts.learn(kind, event);
            if let Some(ours) = wire::given_back(kind, event, &facts) {
                intake.pulse.gave_back(ours);
            }
            wire::read(kind, event, &self.profile.account, &facts)
        };
        if kind == "INTERACTION_CREATE" && !events.is_empty() {
            batch.waiting.extend(Waiting::of(event).map(|it| (batch.events.len(), it)));
        }
        batch.events.extend(events);
        batch.seq = batch.seq.max(seq);
        let now = self.api.now();
        match kind {
            "READY" => {
                let id = event["session_id"].as_str().unwrap_or_default().to_owned();
                let url = event["resume_gateway_url"].as_str().map(str::to_owned);
                let name = event["user"]["username"].as_str().unwrap_or_default();
                let servers = event["guilds"].as_array().map_or(0, Vec::len);
                info!(account = %self.profile.account, servers, "the bot is `{name}`");
                intake.pulse.beat(now);
                Step::Begun(Session { id, url, seq: 0 })
            }
            "RESUMED" => {
                intake.pulse.progress(now);
                Step::Nothing
            }
            _ => {
                intake.pulse.beat(now);
                Step::Nothing
            }
        }
    }

    /// Puts a batch on disk, then tells who waits for it.
    async fn settle(&self, intake: &Intake, batch: Batch) -> Result<(), ChannelError> {
        let Batch { events, waiting, seq } = batch;
        if !events.is_empty() {
            let accepted = match intake.inbox.accept_all(events).await {
                Ok(accepted) => accepted,
                // It comes again when the session is resumed from before it.
                Err(NotAccepted::NotStored) => return Err(again("events could not be stored")),
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            };
            intake.pulse.progress(self.api.now());
            self.sessions.stored(seq);
            let told = waiting.iter().filter_map(|(at, it)| Some((it, *accepted.get(*at)?)));
            futures_util::future::join_all(told.map(|(it, what)| self.acknowledge(it, what))).await;
        }
        self.sessions.stored(seq);
        Ok(())
    }

    /// What the end of a socket means.
    fn lost(&self, err: SocketError) -> ChannelError {
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
            Closed::Resume => err.doing(DOING),
        }
    }
}

fn again(why: &'static str) -> ChannelError {
    ChannelError {
        doing: DOING.into(),
        retry: Retry::Backoff,
        maybe_done: false,
        moved_to: None,
        source: why.into(),
    }
}

fn deaf() -> ChannelError {
    again("a heartbeat was not answered, so the connection is dead")
}

fn swamped() -> ChannelError {
    again("more came than can be held while what was missed is fetched")
}

/// A number from 0 to 1 that differs from time to time; each `RandomState` has keys of its own.
fn fraction() -> f64 {
    f64::from(RandomState::new().build_hasher().finish().to_le_bytes()[0]) / 255.0
}
