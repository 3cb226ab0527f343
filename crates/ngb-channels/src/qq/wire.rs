//! What OneBot says, in our words. <https://github.com/botuniverse/onebot-11/tree/master/event>
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`].

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    text::{file_name, shorten},
};
use serde_json::{Value, json};

use super::{react, segments};

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// Whom a chat is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `group_42`
    Group(&'a str),
    /// `private_42`
    Person(&'a str),
}

impl<'a> Target<'a> {
    pub(super) fn of(chat: &'a str) -> Option<Self> {
        let number = |it: &&str| !it.is_empty() && it.chars().all(|it| it.is_ascii_digit());
        let group = chat.strip_prefix("group_").filter(number).map(Self::Group);
        group.or_else(|| chat.strip_prefix("private_").filter(number).map(Self::Person))
    }
}

/// An event; none for what is nobody's news: our own messages, and signs of life. `is_ours` knows our messages.
pub(super) fn read(
    event: &Value,
    account: &Account,
    is_ours: impl Fn(&str) -> bool,
) -> Option<Inbound> {
    let me = plain(&event["self_id"]);
    let user = Some(plain(&event["user_id"])).filter(|it| !it.is_empty());
    let group = Some(plain(&event["group_id"])).filter(|it| !it.is_empty() && it != "0");
    let is_me = user.as_ref() == Some(&me);
    let kind = event["post_type"].as_str().unwrap_or("an event without type");
    if matches!(kind, "meta_event" | "message_sent") || kind == "message" && is_me {
        return None;
    }
    let chat = match (&group, &user) {
        (Some(group), _) => format!("group_{group}"),
        (None, Some(user)) => format!("private_{user}"),
        (None, None) => NO_CHAT.to_owned(),
    };
    let id = plain(&event["message_id"]);
    let sub = |name: &str| event[name].as_str().unwrap_or_default();
    let (key, what) = match (kind, sub("notice_type")) {
        ("message", _) => {
            let known = Some(&id).filter(|it| !it.is_empty());
            let content = known.and_then(|id| content(id, event, &me, group.is_some(), &is_ours));
            let unread = || unknown(&format!("message {}", sub("message_type")));
            (format!("m:{chat}:{id}"), content.map_or_else(unread, Happening::Message))
        }
        ("notice", "group_msg_emoji_like") if is_me => return None,
        ("notice", "group_msg_emoji_like") => {
            let read = react::read(event).unwrap_or_else(|| unknown("group_msg_emoji_like"));
            let who = user.as_deref().unwrap_or_default();
            (format!("r:{}:{chat}:{who}:{id}:{}", plain(&event["time"]), event["likes"]), read)
        }
        ("notice", "group_recall" | "friend_recall") if !id.is_empty() => {
            (format!("d:{chat}:{id}"), Happening::Delete { platform_id: id })
        }
        _ => {
            let names = ["notice_type", "request_type", "sub_type"].map(sub);
            let parts = names.into_iter().filter(|it| !it.is_empty());
            let words: Vec<&str> = [kind].into_iter().chain(parts).collect();
            let who = user.as_deref().unwrap_or_default();
            let key = format!("x:{}:{}:{chat}:{who}:{id}", plain(&event["time"]), words.join("."));
            (key, unknown(&words.join(" ")))
        }
    };
    let jid = account.chat(&chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    let from = user.unwrap_or_else(|| NO_CHAT.to_owned());
    let sender = &event["sender"];
    let name = [&sender["card"], &sender["nickname"]];
    let name = name.into_iter().find_map(|it| it.as_str().filter(|it| !it.trim().is_empty()));
    let name = name.unwrap_or(&from).to_owned();
    let title = match &group {
        Some(group) => event["group_name"].as_str().unwrap_or(group).to_owned(),
        None => name.clone(),
    };
    let seconds = event["time"].as_i64().unwrap_or_default();
    Some(Inbound {
        event_key: key,
        place: Place { jid, thread: None },
        chat: ChatFacts {
            kind: if group.is_some() { ChatKind::Group } else { ChatKind::Direct },
            title,
        },
        sender: Sender { id: from, name, is_bot: false },
        sent_at: Timestamp(seconds.saturating_mul(1000)),
        what,
    })
}

fn unknown(kind: &str) -> Happening {
    Happening::Unknown { kind: shorten(kind.trim(), MAX_KIND_CHARS) }
}

/// What a message says; none when it says nothing.
fn content(
    id: &str,
    event: &Value,
    me: &str,
    in_group: bool,
    is_ours: impl Fn(&str) -> bool,
) -> Option<Content> {
    let mut text = String::new();
    let mut media = Vec::new();
    let mut reply_to = None;
    let mut is_named = false;
    for segment in segments::read(&event["message"]) {
        let data = &segment["data"];
        let word = |name: &str| plain(&data[name]);
        match segment["type"].as_str().unwrap_or_default() {
            "text" => text += data["text"].as_str().unwrap_or_default(),
            "at" if !me.is_empty() && word("qq") == me => is_named = true,
            "at" => {
                let name = word("name");
                let name = name.trim_start_matches('@');
                text +=
                    &format!("@{} ", if name.is_empty() { word("qq") } else { name.to_owned() });
            }
            "reply" => reply_to = Some(word("id")).filter(|it| !it.is_empty()),
            kind @ ("image" | "record" | "video" | "file") => {
                match file(kind, id, data, media.len()) {
                    Some(it) => media.push(it),
                    None => text += &format!("[{kind}]"),
                }
            }
            "face" => text += &format!("[face {}]", word("id")),
            "mface" => text += &word("summary"),
            "markdown" => text += &word("content"),
            "forward" => text += "[forwarded messages]",
            "json" | "xml" => text += "[card]",
            "" => (),
            other => text += &format!("[{}]", shorten(other, MAX_KIND_CHARS)),
        }
    }
    let text = text.trim().to_owned();
    if text.is_empty() && media.is_empty() && !is_named {
        return None;
    }
    let addressed = match () {
        () if !in_group => Addressed::Direct,
        () if is_named => Addressed::Mention,
        () if reply_to.as_deref().is_some_and(is_ours) => Addressed::Reply,
        () => Addressed::No,
    };
    Some(Content {
        platform_id: id.to_owned(),
        text,
        media,
        reply_to,
        addressed,
        ..Content::default()
    })
}

/// A file of a message. Its address expires soon, so that its name is kept too, by which it can be asked for.
fn file(kind: &str, id: &str, data: &Value, before: usize) -> Option<MediaRef> {
    let (kind_of, end) = match kind {
        "image" => (MediaKind::Photo, "jpg"),
        "record" => (MediaKind::Voice, "amr"),
        "video" => (MediaKind::Video, "mp4"),
        _ => (MediaKind::Document, "bin"),
    };
    let url = data["url"].as_str().filter(|it| it.starts_with("http"));
    let name = data["file"].as_str().filter(|it| !it.starts_with("base64://"));
    let asked = data["file_id"].as_str().or(name);
    if url.is_none() && asked.is_none() {
        return None;
    }
    // What a picture is called is a sum of it, and of use to nobody.
    let shown = name.filter(|_| kind == "file").map(file_name);
    let number = if before == 0 { String::new() } else { format!("-{}", before + 1) };
    let size = data["file_size"].as_u64().or_else(|| data["file_size"].as_str()?.parse().ok());
    Some(MediaRef {
        kind: kind_of,
        reference: json!({"kind": kind, "url": url, "file": asked}).to_string(),
        name: shown.unwrap_or_else(|| file_name(&format!("{id}{number}.{end}"))),
        media_type: None,
        size_bytes: size,
    })
}

/// An id, written as a number or as a text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_event(more: Value) -> Option<Inbound> {
        let mut event = json!({
            "post_type": "message", "message_type": "group", "self_id": 10000, "user_id": 20001, "group_id": 42,
            "message_id": -7, "time": 5, "sender": {"nickname": "Ann", "card": ""}, "message": [],
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&event, &"qq@main".parse().unwrap(), |it| it == "900")
    }

    fn said(message: Value) -> Content {
        match read_event(json!({"message": message})).unwrap().what {
            Happening::Message(it) => it,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arrays_and_cq_codes() {
        let at = |qq: Value| json!({"type": "at", "data": {"qq": qq}});
        let text = |it: &str| json!({"type": "text", "data": {"text": it}});
        #[rustfmt::skip]
        let table = [
            (json!([text("hi")]),                                            "hi",          Addressed::No),
            (json!([at("10000".into()), text(" hi")]),                       "hi",          Addressed::Mention),
            (json!([at(10000.into()), text("hi "), at("20002".into())]),     "hi @20002",   Addressed::Mention),
            ("[CQ:at,qq=10000] hi &amp; you".into(),                         "hi & you",    Addressed::Mention),
            ("[CQ:at,qq=all] hi".into(),                                     "@all  hi",    Addressed::No),
            ("[CQ:reply,id=900]and this".into(),                             "and this",    Addressed::Reply),
            ("[CQ:reply,id=901]and this".into(),                             "and this",    Addressed::No),
            (json!([{"type": "hologram", "data": {}}, text("x")]),           "[hologram]x", Addressed::No),
            (json!([{"type": "at", "data": {"qq": "10000"}}]),               "",            Addressed::Mention),
        ];
        for (message, text, addressed) in table {
            let got = said(message.clone());
            assert_eq!((got.text.as_str(), got.addressed), (text, addressed), "{message}");
        }
    }

    #[test]
    fn files() {
        let got = said(json!([
            {"type": "image", "data": {"file": "ABC.jpg", "url": "https://a.b/c", "file_size": "12"}},
            {"type": "image", "data": {"file": "DEF.jpg"}},
            {"type": "file", "data": {"file": "../../a.pdf", "file_id": "f1"}},
            {"type": "image", "data": {"file": "base64://AAAA"}},
        ]));
        let names: Vec<_> = got.media.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["-7.jpg", "-7-2.jpg", "a.pdf"]);
        assert_eq!((got.media[0].size_bytes, got.text.as_str()), (Some(12), "[image]"));
    }

    #[test]
    fn who_and_where() {
        let got = read_event(
            json!({"message": "hi", "sender": {"nickname": "Ann", "card": "Ann of ours"}}),
        )
        .unwrap();
        assert_eq!((got.event_key.as_str(), got.place.jid.chat()), ("m:group_42:-7", "group_42"));
        assert_eq!((got.sender.name.as_str(), got.sent_at), ("Ann of ours", Timestamp(5000)));
        let got =
            read_event(json!({"message": "hi", "group_id": null, "user_id": "20001"})).unwrap();
        assert_eq!(got.place.jid.chat(), "private_20001");
        let Happening::Message(it) = got.what else { panic!() };
        assert_eq!(it.addressed, Addressed::Direct);
        assert_eq!(read_event(json!({"user_id": 10000, "message": "hi"})), None);
        assert_eq!(read_event(json!({"post_type": "message_sent", "message": "hi"})), None);
        assert_eq!(read_event(json!({"post_type": "meta_event"})), None);
    }

    #[test]
    fn recalls_and_what_is_not_understood() {
        let got =
            read_event(json!({"post_type": "notice", "notice_type": "group_recall"})).unwrap();
        assert_eq!(got.what, Happening::Delete { platform_id: "-7".into() });
        for (more, want) in [
            (
                json!({"post_type": "notice", "notice_type": "notify", "sub_type": "poke"}),
                "notice notify poke",
            ),
            (json!({"post_type": "request", "request_type": "friend"}), "request friend"),
            (json!({"post_type": null}), "an event without type"),
            (json!({"message_id": null, "message": "x"}), "message group"),
            (json!({"message": 5}), "message group"),
        ] {
            let got = read_event(more).unwrap().what;
            assert_eq!(got, Happening::Unknown { kind: want.to_owned() });
        }
    }

    #[test]
    fn targets() {
        assert_eq!(Target::of("group_42"), Some(Target::Group("42")));
        assert_eq!(Target::of("private_7"), Some(Target::Person("7")));
        for bad in ["42", "group_", "group_4a", "private_-1", ""] {
            assert_eq!(Target::of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_event_is_read(text in "\\{(\"(post_type|message|user_id|self_id|message_id|group_id|notice_type)\":(\"(message|notice|[a-z]{0,6})\"|-?[0-9]{1,3}|\\[\\{\\}\\]|null),?){0,7}\\}") {
            if let Ok(event) = serde_json::from_str(&text) {
                read(&event, &"qq@main".parse().unwrap(), |_| false);
            }
        }
    }
}
