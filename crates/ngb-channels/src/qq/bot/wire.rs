//! What QQ says to a bot, in our words. <https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/event.html>
//!
//! Nothing here fails: what is not understood becomes [`Happening::Unknown`].

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    text::{file_name, shorten},
};
use serde_json::Value;

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// Characters of an id that stand for the name that QQ doesn't tell.
const NAME_CHARS: usize = 12;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// The bot, as `/users/@me` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) id: String,
    pub(super) name: String,
}

impl Me {
    pub(super) fn read(me: &Value) -> Self {
        Self { id: text(&me["id"]), name: text(&me["username"]) }
    }
}

/// Whom a chat is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `group_openid`
    Group(&'a str),
    /// `user_openid`
    Person(&'a str),
    /// `channel_id`
    Channel(&'a str),
    /// `guild_id` of a direct talk inside of a guild.
    Direct(&'a str),
}

impl<'a> Target<'a> {
    pub(super) fn of(chat: &'a str) -> Option<Self> {
        let (kind, id) = chat.split_once('_')?;
        if id.is_empty() || !id.chars().all(|it| it.is_ascii_alphanumeric() || it == '-') {
            return None;
        }
        match kind {
            "group" => Some(Self::Group(id)),
            "private" => Some(Self::Person(id)),
            "channel" => Some(Self::Channel(id)),
            "dms" => Some(Self::Direct(id)),
            _ => None,
        }
    }

    /// Where its calls go.
    pub(super) fn path(self) -> String {
        match self {
            Self::Group(id) => format!("/v2/groups/{id}"),
            Self::Person(id) => format!("/v2/users/{id}"),
            Self::Channel(id) => format!("/channels/{id}"),
            Self::Direct(id) => format!("/dms/{id}"),
        }
    }

    /// Whether its calls are those of groups and people, not those of channels.
    pub(super) fn is_v2(self) -> bool {
        matches!(self, Self::Group(_) | Self::Person(_))
    }
}

/// A frame or a callback.
pub(super) struct Said<'a> {
    /// Its `t`.
    pub(super) kind: &'a str,
    /// Its `id`, for what has none of its own.
    pub(super) id: &'a str,
    pub(super) d: &'a Value,
    pub(super) account: &'a Account,
    pub(super) me: &'a Me,
    pub(super) now: Timestamp,
}

/// The event of a frame or a callback; none for what is nobody's news.
pub(super) fn read(said: &Said<'_>) -> Option<Inbound> {
    let d = said.d;
    match said.kind {
        "READY" | "RESUMED" => None,
        "C2C_MESSAGE_CREATE" => {
            let from = text(&d["author"]["user_openid"]);
            said.message(&format!("private_{from}"), &from, Addressed::Direct)
        }
        "GROUP_AT_MESSAGE_CREATE" | "GROUP_MESSAGE_CREATE" => {
            let chat = format!("group_{}", text(&d["group_openid"]));
            let is_meant = said.kind == "GROUP_AT_MESSAGE_CREATE";
            let addressed = if is_meant { Addressed::Mention } else { Addressed::No };
            said.message(&chat, &text(&d["author"]["member_openid"]), addressed)
        }
        "AT_MESSAGE_CREATE" | "MESSAGE_CREATE" => {
            let chat = format!("channel_{}", text(&d["channel_id"]));
            let named = list(&d["mentions"]).any(|it| text(&it["id"]) == said.me.id);
            let is_meant = named || said.kind == "AT_MESSAGE_CREATE";
            let addressed = if is_meant { Addressed::Mention } else { Addressed::No };
            said.message(&chat, &text(&d["author"]["id"]), addressed)
        }
        "DIRECT_MESSAGE_CREATE" => {
            let chat = format!("dms_{}", text(&d["guild_id"]));
            said.message(&chat, &text(&d["author"]["id"]), Addressed::Direct)
        }
        "MESSAGE_DELETE" | "PUBLIC_MESSAGE_DELETE" | "DIRECT_MESSAGE_DELETE" => {
            let it = &d["message"];
            let id = text(&it["id"]);
            let chat = match said.kind {
                "DIRECT_MESSAGE_DELETE" => format!("dms_{}", text(&it["guild_id"])),
                _ => format!("channel_{}", text(&it["channel_id"])),
            };
            let key = format!("d:{id}");
            let what = Happening::Delete { platform_id: id };
            said.inbound(key, &chat, &text(&d["op_user"]["id"]), what)
        }
        kind => {
            let group = text(&d["group_openid"]);
            let chat = if group.is_empty() { NO_CHAT.to_owned() } else { format!("group_{group}") };
            said.inbound(format!("x:{}", said.id), &chat, NO_CHAT, unknown(kind))
        }
    }
}

fn unknown(kind: &str) -> Happening {
    Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) }
}

