//! Stream mode: a frame is acknowledged once what it holds is on disk.
//!
//! <https://open.dingtalk.com/document/orgapp/stream>: what is not acknowledged comes again within a minute. DingTalk says
//! `disconnect` before it ends a socket; then the next one is opened first.

use std::time::Duration;

use futures_util::FutureExt as _;
use ngb_core::message::{Happening, Inbound};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{
    Dingtalk,
    api::{MESSAGES, PRESSES},
    wire::{self, Read},
};
use crate::{
    Accepted, ChannelError, Intake, NotAccepted,
    http::HttpError,
    socket::{Beat, Dial, Event, Line, Lost, Seat, Socket},
};

/// Besides the platform's own pings, which come without a promise.
const BEAT: Beat = Beat::Ping { every: Duration::from_secs(30), patience: Duration::from_secs(15) };

/// Longest frame, in bytes; files are codes in it.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// Most frames that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// A frame that wants its acknowledgement, and what it holds.
struct Envelope {
    seat: Seat,
    /// The frame's id.
    id: String,
    /// What the acknowledgement says, unless a press changes that.
    data: Value,
    read: Option<Read>,
}

/// What a frame is to us.
enum Frame {
    Envelope(Box<Envelope>),
    /// To be answered at once.
    Answer(Seat, String),
    /// This socket ends soon.
    Refresh,
    /// Nothing but a sign of life.
    Nothing,
}

impl Dingtalk {
    pub(super) async fn listen(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let socket = tokio::select! {
            socket = self.open_socket() => socket?,
            () = stop.cancelled() => return Ok(()),
        };
        intake.pulse.beat(self.api.http.clock.now());
        info!(account = %self.profile.account, "a socket to DingTalk is open");
        let mut line = Line::new(socket);
        let done = tokio::select! {
            done = self.take_all(&mut line, intake) => done,
            () = stop.cancelled() => Ok(()),
        };
        line.close().await;
        done
    }

    async fn open_socket(&self) -> Result<Socket, ChannelError> {
        const DOING: &str = "open a socket to DingTalk";
        let opened = self.api.open_connection().await.map_err(|it| it.doing(DOING))?;
        let unfit = |_| HttpError::Unfit("DingTalk's address for a socket is none".into());
        let url = reqwest::Url::parse_with_params(&opened.endpoint, [("ticket", &opened.ticket)]);
        let url = url.map_err(unfit).and_then(|it| Dial::handed(it.as_str(), self.api.url()));
        let dial = Dial {
            url: url.map_err(|it| it.doing(DOING))?,
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: BEAT,
        };
        Socket::open(&self.api.http, dial).await.map_err(|it| it.doing(DOING))
    }

