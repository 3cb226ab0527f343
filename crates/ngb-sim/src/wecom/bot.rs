//! The long connection of an AI bot: subscription, heartbeats, callbacks, streams, files in pieces, and who takes over.

use std::collections::BTreeMap;

use axum::{
    extract::{
        FromRequestParts as _, Request, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Company, encrypt_file};
use crate::fault::How;

/// Longest content of a stream, in bytes.
const MAX_STREAM_BYTES: usize = 20_480;

/// Bytes of a file in one frame.
const MAX_PIECE_BYTES: usize = 512 << 10;

/// What the platform knows of its bot.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The connection that is subscribed, and its number.
    line: Option<(u64, mpsc::UnboundedSender<Order>)>,
    lines: u64,
    /// Callbacks that may be answered, and their chats.
    open: BTreeMap<String, String>,
    streams: Vec<Stream>,
    /// Cards with buttons, by their task: each as people see it.
    cards: BTreeMap<String, Value>,
    /// Callbacks of presses whose card may be changed, once.
    presses: BTreeMap<String, String>,
    uploads: BTreeMap<String, Upload>,
    /// Streams are past their time.
    expired: bool,
    /// The heartbeats that came.
    pings: u64,
}

/// One stream, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stream {
    pub request: String,
    pub id: String,
    pub content: String,
    pub finished: bool,
    /// Frames that made it.
    pub frames: usize,
}

#[derive(Debug)]
struct Upload {
    name: String,
    md5: String,
    pieces: Vec<Option<Vec<u8>>>,
}

/// What a connection is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    Say(String),
    Cut,
}

pub(super) async fn open(company: Company, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |it| serve(company, it)),
        Err(refused) => refused.into_response(),
    }
}

async fn serve(company: Company, mut socket: WebSocket) {
    let (tx, mut orders) = mpsc::unbounded_channel();
    let mut number = None;
    loop {
        let text = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Say(text)) => {
                    if socket.send(Message::text(text)).await.is_err() {
                        break;
                    }
                    continue;
                }
                Some(Order::Cut) | None => break,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => continue,
            },
        };
        let frame: Value = serde_json::from_str(&text).unwrap_or_default();
        let cmd = frame["cmd"].as_str().unwrap_or_default();
        let done = match cmd {
            "aibot_subscribe" => {
                let done = company.subscribe(&frame["body"], &tx);
                number = done.as_ref().ok().copied();
                done.map(|_| Value::Null)
            }
            _ if number.is_none() => Err((40_001, "not subscribed")),
            "ping" => {
                company.lock().bot.pings += 1;
                Ok(Value::Null)
            }
            _ => {
                let fault = company.lock().faults.pick(cmd);
                match fault {
                    Some(How::CutBefore) => break,
                    Some(How::CutAfter | How::HalfBody | How::BadText) => {
                        _ = company.obey(cmd, &frame);
                        company.touch();
                        break;
                    }
                    Some(How::TooManyRequests { .. }) => Err((45_009, "api freq out of limit")),
                    Some(How::Status { .. } | How::Refuse { .. }) => Err((-1, "system busy")),
                    Some(How::Slow { ms }) => {
                        company.config.clock.sleep(std::time::Duration::from_millis(ms)).await;
                        company.obey(cmd, &frame)
                    }
                    None => company.obey(cmd, &frame),
                }
            }
        };
        let mut answer = match done {
            Ok(body) => {
                json!({"headers": frame["headers"], "errcode": 0, "errmsg": "ok", "body": body})
            }
            Err((code, words)) => {
                json!({"headers": frame["headers"], "errcode": code, "errmsg": words})
            }
        };
        if answer["body"].is_null() {
            answer.as_object_mut().map(|it| it.remove("body"));
        }
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            break;
        }
        company.touch();
    }
    let mut state = company.lock();
    if state.bot.line.as_ref().is_some_and(|it| Some(it.0) == number) {
        state.bot.line = None;
    }
    drop(state);
    company.touch();
}

