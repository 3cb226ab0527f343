//! What DingTalk says, in our words. <https://open.dingtalk.com/document/orgapp/receive-message>
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`].

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    secret::Secret,
    text::{file_name, shorten},
};
use serde_json::Value;

use super::{
    ask::{ASK, read_button},
    send::Target,
    sessions::Heard,
};

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// A frame of ours: what it holds, and what it says about its chat.
pub(super) struct Read {
    pub(super) event: Inbound,
    pub(super) heard: Option<Heard>,
}

/// A robot's message. None when an address can't be made of the account, which can't be.
pub(super) fn read(text: &str, message_id: &str, account: &Account) -> Option<Read> {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return unknown("a message that is no JSON", message_id, account);
    };
    let kind = body["msgtype"].as_str().unwrap_or("a message without type");
    let id = plain(&body["msgId"]);
    let is_group = plain(&body["conversationType"]) == "2";
    let conversation = plain(&body["conversationId"]);
    // Who is not of the company has no staff id.
    let ids = [plain(&body["senderStaffId"]), plain(&body["senderId"])];
    let from = ids.into_iter().find(|it| !it.is_empty()).unwrap_or_else(|| NO_CHAT.to_owned());
    let name = body["senderNick"].as_str().filter(|it| !it.is_empty()).unwrap_or(&from).to_owned();
    let chat = if is_group { &conversation } else { &from };
    let jid = account.chat(chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    let content = Some(&id).filter(|it| !it.is_empty()).and_then(|id| content(kind, id, &body));
    let heard = content.as_ref().map(|_| Heard {
        chat: jid.chat().to_owned(),
        message: id.clone(),
        conversation: conversation.clone(),
        writer: (from.clone(), name.clone()),
        address: body["sessionWebhook"].as_str().map(|url| {
            let until = whole(&body["sessionWebhookExpiredTime"]).unwrap_or_default();
            (Secret::new(url), Timestamp(until))
        }),
    });
    let key = if id.is_empty() { format!("x:{message_id}") } else { format!("m:{id}") };
    let title = body["conversationTitle"].as_str().filter(|_| is_group).unwrap_or(&name).to_owned();
    let event = Inbound {
        event_key: key,
        place: Place { jid, thread: None },
        chat: ChatFacts { kind: if is_group { ChatKind::Group } else { ChatKind::Direct }, title },
        sender: Sender { id: from, name, is_bot: false },
        sent_at: Timestamp(whole(&body["createAt"]).unwrap_or_default()),
        what: content.map_or_else(|| strange(kind), Happening::Message),
    };
    Some(Read { event, heard })
}

/// A button of a card: `data` has whose card it is, and the button's id holds its value and chat. What can't be read is
/// kept as unknown.
pub(super) fn read_press(
    data: &str,
    message_id: &str,
    account: &Account,
    now: Timestamp,
) -> Option<Read> {
    let found = (|| {
        let body = serde_json::from_str::<Value>(data).ok()?;
        let content = serde_json::from_str::<Value>(body["content"].as_str()?).ok()?;
        let pressed = &content["cardPrivateData"];
        // A button of a template of the operator's has an id of its own, and sends what we put into its variable.
        let sent = pressed["params"].as_object().into_iter().flat_map(|it| it.values());
        let mut sent = sent.chain([&pressed["actionIds"][0]]);
        let (value, chat) = sent.find_map(|it| read_button(it.as_str()?))?;
        let (card, user) = (body["outTrackId"].as_str()?, body["userId"].as_str()?);
        let is_group = matches!(Target::of(chat), Target::Group(_));
        Some(Inbound {
            event_key: format!("p:{message_id}"),
            place: Place { jid: account.chat(chat).ok()?, thread: None },
            chat: ChatFacts {
                kind: if is_group { ChatKind::Group } else { ChatKind::Direct },
                title: if is_group { chat } else { user }.to_owned(),
            },
            sender: Sender { id: user.to_owned(), name: user.to_owned(), is_bot: false },
            sent_at: now,
            what: Happening::Pressed {
                platform_id: format!("{ASK}{card}"),
                value: value.to_owned(),
            },
        })
    })();
    match found {
        Some(event) => Some(Read { event, heard: None }),
        None => unknown("a press that is none of ours", message_id, account),
    }
}

/// An event that is only kept.
pub(super) fn unknown(kind: &str, message_id: &str, account: &Account) -> Option<Read> {
    let event = Inbound {
        event_key: format!("x:{message_id}"),
        place: Place { jid: account.chat(NO_CHAT).ok()?, thread: None },
        chat: ChatFacts { kind: ChatKind::Direct, title: NO_CHAT.to_owned() },
        sender: Sender { id: NO_CHAT.to_owned(), name: NO_CHAT.to_owned(), is_bot: false },
        sent_at: Timestamp::default(),
        what: strange(kind),
    };
    Some(Read { event, heard: None })
}

fn strange(kind: &str) -> Happening {
    Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) }
}

/// What a message says; none when that is not understood.
fn content(kind: &str, id: &str, body: &Value) -> Option<Content> {
    let (mut text, media) = said(kind, id, body)?;
    name_people(&mut text, body);
    let is_direct = plain(&body["conversationType"]) != "2";
    let addressed = match () {
        () if is_direct => Addressed::Direct,
        () if body["isInAtList"] == true => Addressed::Mention,
        () => Addressed::No,
    };
    // DingTalk doesn't document these, and sends them.
    let quoted = &body["text"]["repliedMsg"];
    let quoted = if quoted.is_object() { quoted } else { &body["content"]["repliedMsg"] };
    let quote = quoted["msgType"].as_str().or(quoted["msgtype"].as_str()).and_then(|kind| {
        let (text, media) = said(kind, id, quoted)?;
        let names = media.iter().map(|it| format!("[{}]", it.name));
        let all: Vec<String> =
            Some(text).into_iter().filter(|it| !it.is_empty()).chain(names).collect();
        Some(all.join("\n"))
    });
    let reply_to = quoted["msgId"].as_str().map(str::to_owned);
    Some(Content {
        platform_id: id.to_owned(),
        text,
        media,
        reply_to,
        quote,
        addressed,
        ..Content::default()
    })
}

/// Puts the people whom a message names, besides the robot, behind its words as `@id`: DingTalk says them apart, and that
/// is also how an agent names them.
fn name_people(text: &mut String, body: &Value) {
    for it in body["atUsers"].as_array().into_iter().flatten() {
        let Some(id) = it["staffId"].as_str().filter(|it| !it.is_empty()) else { continue };
        let name = format!("@{id}");
        if it["dingtalkId"] != body["chatbotUserId"] && !text.contains(&name) {
            let space = if text.is_empty() { "" } else { " " };
            text.push_str(&format!("{space}{name}"));
        }
    }
}

/// The words and files of a message.
fn said(kind: &str, id: &str, body: &Value) -> Option<(String, Vec<MediaRef>)> {
    let content = &body["content"];
    let file = |kind, name: String, media_type: Option<&str>| {
        let code = content["downloadCode"].as_str().or(content["pictureDownloadCode"].as_str())?;
        Some(vec![MediaRef {
            kind,
            reference: code.to_owned(),
            name: file_name(&name),
            media_type: media_type.map(str::to_owned),
            size_bytes: whole(&content["fileSize"]).and_then(|it| u64::try_from(it).ok()),
        }])
    };
    Some(match kind {
        "text" => {
            let text = body["text"]["content"].as_str().or(content["text"].as_str())?;
            // What is left of the robot's name.
            (text.trim().to_owned(), Vec::new())
        }
        "picture" => (String::new(), file(MediaKind::Photo, format!("{id}.jpg"), None)?),
        "audio" => {
            // DingTalk says what was spoken.
            let spoken = content["recognition"].as_str().unwrap_or_default().to_owned();
            (spoken, file(MediaKind::Voice, format!("{id}.amr"), None)?)
        }
        "video" => {
            let end = content["videoType"].as_str().unwrap_or("mp4");
            (String::new(), file(MediaKind::Video, format!("{id}.{end}"), None)?)
        }
        "file" => {
            let name = content["fileName"].as_str().unwrap_or("file").to_owned();
            (String::new(), file(MediaKind::Document, name, None)?)
        }
        "richText" => {
            let mut text = String::new();
            let mut media = Vec::new();
            for part in content["richText"].as_array()? {
                // Those that are quoted have other names for the same.
                text += part["text"].as_str().or(part["content"].as_str()).unwrap_or_default();
                if let Some(code) = part["downloadCode"].as_str() {
                    let number = media.len() + 1;
                    media.push(MediaRef {
                        kind: MediaKind::Photo,
                        reference: code.to_owned(),
                        name: file_name(&format!("{id}-{number}.jpg")),
                        media_type: None,
                        size_bytes: None,
                    });
                }
            }
            (text.trim().to_owned(), media)
        }
        _ => return None,
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}

/// A whole number, written as one or as a text.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_body(body: &Value) -> Read {
        read(&body.to_string(), "frame-1", &"dingtalk@main".parse().unwrap()).unwrap()
    }

    fn message(more: Value) -> Value {
        let mut body = json!({
            "msgId": "msg1", "conversationId": "cidA==", "conversationType": "1", "senderStaffId": "manager7",
            "senderNick": "张三", "createAt": 5, "sessionWebhook": "https://oapi.dingtalk.com/x",
            "sessionWebhookExpiredTime": "9000",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn each_kind_of_message() {
        let code = |more: Value| {
            let mut it = json!({"downloadCode": "c1"});
            it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            it
        };
        #[rustfmt::skip]
        let table = [
            (json!({"msgtype": "text", "text": {"content": " 你好 "}}),                                     "你好",   ""),
            (json!({"msgtype": "picture", "content": code(json!({}))}),                                    "",       "msg1.jpg"),
            (json!({"msgtype": "audio", "content": code(json!({"recognition": "spoken"}))}),               "spoken", "msg1.amr"),
            (json!({"msgtype": "video", "content": code(json!({"videoType": "mov"}))}),                    "",       "msg1.mov"),
            (json!({"msgtype": "file", "content": code(json!({"fileName": "../../a.pdf"}))}),              "",       "a.pdf"),
            (json!({"msgtype": "richText", "content": {"richText": [{"text": "see "}, {"downloadCode": "c", "type": "picture"}]}}), "see", "msg1-1.jpg"),
        ];
        for (more, text, file) in table {
            let got = read_body(&message(more.clone()));
            assert_eq!(got.event.event_key, "m:msg1");
            assert_eq!(got.event.place.jid.to_string(), "dingtalk@main:manager7");
            assert_eq!((got.event.sender.name.as_str(), got.event.sent_at), ("张三", Timestamp(5)));
            let heard = got.heard.unwrap();
            assert_eq!(
                (heard.conversation.as_str(), heard.address.unwrap().1),
                ("cidA==", Timestamp(9000))
            );
            let Happening::Message(it) = got.event.what else { panic!("{more}") };
            assert_eq!((it.text.as_str(), it.addressed), (text, Addressed::Direct), "{more}");
            assert_eq!(it.media.first().map_or("", |it| it.name.as_str()), file, "{more}");
        }
    }

    #[test]
    fn groups_quotes_outsiders_and_what_is_not_understood() {
        let group = json!({
            "msgtype": "text", "conversationType": 2, "conversationTitle": "Team", "isInAtList": true, "senderStaffId": null,
            "senderId": "$:LWCP_v1:$x",
            "text": {"content": "and this?", "isReplyMsg": true,
                     "repliedMsg": {"msgType": "richText", "msgId": "m0", "content": {"richText": [{"msgType": "text", "content": "before"}]}}},
        });
        let got = read_body(&message(group)).event;
        assert_eq!((got.place.jid.chat(), got.chat.title.as_str()), ("cidA==", "Team"));
        assert_eq!(got.sender.id, "$:LWCP_v1:$x");
        let Happening::Message(it) = got.what else { panic!("{:?}", got.what) };
        assert_eq!((it.addressed, it.quote.as_deref()), (Addressed::Mention, Some("before")));
        assert_eq!(it.reply_to.as_deref(), Some("m0"));
        for (more, want) in [
            (json!({"msgtype": "hologram"}), "hologram"),
            (json!({"msgtype": "text", "text": {"content": 5}}), "text"),
            (json!({"msgtype": "text", "msgId": null, "text": {"content": "x"}}), "text"),
            (json!({"msgtype": "picture", "content": {}}), "picture"),
            (json!({"msgtype": null}), "a message without type"),
        ] {
            let got = read_body(&message(more)).event.what;
            assert_eq!(got, Happening::Unknown { kind: want.to_owned() });
        }
        let got = read("no JSON", "frame-1", &"dingtalk@main".parse().unwrap()).unwrap();
        assert_eq!(got.event.event_key, "x:frame-1");
    }

    #[test]
    fn people_are_named_by_their_ids() {
        let robot = json!({"dingtalkId": "$robot", "staffId": "robot"});
        let person = json!({"dingtalkId": "$a", "staffId": "manager9"});
        let outsider = json!({"dingtalkId": "$b"});
        #[rustfmt::skip]
        let table = [
            ("ask them",        json!([robot, person]), "ask them @manager9"),
            ("ask @manager9",   json!([person]),        "ask @manager9"),
            ("",                json!([person]),        "@manager9"),
            ("who?",            json!([outsider, 5]),   "who?"),
            ("nobody",          json!(null),            "nobody"),
        ];
        for (said, people, want) in table {
            let more = json!({
                "msgtype": "text", "text": {"content": said}, "atUsers": people, "chatbotUserId": "$robot",
            });
            let Happening::Message(it) = read_body(&message(more)).event.what else { panic!() };
            assert_eq!(it.text, want);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_event(text in "\\{(\"(msgtype|msgId|text|content|conversationType|senderId)\":(\"[a-zA-Z]{0,9}\"|[0-9]{1,3}|\\{\\}|null|\\[\\]),?){0,7}\\}|[{}\\[\\]\",:a-z]{0,30}") {
            prop_assert!(read(&text, "f", &"dingtalk@main".parse().unwrap()).is_some());
        }
    }
}