    async fn take_all<'a>(
        &'a self,
        line: &mut Line<'a>,
        intake: &Intake,
    ) -> Result<(), ChannelError> {
        loop {
            let mut next = Some(line.next().await);
            let mut batch: Vec<Envelope> = Vec::new();
            let mut over = None;
            let mut refresh = false;
            while let Some(came) = next {
                match came {
                    Ok((seat, event)) => match self.read_frame(seat, event) {
                        Frame::Envelope(envelope) => batch.push(*envelope),
                        Frame::Answer(seat, text) => answer(line, seat, text).await,
                        Frame::Refresh => refresh = true,
                        Frame::Nothing => (),
                    },
                    Err(Lost::Socket(err)) => over = Some(err.doing("listen to DingTalk")),
                    Err(Lost::Opening(err)) => over = Some(err),
                }
                let more = over.is_none() && batch.len() < BATCH;
                next = if more { line.next().now_or_never() } else { None };
            }
            if refresh {
                line.replace(Box::pin(self.open_socket()));
            } else {
                intake.pulse.progress(self.api.http.clock.now());
            }
            self.settle(line, intake, batch).await?;
            if let Some(err) = over {
                return Err(err);
            }
        }
    }

    fn read_frame(&self, seat: Seat, event: Event) -> Frame {
        let account = &self.profile.account;
        let Event::Text(text) = event else { return Frame::Nothing };
        let Ok(frame) = serde_json::from_str::<Value>(&text) else {
            warn!(%account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Frame::Nothing;
        };
        let headers = &frame["headers"];
        let (id, topic) = (&headers["messageId"], headers["topic"].as_str().unwrap_or_default());
        let Some(id) = id.as_str() else { return Frame::Nothing };
        let data = frame["data"].as_str().unwrap_or_default();
        let envelope = |read, data: Value| {
            Frame::Envelope(Box::new(Envelope { seat, id: id.to_owned(), data, read }))
        };
        match (frame["type"].as_str(), topic) {
            (Some("SYSTEM"), "disconnect") => {
                info!(%account, "DingTalk ends a socket: {data}");
                Frame::Refresh
            }
            // A ping wants its own data back.
            (Some("SYSTEM"), _) => Frame::Answer(seat, acknowledgement(id, data)),
            (Some("CALLBACK"), MESSAGES) => {
                envelope(wire::read(data, id, account), json!({"response": {}}))
            }
            (Some("CALLBACK"), PRESSES) => {
                let now = self.api.http.clock.now();
                envelope(wire::read_press(data, id, account, now), json!({"response": {}}))
            }
            (Some("CALLBACK"), _) => {
                let kind = format!("callback {topic}");
                envelope(wire::unknown(&kind, id, account), json!({"response": {}}))
            }
            (Some("EVENT"), _) => {
                let kind = format!("event {}", headers["eventType"].as_str().unwrap_or(topic));
                let done = json!({"status": "SUCCESS", "message": "stored"});
                envelope(wire::unknown(&kind, id, account), done)
            }
            (other, _) => {
                let kind = format!("frame {}", other.unwrap_or("without type"));
                envelope(wire::unknown(&kind, id, account), json!({"response": {}}))
            }
        }
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
        for Envelope { seat, id, data, read } in batch {
            acks.push((seat, id, data, read.as_ref().map(|_| events.len())));
            if let Some(Read { event, heard }) = read {
                events.push(event);
                if let Some(heard) = heard {
                    self.sessions.heard(heard);
                }
            }
        }
        let pressed: Vec<Option<Pressed>> = events.iter().map(Pressed::of).collect();
        let mut accepted = Vec::new();
        if !events.is_empty() {
            match intake.inbox.accept_all(events).await {
                Ok(it) => accepted = it,
                Err(NotAccepted::NotStored) => {
                    warn!(account = %self.profile.account, "events could not be stored, so they are not acknowledged and come again");
                    return Ok(());
                }
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            }
        }
        for (seat, id, mut data, at) in acks {
            let how = at.and_then(|at| Some((pressed.get(at)?.as_ref()?, *accepted.get(at)?)));
            match how {
                Some((it, Accepted::NotYours)) => self.tell_stranger(&it.user).await,
                Some((it, _)) => data = self.chosen(&it.platform_id, &it.value),
                None => (),
            }
            answer(line, seat, acknowledgement(&id, &data.to_string())).await;
        }
        Ok(())
    }
}

/// A button that was pressed, and by whom.
struct Pressed {
    platform_id: String,
    value: String,
    user: String,
}

impl Pressed {
    fn of(event: &Inbound) -> Option<Self> {
        let Happening::Pressed { platform_id, value } = &event.what else { return None };
        let (platform_id, value) = (platform_id.clone(), value.clone());
        Some(Self { platform_id, value, user: event.sender.id.clone() })
    }
}

fn acknowledgement(id: &str, data: &str) -> String {
    let headers = json!({"contentType": "application/json", "messageId": id});
    json!({"code": 200, "headers": headers, "message": "OK", "data": data}).to_string()
}

/// Answers where the frame came. A socket that is gone meanwhile costs a repeat, which its key drops.
async fn answer(line: &mut Line<'_>, seat: Seat, text: String) {
    match line.send_text(seat, text).await {
        Ok(true) => (),
        Ok(false) => debug!("the socket of a frame is gone; it comes again"),
        Err(err) => debug!("a frame could not be acknowledged: {err}"),
    }
}