type Refusal = (i64, &'static str);

impl Company {
    /// The last one to subscribe gets the callbacks; the one before is told so, and its connection ends.
    fn subscribe(&self, body: &Value, line: &mpsc::UnboundedSender<Order>) -> Result<u64, Refusal> {
        if body["bot_id"] != self.config.bot_id || body["secret"] != self.config.bot_secret {
            return Err((40_001, "invalid bot_id or secret"));
        }
        self.take_over();
        let mut state = self.lock();
        state.bot.lines += 1;
        let number = state.bot.lines;
        state.bot.line = Some((number, line.clone()));
        Ok(number)
    }

    /// Another connection subscribes.
    pub fn take_over(&self) {
        let before = self.lock().bot.line.take();
        if let Some((_, before)) = before {
            let event = json!({"msgtype": "event", "event": {"eventtype": "disconnected_event"}});
            let frame = json!({"cmd": "aibot_event_callback", "headers": {"req_id": "gone"}, "body": event});
            _ = before.send(Order::Say(frame.to_string()));
            _ = before.send(Order::Cut);
        }
    }

    /// Cuts the bot's connection.
    pub fn cut_bot(&self) {
        if let Some((_, line)) = &self.lock().bot.line {
            _ = line.send(Order::Cut);
        }
    }

    /// Whether a bot is subscribed.
    pub fn is_subscribed(&self) -> bool {
        self.lock().bot.line.is_some()
    }

    /// Returns once a bot is subscribed, or none is.
    pub async fn until_bot(&self, subscribed: bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if self.lock().bot.line.is_some() == subscribed || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns once the streams are as `done` wants them.
    pub async fn until_streams(&self, mut done: impl FnMut(&[Stream]) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.lock().bot.streams) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The streams, in order.
    pub fn streams(&self) -> Vec<Stream> {
        self.lock().bot.streams.clone()
    }

    /// The chat of the callback that a stream answers.
    pub(crate) fn chat_of(&self, request: &str) -> Option<String> {
        self.lock().bot.open.get(request).cloned()
    }

    /// How many heartbeats came.
    pub fn pings(&self) -> u64 {
        self.lock().bot.pings
    }

    /// From now on streams are past their 6 minutes.
    pub fn expire_streams(&self) {
        self.lock().bot.expired = true;
    }

    /// Sends a frame to the bot that is subscribed.
    pub fn push_frame(&self, text: impl Into<String>) {
        if let Some((_, line)) = &self.lock().bot.line {
            _ = line.send(Order::Say(text.into()));
        }
    }

    /// Somebody writes to the bot, in a group where there is a `chat`: `content` has `msgtype` and what belongs to it. The
    /// callback's `req_id`; the message's id is the same with `m-` before it.
    pub fn says(&self, user: &str, chat: Option<&str>, content: &Value) -> String {
        let mut body = content.clone();
        let id = {
            let mut state = self.lock();
            state.next += 1;
            let id = format!("req-{}", state.next);
            state.bot.open.insert(id.clone(), chat.unwrap_or(user).to_owned());
            id
        };
        body["msgid"] = format!("m-{id}").into();
        body["aibotid"] = self.config.bot_id.clone().into();
        body["from"] = json!({"userid": user});
        body["chattype"] = if chat.is_some() { "group" } else { "single" }.into();
        if let Some(chat) = chat {
            body["chatid"] = chat.into();
        }
        self.push_frame(
            json!({"cmd": "aibot_msg_callback", "headers": {"req_id": id}, "body": body})
                .to_string(),
        );
        id
    }

    /// Somebody presses a button of a card, in a group where there is a `chat`; the callback's `req_id`.
    pub fn presses(&self, user: &str, chat: Option<&str>, task: &str, key: &str) -> String {
        let id = {
            let mut state = self.lock();
            state.next += 1;
            let id = format!("req-{}", state.next);
            state.bot.presses.insert(id.clone(), task.to_owned());
            id
        };
        let event = json!({"eventtype": "template_card_event", "event_key": key, "task_id": task});
        let mut body = json!({
            "msgid": format!("m-{id}"), "aibotid": self.config.bot_id, "from": {"userid": user},
            "msgtype": "event", "event": event, "create_time": self.config.clock.now().0 / 1000,
            "chattype": if chat.is_some() { "group" } else { "single" },
        });
        if let Some(chat) = chat {
            body["chatid"] = chat.into();
        }
        self.push_frame(
            json!({"cmd": "aibot_event_callback", "headers": {"req_id": id}, "body": body})
                .to_string(),
        );
        id
    }

    /// The cards with buttons, by their task.
    pub fn cards(&self) -> BTreeMap<String, Value> {
        self.lock().bot.cards.clone()
    }

    /// Returns once the cards are as `done` wants them.
    pub async fn until_cards(&self, mut done: impl FnMut(&BTreeMap<String, Value>) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if done(&self.cards()) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// A file that somebody sends to the bot: its address under `url`, and its key.
    pub fn bot_file(&self, url: &str, plain: &[u8]) -> Value {
        let (bytes, key) = encrypt_file(plain);
        let id = self.upload(bytes);
        json!({"url": format!("{url}/files/{id}"), "aeskey": key})
    }

    /// Does what a frame of the bot asks.
    fn obey(&self, cmd: &str, frame: &Value) -> Result<Value, Refusal> {
        let body = &frame["body"];
        let mut state = self.lock();
        match cmd {
            "aibot_respond_msg" => {
                let request = frame["headers"]["req_id"].as_str().unwrap_or_default();
                if !state.bot.open.contains_key(request) {
                    return Err((846_605, "invalid req_id"));
                }
                if state.bot.expired {
                    return Err((846_608, "stream message update expired"));
                }
                let stream = &body["stream"];
                let content = stream["content"].as_str().unwrap_or_default();
                if MAX_STREAM_BYTES < content.len() {
                    return Err((45_002, "content size out of limit"));
                }
                let id = stream["id"].as_str().ok_or((40_058, "no stream id"))?;
                let finished = stream["finish"] == true;
                let known =
                    state.bot.streams.iter_mut().find(|it| it.request == request && it.id == id);
                match known {
                    Some(it) if it.finished => {
                        return Err((846_608, "stream message update expired"));
                    }
                    Some(it) => {
                        it.content = content.to_owned();
                        it.finished = finished;
                        it.frames += 1;
                    }
                    None => state.bot.streams.push(Stream {
                        request: request.to_owned(),
                        id: id.to_owned(),
                        content: content.to_owned(),
                        finished,
                        frames: 1,
                    }),
                }
                Ok(Value::Null)
            }
            "aibot_send_msg" => {
                let kind = body["msgtype"].as_str().unwrap_or_default();
                let is_there = match kind {
                    "markdown" => body[kind]["content"].as_str().is_some_and(|it| !it.is_empty()),
                    "template_card" => {
                        let card = check_card(&body["template_card"])?;
                        let task = card["task_id"].as_str().unwrap_or_default().to_owned();
                        if state.bot.cards.insert(task, card.clone()).is_some() {
                            return Err((40_058, "task_id exists"));
                        }
                        true
                    }
                    "image" | "voice" | "video" | "file" => {
                        let id = body[kind]["media_id"].as_str().unwrap_or_default();
                        state.files.contains_key(id)
                    }
                    _ => false,
                };
                if !is_there || body["chatid"].as_str().is_none_or(str::is_empty) {
                    return Err((40_008, "invalid message"));
                }
                state.sent.push(body.clone());
                Ok(Value::Null)
            }
            "aibot_respond_update_msg" => {
                let request = frame["headers"]["req_id"].as_str().unwrap_or_default();
                let task = state.bot.presses.remove(request);
                let task = task.ok_or((846_605, "invalid req_id"))?;
                let card = check_card(&body["template_card"])?;
                if body["response_type"] != "update_template_card" || card["task_id"] != task {
                    return Err((40_058, "another card"));
                }
                state.bot.cards.insert(task, card.clone());
                Ok(Value::Null)
            }
            "aibot_upload_media_init" => {
                let count = body["total_chunks"].as_u64().and_then(|it| usize::try_from(it).ok());
                let count =
                    count.filter(|it| (1..=100).contains(it)).ok_or((45_001, "too large"))?;
                state.next += 1;
                let id = format!("upload-{}", state.next);
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let upload =
                    Upload { name: text("filename"), md5: text("md5"), pieces: vec![None; count] };
                state.bot.uploads.insert(id.clone(), upload);
                Ok(json!({"upload_id": id}))
            }
            "aibot_upload_media_chunk" => {
                let id = body["upload_id"].as_str().unwrap_or_default();
                let at = body["chunk_index"].as_u64().and_then(|it| usize::try_from(it).ok());
                let piece = STANDARD.decode(body["base64_data"].as_str().unwrap_or_default());
                let piece = piece.map_err(|_| (40_058, "no base64"))?;
                let upload = state.bot.uploads.get_mut(id).ok_or((40_058, "no such upload"))?;
                let place = at.and_then(|it| upload.pieces.get_mut(it));
                if MAX_PIECE_BYTES < piece.len() {
                    return Err((45_001, "a piece is too large"));
                }
                *place.ok_or((40_058, "no such piece"))? = Some(piece);
                Ok(Value::Null)
            }
            "aibot_upload_media_finish" => {
                let id = body["upload_id"].as_str().unwrap_or_default();
                let upload = state.bot.uploads.remove(id).ok_or((40_058, "no such upload"))?;
                let pieces: Option<Vec<Vec<u8>>> = upload.pieces.into_iter().collect();
                let bytes = pieces.ok_or((40_058, "a piece is missing"))?.concat();
                let sum: String =
                    Md5::digest(&bytes).iter().map(|it| format!("{it:02x}")).collect();
                if sum != upload.md5 {
                    return Err((40_058, "md5 differs"));
                }
                state.next += 1;
                let id = format!("media-{}", state.next);
                state.files.insert(id.clone(), bytes.into());
                Ok(
                    json!({"type": "file", "media_id": id, "created_at": "1380000000", "name": upload.name}),
                )
            }
            _ => Err((40_058, "no such cmd")),
        }
    }
}

/// A card with a text and buttons, within what <https://developer.work.weixin.qq.com/document/path/101032> says.
fn check_card(card: &Value) -> Result<&Value, Refusal> {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let buttons = card["button_list"].as_array().map_or(&[][..], Vec::as_slice);
    let task = text(&card["task_id"]);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-@".contains(c);
    let is_button =
        |it: &Value| !text(&it["text"]).is_empty() && (1..=1024).contains(&text(&it["key"]).len());
    let is_good = card["card_type"] == "button_interaction"
        && (1..=128).contains(&task.len())
        && task.chars().all(is_plain)
        && (1..=6).contains(&buttons.len())
        && buttons.iter().all(is_button)
        && !text(&card["sub_title_text"]).is_empty();
    if is_good { Ok(card) } else { Err((40_058, "invalid template_card")) }
}
