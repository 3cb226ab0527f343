//! The socket, whichever side opened it: events, answers, signs of life.
//!
//! NapCat takes a handshake with a wrong token and says so in the first frame: a socket is good only once an event came.

use std::{net::SocketAddr, time::Duration};

use futures_util::FutureExt as _;
use ngb_core::message::Inbound;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tracing::{debug, info, warn};

use super::{
    Qq,
    api::{self, ApiError},
    wire,
};
use crate::{
    ChannelError, Intake, NotAccepted, Retry,
    calls::Desk,
    http::HttpError,
    socket::{Beat, Dial, Door, Event, Knock, Socket},
};

/// Until the other side names the interval of its heartbeats.
const BEAT: Beat = Beat::Ping { every: Duration::from_secs(30), patience: Duration::from_secs(15) };

/// Heartbeats that may be missed.
const MISSED_BEATS: u32 = 3;

/// Shortest patience with heartbeats, whatever interval is named.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// Longest frame, in bytes: NapCat sends up to 50 MB.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// Most events that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// Wait until events that could not be stored are offered again. They don't come again by themselves.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// How a talk ended, when it did not fail.
enum End {
    /// Somebody else was let in.
    Newer(Box<Socket>),
}

impl Qq {
    /// Forward: we open the socket.
    pub(super) async fn dial(&self, url: &str, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let mut headers = HeaderMap::new();
        if !self.token.expose().is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()));
            let unfit = |_| HttpError::Unfit("the token has signs that no header can hold".into());
            let mut value = value.map_err(unfit).map_err(|it| it.doing("connect to OneBot"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let dial = Dial {
            url: url.to_owned(),
            headers,
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: BEAT,
        };
        let mut socket = tokio::select! {
            socket = Socket::open(&self.http, dial) => socket.map_err(|it| it.doing("connect to OneBot"))?,
            () = stop.cancelled() => return Ok(()),
        };
        let mut desk = self.calls.open();
        let done = tokio::select! {
            done = self.talk(&mut socket, &mut desk, None, intake) => done.map(drop),
            () = stop.cancelled() => Ok(()),
        };
        drop(desk);
        socket.close(1000, "").await;
        done
    }

    /// Reverse: they open it, and the newest one counts.
    pub(super) async fn wait_for_calls(
        &self,
        listen: SocketAddr,
        intake: &mut Intake,
    ) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let check = |knock: &Knock| self.check(knock);
        let door = Door::open(listen, self.http.clock.clone(), BEAT, MAX_FRAME_BYTES, &check).await;
        let mut door = door.map_err(|err| ChannelError {
            doing: format!("listen on {listen} for OneBot"),
            retry: Retry::Backoff,
            maybe_done: false,
            moved_to: None,
            source: Box::new(err),
        })?;
        let account = &self.profile.account;
        info!(%account, "waiting for OneBot at ws://{}", door.addr().unwrap_or(listen));
        let mut next: Option<Socket> = None;
        loop {
            let mut socket = match next.take() {
                Some(socket) => socket,
                None => tokio::select! {
                    (socket, _) = door.next() => socket,
                    () = stop.cancelled() => return Ok(()),
                },
            };
            info!(%account, "OneBot has connected");
            let mut desk = self.calls.open();
            let done = tokio::select! {
                done = self.talk(&mut socket, &mut desk, Some(&mut door), intake) => done,
                () = stop.cancelled() => {
                    drop(desk);
                    socket.close(1000, "").await;
                    return Ok(());
                }
            };
            drop(desk);
            match done {
                Ok(End::Newer(newer)) => {
                    info!(%account, "OneBot has connected anew; the newest connection counts");
                    socket.close(1000, "replaced").await;
                    next = Some(*newer);
                }
                Err(err) if err.retry == Retry::Never => return Err(err),
                Err(err) => {
                    let error = &err as &dyn std::error::Error;
                    warn!(%account, error, "OneBot is gone, waiting for it");
                }
            }
        }
    }

    /// Whether who knocks shows our token: none lets in.
    fn check(&self, knock: &Knock) -> Option<u16> {
        let header = knock.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        // NapCat sends the header also with an empty token.
        let shown = header.and_then(|it| it.strip_prefix("Bearer").or(it.strip_prefix("Token")));
        let query = knock.path.split_once('?').map_or("", |(_, query)| query);
        let by_query = crate::hook::query(query).remove("access_token");
        let shown = shown.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).or(by_query);
        let Some(shown) = shown else {
            return (!self.token.expose().is_empty()).then_some(401);
        };
        let is_ours = bool::from(shown.as_bytes().ct_eq(self.token.expose().as_bytes()));
        (!is_ours && !self.token.expose().is_empty()).then_some(403)
    }

    async fn talk(
        &self,
        socket: &mut Socket,
        desk: &mut Desk<'_>,
        mut door: Option<&mut Door<'_>>,
        intake: &Intake,
    ) -> Result<End, ChannelError> {
        const DOING: &str = "listen to OneBot";
        loop {
            let mut next = tokio::select! {
                event = socket.next() => Some(event),
                order = desk.next() => {
                    let frame = desk.expect(order);
                    socket.send_text(frame).await.map_err(|it| it.doing(DOING))?;
                    continue;
                }
                (newer, _) = knocks(&mut door) => return Ok(End::Newer(Box::new(newer))),
            };
            let mut batch = Vec::new();
            let mut over = None;
            while let Some(event) = next {
                match event {
                    Ok(Event::Text(text)) => match self.take(&text, socket, desk, intake) {
                        Ok(event) => batch.extend(event),
                        Err(err) => over = Some(err),
                    },
                    Ok(Event::Binary(_) | Event::Alive | Event::BeatDue) => (),
                    Err(err) => over = Some(err.doing(DOING)),
                }
                let more = over.is_none() && batch.len() < BATCH;
                next = if more { socket.next().now_or_never() } else { None };
            }
            self.store(intake, batch).await?;
            if let Some(err) = over {
                return Err(err);
            }
        }
    }

    /// What a frame holds: an event, a sign of life, or the answer to a call.
    fn take(
        &self,
        text: &str,
        socket: &mut Socket,
        desk: &mut Desk<'_>,
        intake: &Intake,
    ) -> Result<Option<Inbound>, ChannelError> {
        let account = &self.profile.account;
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            warn!(%account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Ok(None);
        };
        if frame["post_type"].is_null() {
            if let Some(echo) = frame["echo"].as_str() {
                let echo = echo.to_owned();
                if !desk.answer(&echo, frame) {
                    debug!(%account, "nobody waits for the answer `{echo}`");
                }
                return Ok(None);
            }
            return match refused(&frame) {
                Some(err) => Err(err.doing("connect to OneBot")),
                None => Ok(None),
            };
        }
        intake.pulse.progress(self.http.clock.now());
        if frame["post_type"] == "meta_event" {
            if let Some(interval) = frame["interval"].as_u64().filter(|it| 0 < *it) {
                let patience = Duration::from_millis(interval).saturating_mul(MISSED_BEATS);
                socket.set_beat(Beat::Theirs { patience: patience.max(LEAST_PATIENCE) });
            }
            if frame["status"]["online"] == false {
                warn!(%account, "OneBot is there, but its QQ account is logged out; log in there again");
            }
            return Ok(None);
        }
        Ok(wire::read(&frame, account, |it| self.is_ours(it)))
    }

    /// Puts events on disk. OneBot says each once, so they are held until they are there.
    async fn store(&self, intake: &Intake, events: Vec<Inbound>) -> Result<(), ChannelError> {
        if events.is_empty() {
            return Ok(());
        }
        loop {
            match intake.inbox.accept_all(events.clone()).await {
                Ok(_) => return Ok(()),
                Err(NotAccepted::NotStored) => {
                    warn!(account = %self.profile.account, "events could not be stored and are held, since OneBot does not say them again");
                    self.http.clock.sleep(STORE_AGAIN).await;
                }
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            }
        }
    }
}

/// What NapCat says to a wrong token, before it hangs up.
fn refused(frame: &Value) -> Option<ApiError> {
    let code = frame["retcode"].as_i64().filter(|it| *it != 0)?;
    let words = frame["message"].as_str().or(frame["wording"].as_str()).unwrap_or("no reason");
    (api::meaning(code).0 == Retry::Never)
        .then(|| ApiError::Refused { code, words: words.to_owned() })
}

async fn knocks(door: &mut Option<&mut Door<'_>>) -> (Socket, Knock) {
    match door {
        Some(door) => door.next().await,
        None => std::future::pending().await,
    }
}
