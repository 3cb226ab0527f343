//! Socket Mode: an envelope is acknowledged once what it holds is on disk.
//!
//! ```text
//! hello ─▶ what was missed is fetched; meanwhile what is new is held, for so long ─▶ envelopes
//! ```
//! <https://docs.slack.dev/apis/events-api/using-socket-mode>: Slack repeats what is not acknowledged within 3 s, and
//! closes each socket after some hours, with a warning; then the next one is opened first.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use ngb_core::{
    address::Place,
    message::{Happening, Inbound},
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{Slack, wire};
use crate::{
    Accepted, ChannelError, Intake, NotAccepted, Pulse, Retry,
    http::HttpError,
    socket::{Beat, Dial, Event, Line, Lost, Seat, Socket, at, pending},
};

/// Slack's own clients ping every few seconds; this is enough to find a dead line before Slack misses us.
const BEAT: Beat = Beat::Ping { every: Duration::from_secs(20), patience: Duration::from_secs(10) };

/// Longest frame, in bytes. A message has 40,000 characters, and its blocks repeat them.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// How long the greeting may take.
const HELLO_LIMIT: Duration = Duration::from_secs(20);

/// How long Slack may count a socket of ours that was cut: it misses our pings by then.
const CUT_IS_COUNTED: Duration = Duration::from_secs(60);

/// Most envelopes that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// How long what is new waits for what was missed; then it goes first, since Slack asks for patience of minutes where
/// much was missed, and takes an app that acknowledges nothing for a broken one.
const HOLD_LIMIT: Duration = Duration::from_secs(20);

/// An envelope that wants its acknowledgement, and what it holds.
struct Envelope {
    seat: Seat,
    id: String,
    event: Option<Inbound>,
}

/// What a frame is to us.
enum Frame {
    Envelope(Box<Envelope>),
    /// This socket ends soon.
    Refresh,
    /// Slack wants no socket of this app.
    Disabled,
    /// Nothing but a sign of life.
    Nothing,
}

impl Slack {
    pub(super) async fn listen(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let socket = tokio::select! {
            socket = self.open_socket(&intake.pulse, 1) => socket?,
            () = stop.cancelled() => return Ok(()),
        };
        intake.pulse.beat(self.api.http.clock.now());
        let mut line = Line::new(socket);
        let done = tokio::select! {
            done = self.take_all(&mut line, intake) => done,
            () = stop.cancelled() => Ok(()),
        };
        line.close().await;
        done
    }

    /// A socket that has said hello; only then does Slack send events on it. With it we have `ours`.
    async fn open_socket(&self, pulse: &Pulse, ours: u64) -> Result<Socket, ChannelError> {
        const DOING: &str = "open a socket";
        let url = self.api.open_connection().await.map_err(|it| it.doing(DOING))?;
        let url = Dial::handed(&url, self.api.url()).map_err(|it| it.doing(DOING))?;
        // Before the first event: whether the bot is meant must be known when it comes.
        let me = self.me().await?;
        let headers = HeaderMap::new();
        let dial = Dial {
            url,
            headers,
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: BEAT,
        };
        let mut socket = Socket::open(&self.api.http, dial).await.map_err(|it| it.doing(DOING))?;
        let hello = self.api.http.clock.timeout(HELLO_LIMIT, async {
            loop {
                let Event::Text(text) = socket.next().await? else { continue };
                match serde_json::from_str::<Value>(&text) {
                    Ok(frame) if frame["type"] == "hello" => return Ok(frame),
                    // Slack closes right after it.
                    Ok(frame) if frame["type"] == "disconnect" => {
                        warn!(account = %self.profile.account, "Slack said `{}`", frame["reason"]);
                    }
                    _ => (),
                }
            }
        });
        let hello = match hello.await {
            Ok(hello) => hello
                .map_err(|err: crate::socket::SocketError| err.doing("wait for Slack's hello"))?,
            Err(late) => return Err(HttpError::from(late).doing("wait for Slack's hello")),
        };
        let sockets = hello["num_connections"].as_u64().unwrap_or(ours);
        let now = self.api.http.clock.now();
        // A socket that was cut is counted for a while.
        let cut = pulse
            .notes()
            .borrow()
            .last_failure
            .as_ref()
            .is_some_and(|it| now < it.0 + CUT_IS_COUNTED);
        match sockets.saturating_sub(ours + u64::from(cut)) {
            0 => pulse.no_rival(),
            others => pulse.rival(others_there(others), now, None),
        }
        let account = &self.profile.account;
        info!(%account, sockets, "the bot is `@{}` in `{}`", me.name, me.team);
        Ok(socket)
    }

