//! What Meta says, in our words.
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`], so that it neither blocks those
//! beside it nor vanishes. <https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages>

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    reaction::reacted,
    text::{file_name, shorten},
};
use serde_json::Value;

use super::{codes, graph};

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// Reads the events of one request.
pub(super) struct Reader<'a> {
    pub(super) account: &'a Account,
    /// Our number's id; several numbers of one app share its address.
    pub(super) number: &'a str,
    /// The key of events that have none.
    pub(super) unread_key: &'a str,
}

impl Reader<'_> {
    pub(super) fn read(&self, body: &Value) -> Vec<Inbound> {
        let mut events = Vec::new();
        let mut n = 0;
        let changes = list(&body["entry"]).flat_map(|it| list(&it["changes"]));
        for change in changes {
            n += 1;
            let value = &change["value"];
            let field = change["field"].as_str().unwrap_or_default();
            // What our own people write with the app on their phone: our own echo.
            if field.ends_with("message_echoes") {
                continue;
            }
            if field != "messages" {
                events.extend(self.unknown(n, format!("field {field}")));
                continue;
            }
            let number = text(&value["metadata"]["phone_number_id"]).unwrap_or_default();
            if number != self.number {
                events.extend(self.unknown(n, format!("for another number, {number}")));
                continue;
            }
            for message in list(&value["messages"]) {
                events.extend(self.message(message, value));
            }
            for status in list(&value["statuses"]) {
                events.extend(self.failures(status));
            }
            for error in list(&value["errors"]) {
                n += 1;
                let title = error["title"].as_str().unwrap_or("no reason");
                events.extend(self.unknown(n, format!("error {}: {title}", error["code"])));
            }
        }
        if n == 0 {
            events.extend(self.unknown(0, "no changes".into()));
        }
        events
    }

    /// The ids of messages of ours that Meta says it has sent on.
    pub(super) fn receipts<'a>(&self, body: &'a Value) -> impl Iterator<Item = &'a str> {
        let changes = list(&body["entry"]).flat_map(|it| list(&it["changes"]));
        let number = self.number.to_owned();
        let ours = changes.filter(move |it| it["value"]["metadata"]["phone_number_id"] == *number);
        let statuses = ours.flat_map(|it| list(&it["value"]["statuses"]));
        let good = statuses
            .filter(|it| matches!(it["status"].as_str(), Some("sent" | "delivered" | "read")));
        good.filter_map(|it| it["id"].as_str())
    }

    /// An event that is only kept. None when an address can't be made of the account, which can't be.
    pub(super) fn unknown(&self, n: usize, kind: String) -> Option<Inbound> {
        let nobody = Sender { id: NO_CHAT.into(), name: String::new(), is_bot: false };
        let kind = shorten(&kind, MAX_KIND_CHARS);
        self.event(Event {
            key: format!("?{n}:{}", self.unread_key),
            chat: NO_CHAT,
            kind: ChatKind::Direct,
            sender: nobody,
            at: Timestamp(0),
            what: Happening::Unknown { kind },
        })
    }

    fn event(&self, it: Event<'_>) -> Option<Inbound> {
        let jid = self.account.chat(it.chat).or_else(|_| self.account.chat(NO_CHAT)).ok()?;
        Some(Inbound {
            event_key: it.key,
            place: Place { jid, thread: None },
            chat: ChatFacts { kind: it.kind, title: it.sender.name.clone() },
            sender: it.sender,
            sent_at: it.at,
            what: it.what,
        })
    }

    fn message(&self, message: &Value, value: &Value) -> Option<Inbound> {
        let who = Person::read(message, value);
        let group = text(&message["group_id"]);
        let kind = if group.is_some() { ChatKind::Group } else { ChatKind::Direct };
        let id = text(&message["id"]);
        let our_number = value["metadata"]["display_phone_number"].as_str().unwrap_or_default();
        let what = match &id {
            Some(id) => self.happening(message, id, kind, our_number),
            None => None,
        };
        let what = what.unwrap_or_else(|| {
            let kind = message["type"].as_str().unwrap_or("a message without type");
            let why = list(&message["errors"]).find_map(|it| it["title"].as_str());
            let kind = why.map_or_else(|| kind.to_owned(), |why| format!("{kind}: {why}"));
            Happening::Unknown { kind: shorten(&kind, MAX_KIND_CHARS) }
        });
        self.event(Event {
            key: id.unwrap_or_else(|| format!("?{}", self.unread_key)),
            chat: group.as_deref().unwrap_or(&who.id),
            kind,
            at: seconds(&message["timestamp"]),
            sender: Sender {
                is_bot: !our_number.is_empty() && digits(our_number) == who.phone,
                id: who.id.clone(),
                name: who.name,
            },
            what,
        })
    }

    /// What a message does; none when that is not understood.
    fn happening(
        &self,
        message: &Value,
        id: &str,
        kind: ChatKind,
        our_number: &str,
    ) -> Option<Happening> {
        let context = &message["context"];
        let answered = text(&context["id"]);
        let of_ours = digits(context["from"].as_str().unwrap_or_default()) == digits(our_number);
        let addressed = match kind {
            ChatKind::Direct => Addressed::Direct,
            ChatKind::Group if answered.is_some() && of_ours => Addressed::Reply,
            ChatKind::Group => Addressed::No,
        };
        match message["type"].as_str()? {
            "revoke" => {
                let platform_id = text(&message["revoke"]["original_message_id"])?;
                Some(Happening::Delete { platform_id })
            }
            "edit" => {
                let edit = &message["edit"];
                let (said, media) = said(&edit["message"], id)?;
                let platform_id = text(&edit["original_message_id"])?;
                let content =
                    Content { platform_id, text: said, media, addressed, ..Content::default() };
                Some(Happening::Edit(content))
            }
            "reaction" => {
                let reaction = &message["reaction"];
                let emoji: Vec<String> = text(&reaction["emoji"]).into_iter().collect();
                Some(reacted(&text(&reaction["message_id"])?, &emoji, &[]))
            }
            "interactive" if message["interactive"]["nfm_reply"].is_null() => {
                let it = &message["interactive"];
                let reply = [&it["button_reply"], &it["list_reply"]];
                let value = reply.into_iter().find_map(|it| it["id"].as_str())?.to_owned();
                Some(Happening::Pressed { platform_id: answered.unwrap_or_default(), value })
            }
            "system" => {
                let system = &message["system"];
                let to = text(&system["user_id"]).or(text(&system["wa_id"]))?;
                let moved = system["type"].as_str().is_some_and(|it| it.contains("changed_"));
                moved.then_some(Happening::Moved { to: self.account.chat(&to).ok()? })
            }
            _ => {
                let (text, media) = said(message, id)?;
                let platform_id = id.to_owned();
                let content = Content { platform_id, text, media, ..Content::default() };
                let content = Content { reply_to: answered, addressed, ..content };
                Some(Happening::Message(content))
            }
        }
    }

    /// A message of ours that did not arrive after all. Its chat may be known by the person's number or by their id.
    fn failures(&self, status: &Value) -> Vec<Inbound> {
        if status["status"] != "failed" {
            return Vec::new();
        }
        let Some(id) = text(&status["id"]) else { return Vec::new() };
        let error = &status["errors"][0];
        let code = error["code"].as_u64().unwrap_or_default();
        let words = [&error["error_data"]["details"], &error["message"], &error["title"]];
        let words = words.into_iter().find_map(Value::as_str).unwrap_or("no reason");
        let why = graph::refusal(code, words, codes::find(code, 400).hint);
        let chats = [text(&status["recipient_user_id"]), text(&status["recipient_id"])];
        let event = |chat: String| {
            self.event(Event {
                key: format!("status:{id}:failed:{chat}"),
                kind: ChatKind::Direct,
                at: seconds(&status["timestamp"]),
                sender: Sender { id: chat.clone(), name: String::new(), is_bot: true },
                what: Happening::Undelivered { platform_id: id.clone(), why: why.clone() },
                chat: &chat,
            })
        };
        chats.into_iter().flatten().filter_map(event).collect()
    }
}

/// What an event is made of.
struct Event<'a> {
    key: String,
    chat: &'a str,
    kind: ChatKind,
    sender: Sender,
    at: Timestamp,
    what: Happening,
}

/// Who wrote.
struct Person {
    /// The business-scoped id where there is one: whoever has a user name may hide the number. Else the number.
    id: String,
    /// Digits; empty where hidden.
    phone: String,
    name: String,
}

impl Person {
    fn read(message: &Value, value: &Value) -> Self {
        let phone = text(&message["from"]);
        let user = text(&message["from_user_id"]);
        let mut contacts = list(&value["contacts"]);
        let is_them = |it: &&Value| {
            let same = |a: &Option<String>, b: &Value| a.is_some() && *a == text(b);
            same(&user, &it["user_id"]) || same(&phone, &it["wa_id"])
        };
        // One contact is the sender's, whatever it is called.
        let only = list(&value["contacts"]).count() == 1;
        let contact = contacts.find(is_them).or(value["contacts"].get(0).filter(|_| only));
        let contact = contact.unwrap_or(&Value::Null);
        let id = user.or(text(&contact["user_id"])).or(phone.clone()).or(text(&contact["wa_id"]));
        let profile = &contact["profile"];
        let name = text(&profile["name"]).or(text(&profile["username"]));
        Self {
            id: id.unwrap_or_else(|| NO_CHAT.to_owned()),
            phone: phone.map(|it| digits(&it)).unwrap_or_default(),
            name: name.unwrap_or_default(),
        }
    }
}

/// The field of a message, what it is to us, and how it ends when nobody named it.
const MEDIA: &[(&str, MediaKind, &str)] = &[
    ("image", MediaKind::Photo, "jpg"),
    ("video", MediaKind::Video, "mp4"),
    ("audio", MediaKind::Audio, "mp3"),
    ("voice", MediaKind::Voice, "ogg"),
    ("document", MediaKind::Document, "bin"),
    ("sticker", MediaKind::Sticker, "webp"),
];

/// Text and files of a message; none when it has neither.
fn said(message: &Value, id: &str) -> Option<(String, Vec<MediaRef>)> {
    let kind = message["type"].as_str()?;
    let body = &message[kind];
    if let Some((_, media, end)) = MEDIA.iter().find(|it| it.0 == kind) {
        let is_voice = body["voice"] == true;
        let media = if is_voice { MediaKind::Voice } else { *media };
        let media_type = text(&body["mime_type"]);
        let end = media_type.as_deref().and_then(extension).unwrap_or(end);
        let name = match text(&body["filename"]) {
            Some(name) => file_name(&name),
            // The end of an id is what differs.
            None => file_name(&format!("{kind}-{}.{end}", last_chars(id, 12))),
        };
        let file = MediaRef {
            kind: media,
            reference: text(&body["id"])?,
            name,
            media_type,
            size_bytes: None,
        };
        return Some((text(&body["caption"]).unwrap_or_default(), vec![file]));
    }
    let said = match kind {
        "text" => text(&body["body"])?,
        // The answer to a template's button.
        "button" => text(&body["text"]).or(text(&body["payload"]))?,
        "interactive" => format!("[form: {}]", text(&body["nfm_reply"]["response_json"])?),
        "location" => {
            let at = format!("{}, {}", body["latitude"].as_f64()?, body["longitude"].as_f64()?);
            let place = [&body["name"], &body["address"]].into_iter().filter_map(text);
            let place: Vec<String> = place.chain([at]).collect();
            format!("[location: {}]", place.join(", "))
        }
        "contacts" => {
            let people = list(body).filter_map(|it| {
                let phones = list(&it["phones"]).filter_map(|it| text(&it["phone"]));
                let name = text(&it["name"]["formatted_name"]);
                let words: Vec<String> = name.into_iter().chain(phones).collect();
                (!words.is_empty()).then(|| words.join(", "))
            });
            let people: Vec<String> = people.collect();
            format!("[contact: {}]", people.join("; "))
        }
        "order" => {
            let items = list(&body["product_items"]).filter_map(|it| {
                Some(format!("{} x {}", it["quantity"], text(&it["product_retailer_id"])?))
            });
            let items: Vec<String> = items.collect();
            format!("[order: {}] {}", items.join(", "), text(&body["text"]).unwrap_or_default())
        }
        _ => return None,
    };
    Some((said, Vec::new()))
}

fn extension(media_type: &str) -> Option<&'static str> {
    // Without parameters: `audio/ogg; codecs=opus`.
    match media_type.split(';').next()?.trim() {
        "image/jpeg" => Some("jpg"),
        "image/png" => Some("png"),
        "image/webp" => Some("webp"),
        "video/mp4" => Some("mp4"),
        "video/3gpp" => Some("3gp"),
        "audio/ogg" => Some("ogg"),
        "audio/mpeg" => Some("mp3"),
        "audio/mp4" => Some("m4a"),
        "audio/aac" => Some("aac"),
        "audio/amr" => Some("amr"),
        "application/pdf" => Some("pdf"),
        "text/plain" => Some("txt"),
        _ => None,
    }
}

fn last_chars(text: &str, count: usize) -> String {
    let plain: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    plain[plain.len().saturating_sub(count)..].iter().collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text or a number, unless it is empty.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(it) if !it.is_empty() => Some(it.clone()),
        Value::Number(it) => Some(it.to_string()),
        _ => None,
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Meta's seconds, written as text.
fn seconds(value: &Value) -> Timestamp {
    let seconds: i64 = text(value).and_then(|it| it.parse().ok()).unwrap_or_default();
    Timestamp(seconds.saturating_mul(1000))
}
