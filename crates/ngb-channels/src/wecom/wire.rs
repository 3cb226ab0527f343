//! What WeCom says, in our words. <https://developer.work.weixin.qq.com/document/path/90239>

use std::collections::BTreeMap;

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    text::{file_name, shorten},
};

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 80;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// Reads the event of one request.
pub(super) struct Reader<'a> {
    pub(super) account: &'a Account,
    /// The key of an event that has none.
    pub(super) unread_key: &'a str,
}

impl Reader<'_> {
    /// None when an address can't be made of the account, which can't be.
    pub(super) fn read(&self, fields: &BTreeMap<String, String>) -> Option<Inbound> {
        let field = |name: &str| fields.get(name).map(String::as_str).filter(|it| !it.is_empty());
        let from = field("FromUserName").unwrap_or(NO_CHAT);
        let kind = field("MsgType").unwrap_or("a message without type");
        let at = field("CreateTime").unwrap_or_default();
        let (key, what) = match (kind, field("Event"), field("MsgId")) {
            ("event", event, _) => {
                let event = event.unwrap_or_default();
                let what =
                    pressed(event, &field).unwrap_or_else(|| unknown(&format!("event {event}")));
                // An event has no id; repeats have the same time. A card's answer has a code of its own.
                let code = field("ResponseCode").unwrap_or_default();
                (format!("event:{from}:{at}:{event}:{code}"), what)
            }
            (_, _, Some(id)) => {
                let content = content(kind, id, &field);
                (id.to_owned(), content.map_or_else(|| unknown(kind), Happening::Message))
            }
            _ => (format!("?{}", self.unread_key), unknown(kind)),
        };
        let seconds: i64 = at.parse().unwrap_or_default();
        self.event(key, from, Timestamp(seconds.saturating_mul(1000)), what)
    }

    /// An event that is only kept.
    pub(super) fn unknown(&self, kind: &str) -> Option<Inbound> {
        self.event(format!("?{}", self.unread_key), NO_CHAT, Timestamp(0), unknown(kind))
    }

    fn event(
        &self,
        event_key: String,
        from: &str,
        sent_at: Timestamp,
        what: Happening,
    ) -> Option<Inbound> {
        let jid = self.account.chat(from).or_else(|_| self.account.chat(NO_CHAT)).ok()?;
        Some(Inbound {
            event_key,
            place: Place { jid, thread: None },
            // WeCom tells no names here; the id is the one that the company gave.
            chat: ChatFacts { kind: ChatKind::Direct, title: from.to_owned() },
            sender: Sender { id: from.to_owned(), name: from.to_owned(), is_bot: false },
            sent_at,
            what,
        })
    }
}

fn unknown(kind: &str) -> Happening {
    Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) }
}

/// A button of a card, or an item of the app's menu.
fn pressed<'a>(event: &str, field: &impl Fn(&str) -> Option<&'a str>) -> Option<Happening> {
    let platform_id = match event.to_ascii_lowercase().as_str() {
        "template_card_event" => field("TaskId")?.to_owned(),
        "click" => String::new(),
        _ => return None,
    };
    Some(Happening::Pressed { platform_id, value: field("EventKey")?.to_owned() })
}