    async fn take_all<'a>(
        &'a self,
        line: &mut Line<'a>,
        intake: &'a Intake,
    ) -> Result<(), ChannelError> {
        // Runs beside the socket, whose pings go on.
        let mut behind: Option<BoxFuture<'_, Result<(), ChannelError>>> =
            Some(Box::pin(self.catch_up(&intake.inbox)));
        let clock = &self.api.http.clock;
        let mut hold_until = Some(clock.now() + HOLD_LIMIT);
        let mut held = Vec::new();
        loop {
            let first = tokio::select! {
                biased;
                caught_up = pending(&mut behind) => {
                    caught_up?;
                    (behind, hold_until) = (None, None);
                    self.settle(line, intake, std::mem::take(&mut held)).await?;
                    continue;
                }
                () = at(clock, hold_until) => {
                    hold_until = None;
                    self.settle(line, intake, std::mem::take(&mut held)).await?;
                    continue;
                }
                came = line.next() => came,
            };
            let mut next = Some(first);
            let mut batch: Vec<Envelope> = Vec::new();
            let mut over = None;
            let mut refresh = false;
            while let Some(came) = next {
                match came {
                    Ok((seat, event)) => match self.read_frame(seat, event, &intake.pulse).await {
                        Frame::Envelope(envelope) => batch.push(*envelope),
                        Frame::Refresh => refresh = true,
                        Frame::Disabled => over = Some(disabled()),
                        Frame::Nothing => (),
                    },
                    Err(err) => over = Some(lost(err)),
                }
                let more = over.is_none() && batch.len() < BATCH;
                next = if more { line.next().now_or_never() } else { None };
            }
            if refresh {
                line.replace(Box::pin(self.open_socket(&intake.pulse, 2)));
            } else {
                intake.pulse.progress(self.api.http.clock.now());
            }
            if hold_until.is_some() {
                held.extend(batch);
            } else {
                self.settle(line, intake, batch).await?;
            }
            if let Some(err) = over {
                return Err(err);
            }
        }
    }

    /// What a frame holds. Every envelope is one, also of a kind that we don't know: Slack repeats what nobody takes.
    async fn read_frame(&self, seat: Seat, event: Event, pulse: &Pulse) -> Frame {
        let Event::Text(text) = event else { return Frame::Nothing };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else {
            warn!(account = %self.profile.account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Frame::Nothing;
        };
        if frame["type"] == "disconnect" {
            info!(account = %self.profile.account, "Slack ends a socket: {}", frame["reason"]);
            return match frame["reason"].as_str() {
                Some("link_disabled") => Frame::Disabled,
                _ => Frame::Refresh,
            };
        }
        let Some(id) = frame["envelope_id"].as_str() else { return Frame::Nothing };
        let id = id.to_owned();
        let Some(me) = self.me.get() else { return Frame::Nothing };
        if let Some(ours) = wire::given_back(&frame, me) {
            pulse.gave_back(ours);
        }
        let event = match wire::read(&frame, &self.profile.account, me) {
            Some(read) => Some(self.named(read, me).await),
            None => None,
        };
        Frame::Envelope(Box::new(Envelope { seat, id, event }))
    }

    /// Puts a batch on disk, then acknowledges all of it.
    async fn settle(
        &self,
        line: &mut Line<'_>,
        intake: &Intake,
        batch: Vec<Envelope>,
    ) -> Result<(), ChannelError> {
        let mut acks = Vec::with_capacity(batch.len());
        let mut events = Vec::new();
        for Envelope { seat, id, event } in batch {
            acks.push((seat, id));
            events.extend(event);
        }
        for event in &events {
            self.visible.saw(event);
        }
        if !events.is_empty() {
            let pressed: Vec<Option<(Place, String)>> = events.iter().map(pressed).collect();
            match intake.inbox.accept_all(events).await {
                Ok(accepted) => {
                    let strangers = accepted.into_iter().zip(pressed);
                    let strangers = strangers.filter(|(it, _)| *it == Accepted::NotYours);
                    for (place, user) in strangers.filter_map(|(_, it)| it) {
                        self.tell_stranger(&place, &user).await;
                    }
                }
                Err(NotAccepted::NotStored) => {
                    warn!(account = %self.profile.account, "events could not be stored, so they are not acknowledged and come again");
                    return Ok(());
                }
                Err(closed @ NotAccepted::Closed) => {
                    return Err(ChannelError {
                        doing: "hand on events".into(),
                        retry: Retry::Never,
                        maybe_done: false,
                        moved_to: None,
                        source: closed.into(),
                    });
                }
            }
        }
        for (seat, id) in acks {
            let ack = json!({"envelope_id": id}).to_string();
            // A socket that is gone meanwhile costs a repeat, which its key drops.
            match line.send_text(seat, ack).await {
                Ok(true) => (),
                Ok(false) => tracing::debug!("the socket of an envelope is gone; it comes again"),
                Err(err) => tracing::debug!("an envelope could not be acknowledged: {err}"),
            }
        }
        Ok(())
    }
}

/// Where a button was pressed, and by whom.
fn pressed(event: &Inbound) -> Option<(Place, String)> {
    let is_press = matches!(event.what, Happening::Pressed { .. });
    is_press.then(|| (event.place.clone(), event.sender.id.clone()))
}

fn others_there(others: u64) -> String {
    format!(
        "Slack counts {others} more of the app's sockets than are ours: another program uses its app-level token and takes \
         some of the events; stop it, or give it an app of its own"
    )
}

fn disabled() -> ChannelError {
    ChannelError {
        doing: "listen to Slack".into(),
        retry: Retry::Never,
        maybe_done: false,
        moved_to: None,
        source: "Socket Mode was turned off for the app; turn it on again on the app's page".into(),
    }
}

fn lost(err: Lost) -> ChannelError {
    match err {
        Lost::Socket(err) => err.doing("listen to Slack"),
        Lost::Opening(err) => err,
    }
}