impl Said<'_> {
    fn message(&self, chat: &str, from: &str, addressed: Addressed) -> Option<Inbound> {
        let Self { d, me, .. } = *self;
        // Channels give a bot its own words back.
        if !me.id.is_empty() && from == me.id {
            return None;
        }
        let id = text(&d["id"]);
        let key = if id.is_empty() { format!("x:{}", self.id) } else { format!("m:{id}") };
        let what = match content(addressed, d, me) {
            Some(content) => Happening::Message(content),
            None => unknown("a message that says nothing"),
        };
        self.inbound(key, chat, from, what)
    }

    fn inbound(&self, key: String, chat: &str, from: &str, what: Happening) -> Option<Inbound> {
        let Self { d, account, now, .. } = *self;
        // An id that is too long for an address is no chat either.
        let target = Target::of(chat).filter(|_| account.chat(chat).is_ok());
        let jid = account.chat(if target.is_some() { chat } else { NO_CHAT }).ok()?;
        let from = if from.is_empty() { NO_CHAT } else { from };
        let named = [&d["member"]["nick"], &d["author"]["username"]];
        let name = named.into_iter().find_map(|it| it.as_str().filter(|it| !it.is_empty()));
        // Of groups and people QQ tells no names, and its ids are long.
        let name = name.map_or_else(|| from.chars().take(NAME_CHARS).collect(), str::to_owned);
        let is_direct = matches!(target, Some(Target::Person(_) | Target::Direct(_)));
        let kind = if is_direct { ChatKind::Direct } else { ChatKind::Group };
        let title = if is_direct { name.clone() } else { chat.to_owned() };
        let sent_at = d["timestamp"].as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok());
        Some(Inbound {
            event_key: key,
            place: Place { jid, thread: None },
            chat: ChatFacts { kind, title },
            sender: Sender { id: from.to_owned(), name, is_bot: d["author"]["bot"] == true },
            sent_at: sent_at.map_or(now, |it| Timestamp(it.as_millisecond())),
            what,
        })
    }
}

/// What a message says; none when it says nothing.
fn content(addressed: Addressed, d: &Value, me: &Me) -> Option<Content> {
    let id = d["id"].as_str().filter(|it| !it.is_empty())?;
    let mut said = named(d["content"].as_str().unwrap_or_default(), &d["mentions"], me);
    let mut media = Vec::new();
    for it in list(&d["attachments"]) {
        media.extend(file(it, id, media.len()));
        // What was spoken comes with the voice.
        if let Some(spoken) = it["asr_refer_text"].as_str().filter(|_| said.is_empty()) {
            spoken.clone_into(&mut said);
        }
    }
    if said.is_empty() && media.is_empty() {
        return None;
    }
    let reply_to = d["message_reference"]["message_id"].as_str().map(str::to_owned);
    let platform_id = id.to_owned();
    Some(Content { platform_id, text: said, media, reply_to, addressed, ..Content::default() })
}

