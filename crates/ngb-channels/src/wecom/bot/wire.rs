//! What WeCom says to an AI bot, in our words. <https://developer.work.weixin.qq.com/document/path/100719>
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
use serde_json::{Value, json};

use super::ask::CARD;

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// The event of a callback. None when an address can't be made of the account, which can't be.
pub(super) fn read(frame: &Value, account: &Account, now: Timestamp) -> Option<Inbound> {
    let body = &frame["body"];
    let from = body["from"]["userid"].as_str().unwrap_or(NO_CHAT);
    let is_group = body["chattype"] == "group";
    let chat = body["chatid"].as_str().filter(|_| is_group).unwrap_or(from);
    let jid = account.chat(chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    let id = body["msgid"].as_str().or(frame["headers"]["req_id"].as_str()).unwrap_or_default();
    let kind = body["msgtype"].as_str().unwrap_or("a message without type");
    let what = match frame["cmd"].as_str() {
        Some("aibot_msg_callback") => {
            let content = content(kind, id, body, is_group);
            content.map_or_else(|| unknown(kind), Happening::Message)
        }
        Some("aibot_event_callback") => {
            let event = &body["event"];
            pressed(event).unwrap_or_else(|| {
                unknown(&format!("event {}", event["eventtype"].as_str().unwrap_or("without type")))
            })
        }
        other => unknown(other.unwrap_or("a frame without cmd")),
    };
    let seconds = body["create_time"].as_i64();
    Some(Inbound {
        event_key: format!("bot:{id}"),
        place: Place { jid, thread: None },
        // WeCom tells a bot no names; the id is the one that the company gave.
        chat: ChatFacts {
            kind: if is_group { ChatKind::Group } else { ChatKind::Direct },
            title: chat.to_owned(),
        },
        sender: Sender { id: from.to_owned(), name: from.to_owned(), is_bot: false },
        sent_at: seconds.map_or(now, |it| Timestamp(it.saturating_mul(1000))),
        what,
    })
}

/// A button of one of our cards. WeCom's page has the parts one level deeper than its own library.
fn pressed(event: &Value) -> Option<Happening> {
    const KIND: &str = "template_card_event";
    if event["eventtype"] != KIND {
        return None;
    }
    let parts = if event[KIND].is_object() { &event[KIND] } else { event };
    let (task, key) = (parts["task_id"].as_str()?, parts["event_key"].as_str()?);
    Some(Happening::Pressed { platform_id: format!("{CARD}{task}"), value: key.to_owned() })
}

fn unknown(kind: &str) -> Happening {
    Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) }
}

/// What a message says; none when that is not understood.
fn content(kind: &str, id: &str, body: &Value, is_group: bool) -> Option<Content> {
    let mut said = Vec::new();
    let mut media = Vec::new();
    part(kind, id, body, &mut said, &mut media)?;
    let text = said.join("\n");
    let text = if is_group { without_name(&text).to_owned() } else { text };
    let quote = body["quote"]["msgtype"].as_str().and_then(|kind| {
        let (mut said, mut ignored) = (Vec::new(), Vec::new());
        part(kind, id, &body["quote"], &mut said, &mut ignored)?;
        said.extend(ignored.iter().map(|it: &MediaRef| format!("[{}]", it.name)));
        Some(said.join("\n")).filter(|it| !it.is_empty())
    });
    // A group's messages come to a bot only when they name it.
    let addressed = if is_group { Addressed::Mention } else { Addressed::Direct };
    Some(Content {
        platform_id: id.to_owned(),
        text,
        media,
        quote,
        addressed,
        ..Content::default()
    })
}

