//! An AI bot (智能机器人) with a long connection: callbacks in, streams and messages out, over one socket.
//!
//! ```text
//! socket ─▶ wire::read ─▶ Recent ─▶ Inbox::accept_all          (WeCom waits for no acknowledgement)
//! send   ─▶ stream, or message ─▶ Calls ─▶ socket ─▶ its answer, by `req_id`
//! ```
//!
//! <https://developer.work.weixin.qq.com/document/path/101463>

mod ask;
mod file;
#[cfg(test)]
mod fuzz;
mod recent;
mod send;
mod wire;

pub(super) use self::send::Text;
use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use ngb_core::{
    address::Account,
    clock::Timestamp,
    message::{Happening, Inbound},
    secret::Secret,
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use self::recent::Recent;
use super::{api::ApiError, codes};
use crate::{
    ChannelError, Intake, NotAccepted, Retry,
    asked::Asked,
    calls::{Calls, Desk},
    http::{Http, HttpError},
    socket::{Beat, Dial, Event, Socket, SocketError},
};

/// Where AI bots connect.
pub const DEFAULT_WS_URL: &str = "wss://openws.work.weixin.qq.com";

/// The heartbeat of WeCom's own client; two that nothing follows are the end.
const BEAT: Beat = Beat::Own { every: Duration::from_secs(30), patience: Duration::from_secs(60) };

/// Longest frame, in bytes; texts have 20 KiB, and a picture is an address.
const MAX_FRAME_BYTES: usize = 4 << 20;

/// How long the answer to the subscription may take.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(20);

/// How long the answer to a frame may take: what WeCom's own client waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How often in a row WeCom may refuse a subscription for a reason that we don't know until it is final.
const MAX_REFUSALS: u32 = 5;

/// Most events that are stored together: what is here already, of a burst.
const BATCH: usize = 64;

/// Wait until events that could not be stored are offered again. They don't come again by themselves.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// One AI bot.
pub(super) struct Bot {
    pub(super) account: Account,
    pub(super) ws_url: String,
    pub(super) bot_id: String,
    pub(super) secret: Secret,
    pub(super) http: Http,
    calls: Calls,
    recent: Recent,
    asked: Asked,
    /// Cards of this process bear it, so that no other process makes one with the same name.
    began_at: Timestamp,
    /// Subscriptions that were refused since the last one that was not.
    refusals: AtomicU32,
    /// The number of the next frame of ours.
    next: AtomicU64,
}

impl Bot {
    pub(super) fn new(
        account: Account,
        ws_url: String,
        bot_id: String,
        secret: Secret,
        http: Http,
    ) -> Self {
        let (calls, recent) = (Calls::new(http.clock.clone()), Recent::default());
        let (refusals, next) = (AtomicU32::new(0), AtomicU64::new(0));
        let (asked, began_at) = (Asked::default(), http.clock.now());
        Self {
            account,
            ws_url,
            bot_id,
            secret,
            http,
            calls,
            recent,
            asked,
            began_at,
            refusals,
            next,
        }
    }

    pub(super) async fn listen(&self, intake: &mut Intake) -> Result<(), ChannelError> {
        let stop = intake.stop.clone();
        let mut socket = tokio::select! {
            socket = self.open_socket() => socket?,
            () = stop.cancelled() => return Ok(()),
        };
        intake.pulse.beat(self.http.clock.now());
        let mut desk = self.calls.open();
        let done = tokio::select! {
            done = self.talk(&mut socket, &mut desk, intake) => done,
            () = stop.cancelled() => Ok(()),
        };
        drop(desk);
        socket.close(1000, "").await;
        done
    }

    /// A socket on which WeCom knows us; the last one to subscribe gets the events.
    async fn open_socket(&self) -> Result<Socket, ChannelError> {
        const DOING: &str = "subscribe as an AI bot";
        let dial = Dial {
            url: self.ws_url.clone(),
            headers: HeaderMap::new(),
            subprotocol: None,
            max_message_bytes: MAX_FRAME_BYTES,
            beat: BEAT,
        };
        let mut socket = Socket::open(&self.http, dial).await.map_err(|it| it.doing(DOING))?;
        let id = self.request_id("aibot_subscribe");
        let body = json!({"bot_id": self.bot_id, "secret": self.secret.expose()});
        let frame = frame("aibot_subscribe", &id, body);
        let answer = self.http.clock.timeout(SUBSCRIBE_LIMIT, async {
            socket.send_text(frame).await?;
            loop {
                let Event::Text(text) = socket.next().await? else { continue };
                if let Some(answer) = parse(&text)
                    && answer["headers"]["req_id"].as_str() == Some(&id)
                {
                    return Ok::<Value, SocketError>(answer);
                }
            }
        });
        let answer = match answer.await {
            Ok(answer) => answer.map_err(|it| it.doing(DOING))?,
            Err(late) => return Err(HttpError::from(late).doing(DOING)),
        };
        match refusal(&answer) {
            None => {
                self.refusals.store(0, Ordering::Relaxed);
                info!(account = %self.account, "the AI bot `{}` is subscribed", self.bot_id);
                Ok(socket)
            }
            Some((code, words)) => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                let known = codes::find(code);
                let is_final = !known.1.is_empty() || MAX_REFUSALS <= refusals;
                let mut err = ApiError::Refused { code, words }.doing(DOING);
                err.retry = if is_final { known.0 } else { Retry::Backoff };
                Err(err)
            }
        }
    }

    async fn talk(
        &self,
        socket: &mut Socket,
        desk: &mut Desk<'_>,
        intake: &Intake,
    ) -> Result<(), ChannelError> {
        const DOING: &str = "listen to WeCom";
        loop {
            let mut next = tokio::select! {
                event = socket.next() => Some(event),
                order = desk.next() => {
                    let frame = desk.expect(order);
                    socket.send_text(frame).await.map_err(|it| it.doing(DOING))?;
                    continue;
                }
            };
            let mut batch = Vec::new();
            let mut over = None;
            while let Some(event) = next {
                match event {
                    Ok(Event::Text(text)) => match self.take(&text, desk) {
                        Ok(event) => batch.extend(event),
                        Err(err) => {
                            // The one error of a frame.
                            intake.pulse.rival(TAKEN_OVER, self.http.clock.now(), None);
                            over = Some(err);
                        }
                    },
                    Ok(Event::BeatDue) => {
                        let ping =
                            json!({"cmd": "ping", "headers": {"req_id": self.request_id("ping")}});
                        let sent = socket.send_text(ping.to_string()).await;
                        over = sent.err().map(|it| it.doing(DOING));
                    }
                    Ok(Event::Binary(_) | Event::Alive) => (),
                    Err(err) => over = Some(err.doing(DOING)),
                }
                let more = over.is_none() && batch.len() < BATCH;
                next = if more { socket.next().now_or_never() } else { None };
            }
            for frame in self.store(intake, batch).await? {
                socket.send_text(frame).await.map_err(|it| it.doing(DOING))?;
            }
            match over {
                Some(err) => return Err(err),
                None => intake.pulse.progress(self.http.clock.now()),
            }
        }
    }

    /// What a frame holds: an event with its callback's `req_id`, or the answer to a frame of ours.
    ///
    /// # Errors
    ///
    /// When it says that another connection took over, and for no other reason.
    fn take(
        &self,
        text: &str,
        desk: &mut Desk<'_>,
    ) -> Result<Option<(String, Inbound)>, ChannelError> {
        let Some(frame) = parse(text) else {
            warn!(account = %self.account, bytes = text.len(), "a frame was no JSON and is dropped");
            return Ok(None);
        };
        let id = frame["headers"]["req_id"].as_str().unwrap_or_default().to_owned();
        let Some(cmd) = frame["cmd"].as_str() else {
            if !desk.answer(&id, frame) {
                debug!(account = %self.account, "nobody waits for the answer `{id}`");
            }
            return Ok(None);
        };
        if cmd == "aibot_event_callback"
            && frame["body"]["event"]["eventtype"] == "disconnected_event"
        {
            return Err(taken_over());
        }
        let event = wire::read(&frame, &self.account, self.http.clock.now());
        if let Some(Inbound { place, what: Happening::Message(it), .. }) = &event {
            self.recent.heard(place.jid.chat(), &it.platform_id, &id, self.http.clock.now());
        }
        Ok(event.map(|it| (id, it)))
    }

    /// Puts events on disk. WeCom says each once, so they are held until they are there. The frames that WeCom wants then.
    async fn store(
        &self,
        intake: &Intake,
        batch: Vec<(String, Inbound)>,
    ) -> Result<Vec<String>, ChannelError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (requests, events): (Vec<String>, Vec<Inbound>) = batch.into_iter().unzip();
        loop {
            match intake.inbox.accept_all(events.clone()).await {
                Ok(accepted) => {
                    let all = requests.iter().zip(&events).zip(accepted);
                    return Ok(all
                        .filter_map(|((id, it), how)| self.after_press(id, it, how))
                        .collect());
                }
                Err(NotAccepted::NotStored) => {
                    warn!(account = %self.account, "events could not be stored and are held, since WeCom does not say them again");
                    self.http.clock.sleep(STORE_AGAIN).await;
                }
                Err(closed @ NotAccepted::Closed) => return Err(closed.into()),
            }
        }
    }

    /// A frame's id. The answer bears it, and WeCom's own client tells answers apart by what it begins with.
    fn request_id(&self, cmd: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{cmd}_{}_{number:08x}", self.http.clock.now().0)
    }

    /// Sends a frame and waits until WeCom has taken it.
    async fn call(&self, cmd: &str, id: String, body: Value) -> Result<Value, ApiError> {
        let frame = frame(cmd, &id, body);
        let answer = self.calls.call(id, frame, ANSWER_LIMIT).await?;
        match refusal(&answer) {
            None => Ok(answer),
            Some((code, words)) => Err(ApiError::Refused { code, words }),
        }
    }
}