/// The words with names where channels have ids, and without the bot's own name before them.
fn named(said: &str, mentions: &Value, me: &Me) -> String {
    let mut text = said.trim().to_owned();
    let own = Me { id: me.id.clone(), name: me.name.clone() };
    let people = list(mentions).map(Me::read).chain([own]);
    for Me { id, name } in people.filter(|it| !it.id.is_empty()) {
        for written in [format!("<@!{id}>"), format!("<@{id}>")] {
            if id == me.id
                && let Some(rest) = text.strip_prefix(&written)
            {
                text = rest.trim_start().to_owned();
            }
            if text.contains(&written) {
                text = text.replace(&written, &format!("@{name}"));
            }
        }
    }
    text
}

fn file(it: &Value, message: &str, number: usize) -> Option<MediaRef> {
    let url = it["url"].as_str().filter(|it| !it.is_empty())?;
    // Those of channels come without a scheme.
    let reference = if url.starts_with("http") { url.to_owned() } else { format!("https://{url}") };
    let media_type = it["content_type"].as_str().unwrap_or_default();
    let (kind, end) = match media_type.split('/').next() {
        Some("image") => (MediaKind::Photo, "jpg"),
        Some("voice" | "audio") => (MediaKind::Voice, "silk"),
        Some("video") => (MediaKind::Video, "mp4"),
        _ => (MediaKind::Document, "bin"),
    };
    let made = format!("{}-{}.{end}", shorten(message, NAME_CHARS), number + 1);
    let name = it["filename"].as_str().filter(|it| !it.is_empty()).unwrap_or(&made);
    Some(MediaRef {
        kind,
        reference,
        name: file_name(name),
        media_type: Some(media_type).filter(|it| it.contains('/')).map(str::to_owned),
        size_bytes: it["size"].as_u64(),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn me() -> Me {
        Me { id: "B1".into(), name: "Nano".into() }
    }

    fn event(kind: &str, d: &Value) -> Option<Inbound> {
        let (account, me) = ("qq@bot".parse().unwrap(), me());
        let now = Timestamp(7);
        read(&Said { kind, id: "f1", d, account: &account, me: &me, now })
    }

    #[test]
    fn each_kind_of_event() {
        let picture = json!({"content_type": "image/png", "url": "multimedia.nt.qq.com.cn/x", "filename": "../a.png", "size": 9});
        let voice = json!({"content_type": "voice", "url": "https://multimedia.nt.qq.com.cn/y", "asr_refer_text": "spoken"});
        #[rustfmt::skip]
        let table = [
            ("C2C_MESSAGE_CREATE", json!({"id": "m1", "author": {"user_openid": "U1"}, "content": " hi ", "timestamp": "2023-11-06T13:37:18+08:00"}),
                "private_U1", "hi", Addressed::Direct),
            ("GROUP_AT_MESSAGE_CREATE", json!({"id": "m1", "group_openid": "G1", "author": {"member_openid": "U1"}, "content": " hi"}),
                "group_G1", "hi", Addressed::Mention),
            ("GROUP_MESSAGE_CREATE", json!({"id": "m1", "group_openid": "G1", "author": {"member_openid": "U1"}, "content": "hi"}),
                "group_G1", "hi", Addressed::No),
            ("AT_MESSAGE_CREATE", json!({"id": "m1", "channel_id": "7", "author": {"id": "U1", "username": "Ann"}, "content": "<@!B1> hi <@!U2>",
                "mentions": [{"id": "B1", "username": "Nano"}, {"id": "U2", "username": "Bo"}]}), "channel_7", "hi @Bo", Addressed::Mention),
            ("MESSAGE_CREATE", json!({"id": "m1", "channel_id": "7", "author": {"id": "U1"}, "content": "hi"}),
                "channel_7", "hi", Addressed::No),
            ("DIRECT_MESSAGE_CREATE", json!({"id": "m1", "guild_id": "9", "author": {"id": "U1"}, "content": "hi"}),
                "dms_9", "hi", Addressed::Direct),
            ("C2C_MESSAGE_CREATE", json!({"id": "m1", "author": {"user_openid": "U1"}, "content": "", "attachments": [picture, voice]}),
                "private_U1", "spoken", Addressed::Direct),
        ];
        for (kind, d, chat, said, addressed) in table {
            let got = event(kind, &d).unwrap();
            assert_eq!((got.place.jid.chat(), got.event_key.as_str()), (chat, "m:m1"), "{d}");
            assert_eq!((got.sender.id.as_str(), got.sender.is_bot), ("U1", false), "{d}");
            let Happening::Message(it) = got.what else { panic!("{d}: {:?}", got.what) };
            assert_eq!((it.text.as_str(), it.addressed), (said, addressed), "{d}");
        }
        let d = json!({"id": "m1", "author": {"user_openid": "U1"}, "attachments": [picture, voice], "timestamp": "2023-11-06T13:37:18+08:00"});
        let got = event("C2C_MESSAGE_CREATE", &d).unwrap();
        assert_eq!(got.sent_at.to_string(), "2023-11-06T05:37:18.000Z");
        let Happening::Message(it) = got.what else { panic!("{:?}", got.what) };
        let files: Vec<_> =
            it.media.iter().map(|it| (it.kind, it.name.as_str(), it.reference.as_str())).collect();
        assert_eq!(
            files,
            [
                (MediaKind::Photo, "a.png", "https://multimedia.nt.qq.com.cn/x"),
                (MediaKind::Voice, "m1-2.silk", "https://multimedia.nt.qq.com.cn/y"),
            ]
        );
    }

    #[test]
    fn deletions_quotes_own_words_and_what_is_not_understood() {
        let d = json!({"message": {"id": "m1", "channel_id": "7"}, "op_user": {"id": "U1"}});
        let got = event("PUBLIC_MESSAGE_DELETE", &d).unwrap();
        assert_eq!(
            (got.place.jid.chat(), got.what),
            ("channel_7", Happening::Delete { platform_id: "m1".into() })
        );
        let d = json!({"id": "m2", "channel_id": "7", "author": {"id": "U1"}, "content": "this?", "message_reference": {"message_id": "m1"}});
        let Happening::Message(it) = event("AT_MESSAGE_CREATE", &d).unwrap().what else { panic!() };
        assert_eq!(it.reply_to.as_deref(), Some("m1"));
        let d = json!({"id": "m3", "channel_id": "7", "author": {"id": "B1"}, "content": "mine"});
        assert_eq!(event("MESSAGE_CREATE", &d), None);
        assert_eq!(event("READY", &json!({})), None);
        for (kind, d) in [
            ("GROUP_ADD_ROBOT", json!({"group_openid": "G1"})),
            ("C2C_MESSAGE_CREATE", json!({"author": {"user_openid": "U1"}, "content": "no id"})),
            ("C2C_MESSAGE_CREATE", json!({"id": "m1", "author": 5, "content": ""})),
            ("HOLOGRAM", json!(null)),
        ] {
            let got = event(kind, &d).unwrap();
            assert!(matches!(got.what, Happening::Unknown { .. }), "{kind}: {:?}", got.what);
        }
    }

    #[test]
    fn chats() {
        #[rustfmt::skip]
        let table = [
            ("group_A-1",  Some("/v2/groups/A-1")),
            ("private_U1", Some("/v2/users/U1")),
            ("channel_7",  Some("/channels/7")),
            ("dms_9",      Some("/dms/9")),
            ("group_",     None),
            ("group_a/b",  None),
            ("42",         None),
        ];
        for (chat, want) in table {
            assert_eq!(Target::of(chat).map(Target::path).as_deref(), want, "{chat}");
        }
    }

    proptest! {
        #[test]
        fn any_event_is_one_or_nothing(
            kind in "C2C_MESSAGE_CREATE|AT_MESSAGE_CREATE|MESSAGE_DELETE|X",
            body in "\\{(\"(id|author|content|mentions|attachments|channel_id|timestamp)\":(\"[<@!>a-z0-9]{0,9}\"|[0-9]{1,3}|\\{\\}|\\[5\\]|null),?){0,6}\\}?",
        ) {
            let body = serde_json::from_str(&body).unwrap_or_default();
            event(&kind, &body);
        }
    }
}