/// Adds what one part of a message says; none when that is not understood.
fn part(
    kind: &str,
    id: &str,
    it: &Value,
    said: &mut Vec<String>,
    media: &mut Vec<MediaRef>,
) -> Option<()> {
    let (kind_of, end) = match kind {
        // What was spoken comes as a text.
        "text" | "voice" => {
            said.push(it[kind]["content"].as_str()?.to_owned());
            return Some(());
        }
        "mixed" => {
            for item in it["mixed"]["msg_item"].as_array()? {
                part(item["msgtype"].as_str().unwrap_or_default(), id, item, said, media);
            }
            return (!said.is_empty() || !media.is_empty()).then_some(());
        }
        "image" => (MediaKind::Photo, "jpg"),
        "video" => (MediaKind::Video, "mp4"),
        "file" => (MediaKind::Document, "bin"),
        _ => return None,
    };
    let file = &it[kind];
    // The address is good for five minutes, and what is there is encrypted with a key of its own.
    let reference = json!({"url": file["url"].as_str()?, "key": file["aeskey"].as_str()});
    let name = file["filename"].as_str().or(file["name"].as_str());
    let number = if media.is_empty() { String::new() } else { format!("-{}", media.len() + 1) };
    media.push(MediaRef {
        kind: kind_of,
        reference: reference.to_string(),
        name: name.map_or_else(|| file_name(&format!("{id}{number}.{end}")), file_name),
        media_type: None,
        size_bytes: None,
    });
    Some(())
}

/// A group's message without the bot's name, with which it begins.
fn without_name(text: &str) -> &str {
    let Some(rest) = text.trim_start().strip_prefix('@') else { return text };
    rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &Value) -> Value {
        let mut body = body.clone();
        body["msgid"] = "m1".into();
        body["from"] = json!({"userid": "zhangsan"});
        json!({"cmd": "aibot_msg_callback", "headers": {"req_id": "r1"}, "body": body})
    }

    fn read_body(body: &Value) -> Inbound {
        read(&frame(body), &"wecom@bot".parse().unwrap(), Timestamp(7)).unwrap()
    }

    #[test]
    fn each_kind_of_message() {
        let image = json!({"msgtype": "image", "image": {"url": "https://a.b/c", "aeskey": "k"}});
        let text = json!({"msgtype": "text", "text": {"content": "see"}});
        #[rustfmt::skip]
        let table = [
            (json!({"msgtype": "text", "text": {"content": "你好"}}),                   "你好", vec![]),
            (json!({"msgtype": "voice", "voice": {"content": "said"}}),                "said", vec![]),
            (image.clone(),                                                            "",     vec!["m1.jpg"]),
            (json!({"msgtype": "mixed", "mixed": {"msg_item": [text, image, image]}}), "see",  vec!["m1.jpg", "m1-2.jpg"]),
            (json!({"msgtype": "file", "file": {"url": "https://a.b/c", "filename": "../x.pdf"}}), "", vec!["x.pdf"]),
        ];
        for (body, text, names) in table {
            let got = read_body(&body);
            assert_eq!(got.place.jid.to_string(), "wecom@bot:zhangsan");
            let Happening::Message(it) = got.what else { panic!("{body}: {:?}", got.what) };
            assert_eq!((it.text.as_str(), it.addressed), (text, Addressed::Direct), "{body}");
            assert_eq!(it.media.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), names);
        }
    }

    #[test]
    fn groups_quotes_and_what_is_not_understood() {
        let got = read_body(&json!({
            "msgtype": "text", "text": {"content": "@Nano what is this?"}, "chattype": "group", "chatid": "wr1",
            "quote": {"msgtype": "image", "image": {"url": "https://a.b/c"}},
        }));
        assert_eq!((got.place.jid.chat(), got.chat.kind), ("wr1", ChatKind::Group));
        let Happening::Message(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.text.as_str(), it.addressed), ("what is this?", Addressed::Mention));
        assert_eq!(it.quote.as_deref(), Some("[m1.jpg]"));
        for body in [
            json!({}),
            json!({"msgtype": "hologram"}),
            json!({"msgtype": "text", "text": 5}),
            json!({"msgtype": "mixed", "mixed": {"msg_item": [{"msgtype": "x"}]}}),
        ] {
            let got = read_body(&body);
            assert_eq!(got.event_key, "bot:m1");
            assert!(matches!(got.what, Happening::Unknown { .. }), "{body}: {:?}", got.what);
        }
    }

    #[test]
    fn the_bots_name_is_taken_off() {
        for (text, want) in
            [("@Nano /stop", "/stop"), ("@Nano", ""), ("a @Nano", "a @Nano"), ("", "")]
        {
            assert_eq!(without_name(text), want);
        }
    }
}