fn frame(cmd: &str, id: &str, body: Value) -> String {
    json!({"cmd": cmd, "headers": {"req_id": id}, "body": body}).to_string()
}

/// A frame, also one with bare control characters in its texts, which WeCom sends and JSON forbids.
fn parse(text: &str) -> Option<Value> {
    let frame = serde_json::from_str(text).or_else(|_| {
        let clean: String = text.chars().filter(|it| !it.is_control() || *it == '\n').collect();
        serde_json::from_str(&clean.replace('\n', " "))
    });
    frame.ok()
}

fn refusal(answer: &Value) -> Option<(i64, String)> {
    let code = answer["errcode"].as_i64().unwrap_or_default();
    (code != 0).then(|| (code, answer["errmsg"].as_str().unwrap_or("no reason").to_owned()))
}

const TAKEN_OVER: &str = "another program connected as this AI bot, and WeCom allows one connection; stop that program, then \
     pause and resume the account";

fn taken_over() -> ChannelError {
    ChannelError {
        doing: "listen to WeCom".into(),
        retry: Retry::Never,
        maybe_done: false,
        moved_to: None,
        source: TAKEN_OVER.into(),
    }
}

#[cfg(test)]
mod tests {
    use ngb_core::clock::Timestamp;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_frame_is_an_event_or_nothing(
            text in "\\{(\"(cmd|body|headers|msgid|msgtype|chatid|from)\":(\"[a-z_]{0,9}\"|[0-9]{1,3}|\\{\\}|null),?){0,6}\\}?|[{}\\[\\]\",:a-z\u{1}]{0,30}",
        ) {
            if let Some(frame) = parse(&text) {
                wire::read(&frame, &"wecom@main".parse().unwrap(), Timestamp(1));
            }
        }
    }

    #[test]
    fn frames_with_bare_control_characters_are_read() {
        #[rustfmt::skip]
        let table = [
            ("{\"a\":\"x\"}",            Some("x")),
            ("{\"a\":\"x\u{1}y\"}",      Some("xy")),
            ("{\n\"a\":\"x\ny\"}",       Some("x y")),
            ("{\"a\":\"x",               None),
            ("",                         None),
        ];
        for (text, want) in table {
            let got = parse(text);
            assert_eq!(got.as_ref().and_then(|it| it["a"].as_str()), want, "{text:?}");
        }
    }
}