/// What a message says; none when that is not understood.
fn content<'a>(kind: &str, id: &str, field: &impl Fn(&str) -> Option<&'a str>) -> Option<Content> {
    let words = |names: &[&str]| {
        let words: Vec<&str> = names.iter().filter_map(|it| field(it)).collect();
        words.join(", ")
    };
    let file = |kind, end: &str| {
        let reference = field("MediaId")?.to_owned();
        let name = field("FileName").map_or_else(|| file_name(&format!("{id}.{end}")), file_name);
        Some(vec![MediaRef { kind, reference, name, media_type: None, size_bytes: None }])
    };
    let (text, media) = match kind {
        "text" => (field("Content")?.to_owned(), Vec::new()),
        "image" => (String::new(), file(MediaKind::Photo, "jpg")?),
        "voice" => {
            // Where the app has it turned on, WeCom says what was spoken.
            let said = field("Recognition").unwrap_or_default().to_owned();
            (said, file(MediaKind::Voice, field("Format").unwrap_or("amr"))?)
        }
        "video" => (String::new(), file(MediaKind::Video, "mp4")?),
        "file" => (String::new(), file(MediaKind::Document, "bin")?),
        "location" => {
            (format!("[location: {}]", words(&["Label", "Location_X", "Location_Y"])), Vec::new())
        }
        "link" => (format!("[link: {}]", words(&["Title", "Description", "Url"])), Vec::new()),
        _ => return None,
    };
    let platform_id = id.to_owned();
    let content = Content { platform_id, text, media, ..Content::default() };
    Some(Content { addressed: Addressed::Direct, ..content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Inbound {
        let account = "wecom@main".parse().unwrap();
        let fields = super::super::xml::read(text).unwrap();
        Reader { account: &account, unread_key: "sig" }.read(&fields).unwrap()
    }

    #[test]
    fn each_kind_of_message() {
        #[rustfmt::skip]
        let table = [
            ("<MsgType>text</MsgType><Content><![CDATA[你好 <b>]]></Content>",           "你好 <b>",          None),
            ("<MsgType>image</MsgType><MediaId>m1</MediaId>",                          "",                 Some("77.jpg")),
            ("<MsgType>voice</MsgType><MediaId>m1</MediaId><Format>amr</Format>",      "",                 Some("77.amr")),
            ("<MsgType>file</MsgType><MediaId>m1</MediaId><FileName>../../a.pdf</FileName>", "",           Some("a.pdf")),
            ("<MsgType>location</MsgType><Label>Home</Label><Location_X>1.5</Location_X>", "[location: Home, 1.5]", None),
            ("<MsgType>link</MsgType><Title>T</Title><Url>https://x.y</Url>",          "[link: T, https://x.y]", None),
        ];
        for (inner, text, file) in table {
            let got = read(&format!(
                "<xml><FromUserName>zhangsan</FromUserName><CreateTime>2</CreateTime><MsgId>77</MsgId>{inner}</xml>"
            ));
            assert_eq!((got.event_key.as_str(), got.sent_at), ("77", Timestamp(2000)));
            assert_eq!(got.place.jid.to_string(), "wecom@main:zhangsan");
            let Happening::Message(it) = got.what else { panic!("{inner}: {:?}", got.what) };
            assert_eq!((it.text.as_str(), it.addressed), (text, Addressed::Direct), "{inner}");
            assert_eq!(it.media.first().map(|it| it.name.as_str()), file, "{inner}");
        }
    }

    #[test]
    fn events_and_what_is_not_understood() {
        let press = "<xml><FromUserName>u</FromUserName><CreateTime>2</CreateTime><MsgType>event</MsgType>\
            <Event>template_card_event</Event><EventKey>v1</EventKey><TaskId>t1</TaskId><ResponseCode>r</ResponseCode></xml>";
        let got = read(press);
        assert_eq!(got.event_key, "event:u:2:template_card_event:r");
        assert_eq!(got.what, Happening::Pressed { platform_id: "t1".into(), value: "v1".into() });
        #[rustfmt::skip]
        let table = [
            ("<xml><MsgType>event</MsgType><Event>enter_agent</Event></xml>",       "event enter_agent"),
            ("<xml><MsgType>hologram</MsgType><MsgId>1</MsgId></xml>",              "hologram"),
            ("<xml><MsgType>text</MsgType><MsgId>1</MsgId></xml>",                  "text"),
            ("<xml><MsgType>text</MsgType><Content>x</Content></xml>",              "text"),
            ("<xml><A>1</A></xml>",                                                 "a message without type"),
        ];
        for (text, want) in table {
            let Happening::Unknown { kind } = read(text).what else { panic!("{text}") };
            assert_eq!(kind, want);
        }
    }
}
