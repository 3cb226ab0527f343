//! What Slack says, in our words.
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`], so that it neither blocks those
//! behind it nor vanishes. Shapes: <https://docs.slack.dev/reference/events/message>.

use std::collections::HashMap;

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{
        Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, MediaKind, MediaRef, Sender,
    },
    text::{file_name, shorten},
};
use serde_json::Value;

use super::react;

/// The bot, as `auth.test` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    /// `U…`
    pub(super) user: String,
    /// `B…`, in the messages that it sends.
    pub(super) bot: String,
    pub(super) name: String,
    pub(super) team: String,
}

impl Me {
    pub(super) fn read(me: &Value) -> Self {
        Self {
            user: text(&me["user_id"]),
            bot: text(&me["bot_id"]),
            name: text(&me["user"]),
            team: text(&me["team"]),
        }
    }

    fn wrote(&self, message: &Value) -> bool {
        let is = |value: &Value, mine: &str| !mine.is_empty() && *value == *mine;
        is(&message["user"], &self.user) || is(&message["bot_id"], &self.bot)
    }
}

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 60;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// What an envelope holds; none for what is nobody's news: our own messages come back to us, and a preview of a link
/// counts as a change. People's names are still ids, and texts are as Slack writes them: see [`plain`].
pub(super) fn read(envelope: &Value, account: &Account, me: &Me) -> Option<Inbound> {
    let payload = &envelope["payload"];
    match envelope["type"].as_str() {
        Some("events_api") => read_event(envelope, account, me),
        Some("interactive") if payload["type"] == "block_actions" => read_press(payload, account),
        Some("slash_commands") => read_command(payload, account),
        kind => {
            let kind = kind.unwrap_or("no type");
            let key = format!("x:{}", text(&envelope["envelope_id"]));
            unknown(kind, key, payload, account)
        }
    }
}

/// The id of a message of ours that an envelope gives back.
pub(super) fn given_back<'a>(envelope: &'a Value, me: &Me) -> Option<&'a str> {
    let event = &envelope["payload"]["event"];
    let is_new = matches!(event["subtype"].as_str(), None | Some("bot_message"));
    let is_ours = event["type"] == "message" && is_new && me.wrote(event);
    event["ts"].as_str().filter(|_| is_ours)
}

fn read_event(envelope: &Value, account: &Account, me: &Me) -> Option<Inbound> {
    let payload = &envelope["payload"];
    let event = &payload["event"];
    let kind = event["type"].as_str().or(payload["type"].as_str()).unwrap_or("no event");
    let subtype = event["subtype"].as_str();
    let key = match payload["event_id"].as_str() {
        Some(id) => format!("x:{id}"),
        None => format!("x:{}", text(&envelope["envelope_id"])),
    };
    match (kind, subtype) {
        // A text that names the bot comes as both.
        (
            "message" | "app_mention",
            None | Some("file_share" | "thread_broadcast" | "me_message" | "bot_message"),
        ) => {
            if me.wrote(event) {
                return None;
            }
            match content(event, event, me) {
                Some(content) => {
                    let key = format!("m:{}:{}", text(&event["channel"]), content.platform_id);
                    inbound(key, event, event, account, Happening::Message(content), me)
                }
                None => unknown("message", key, event, account),
            }
        }
        ("message", Some("message_changed")) => {
            let (now, before) = (&event["message"], &event["previous_message"]);
            if now["subtype"] == "tombstone" {
                return read_deletion(event, &text(&now["ts"]), before, account, me);
            }
            let is_same = now["text"] == before["text"] && now["files"] == before["files"];
            if me.wrote(now) || now["edited"].is_null() || is_same {
                return None;
            }
            match content(now, event, me) {
                Some(content) => {
                    let at = text(&now["edited"]["ts"]);
                    let key = format!("e:{}:{}:{at}", text(&event["channel"]), content.platform_id);
                    inbound(key, now, event, account, Happening::Edit(content), me)
                }
                None => unknown("message_changed", key, event, account),
            }
        }
        ("message", Some("message_deleted")) => {
            let id = text(&event["deleted_ts"]);
            read_deletion(event, &id, &event["previous_message"], account, me)
        }
        // What is ours is the sign that we work.
        ("reaction_added" | "reaction_removed", None) if me.wrote(event) => None,
        ("reaction_added" | "reaction_removed", None) => match react::read(event) {
            Some(what) => reaction(key, event, account, what),
            None => unknown(kind, key, event, account),
        },
        (kind, Some(subtype)) => unknown(&format!("{kind}/{subtype}"), key, event, account),
        (kind, None) => unknown(kind, key, event, account),
    }
}

fn read_deletion(
    event: &Value,
    id: &str,
    before: &Value,
    account: &Account,
    me: &Me,
) -> Option<Inbound> {
    let key = format!("d:{}:{id}", text(&event["channel"]));
    let what = Happening::Delete { platform_id: id.to_owned() };
    inbound(key, before, event, account, what, me)
}

/// A reaction, in the chat of its message; the thread is that of our message, which we know.
fn reaction(
    event_key: String,
    event: &Value,
    account: &Account,
    what: Happening,
) -> Option<Inbound> {
    let channel = &event["item"]["channel"];
    Some(Inbound {
        event_key,
        place: place(channel, None, account)?,
        chat: chat(channel, event),
        sender: sender(event),
        sent_at: instant(&text(&event["event_ts"])),
        what,
    })
}

/// A button under one of our messages.
fn read_press(payload: &Value, account: &Account) -> Option<Inbound> {
    let action = &payload["actions"][0];
    let (channel, message) = (&payload["channel"]["id"], &payload["message"]);
    let id = message["ts"].as_str().or(payload["container"]["message_ts"].as_str());
    let (Some(id), Some(value)) = (id, action["value"].as_str()) else {
        let key = format!("x:{}", text(&payload["trigger_id"]));
        return unknown("block_actions", key, payload, account);
    };
    let at = text(&action["action_ts"]);
    let name = payload["user"]["id"].as_str().unwrap_or_default().to_owned();
    Some(Inbound {
        event_key: format!("p:{}:{id}:{at}", text(channel)),
        place: place(channel, message["thread_ts"].as_str(), account)?,
        chat: chat(channel, &Value::Null),
        sender: Sender { id: name.clone(), name, is_bot: false },
        sent_at: instant(&at),
        what: Happening::Pressed { platform_id: id.to_owned(), value: value.to_owned() },
    })
}

/// `/command text`, which Slack gives to the app alone.
fn read_command(payload: &Value, account: &Account) -> Option<Inbound> {
    let said = format!("{} {}", text(&payload["command"]), text(&payload["text"]));
    let trigger = text(&payload["trigger_id"]);
    let sender = text(&payload["user_id"]);
    let chat = chat(&payload["channel_id"], &Value::Null);
    let addressed =
        if chat.kind == ChatKind::Direct { Addressed::Direct } else { Addressed::Mention };
    let content = Content {
        platform_id: format!("command:{trigger}"),
        text: said.trim().to_owned(),
        addressed,
        ..Content::default()
    };
    Some(Inbound {
        event_key: format!("s:{trigger}"),
        place: place(&payload["channel_id"], None, account)?,
        chat,
        sender: Sender { id: sender.clone(), name: sender, is_bot: false },
        // Slack doesn't say when.
        sent_at: Timestamp::default(),
        what: Happening::Message(content),
    })
}

fn unknown(kind: &str, event_key: String, event: &Value, account: &Account) -> Option<Inbound> {
    let channel = [&event["channel"], &event["channel"]["id"], &event["item"]["channel"]]
        .into_iter()
        .find(|it| it.is_string())
        .unwrap_or(&Value::Null);
    Some(Inbound {
        event_key,
        place: place(channel, None, account)?,
        chat: chat(channel, event),
        sender: sender(event),
        sent_at: instant(&text(&event["event_ts"])),
        what: Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) },
    })
}

fn inbound(
    event_key: String,
    message: &Value,
    event: &Value,
    account: &Account,
    what: Happening,
    me: &Me,
) -> Option<Inbound> {
    let chat = chat(&event["channel"], event);
    let thread = message["thread_ts"].as_str();
    // A mention in a channel begins a thread: that is where the answer goes, and where the talk goes on.
    let begins = chat.kind == ChatKind::Group && mentions(message, me);
    let thread = thread.or(message["ts"].as_str().filter(|_| begins));
    Some(Inbound {
        event_key,
        place: place(&event["channel"], thread, account)?,
        chat,
        sender: sender(message),
        sent_at: instant(&text(&event["ts"])),
        what,
    })
}

/// What a message says; none when it says nothing.
fn content(message: &Value, event: &Value, me: &Me) -> Option<Content> {
    let files = message["files"].as_array().map_or(&[][..], Vec::as_slice);
    let media: Vec<MediaRef> = files.iter().filter_map(media).collect();
    let mut said: Vec<String> = Vec::new();
    said.extend(message["text"].as_str().filter(|it| !it.is_empty()).map(str::to_owned));
    if said.is_empty() {
        // What another app posts, or a message that was shared, may have its text only there.
        for it in message["attachments"].as_array().into_iter().flatten() {
            said.extend(it["text"].as_str().or(it["fallback"].as_str()).map(str::to_owned));
        }
    }
    for file in files.iter().filter(|it| it["is_external"] == true) {
        said.push(format!("[{}: {}]", text(&file["name"]), text(&file["url_private"])));
    }
    if said.is_empty() && media.is_empty() {
        return None;
    }
    let is_direct = chat(&event["channel"], event).kind == ChatKind::Direct;
    let is_reply = !me.user.is_empty() && message["parent_user_id"] == me.user;
    let addressed = match () {
        () if is_direct => Addressed::Direct,
        () if mentions(message, me) => Addressed::Mention,
        () if is_reply => Addressed::Reply,
        () => Addressed::No,
    };
    Some(Content {
        platform_id: message["ts"].as_str()?.to_owned(),
        text: said.join("\n"),
        media,
        addressed,
        ..Content::default()
    })
}

fn mentions(message: &Value, me: &Me) -> bool {
    let said = message["text"].as_str().unwrap_or_default();
    !me.user.is_empty() && people_in(said).any(|it| it == me.user)
}

/// A file that Slack keeps; those of other services, and those that are gone, are none.
fn media(file: &Value) -> Option<MediaRef> {
    if file["is_external"] == true
        || matches!(file["mode"].as_str(), Some("tombstone" | "hidden_by_limit"))
    {
        return None;
    }
    let media_type = file["mimetype"].as_str();
    let kind = match (file["subtype"].as_str(), media_type.and_then(|it| it.split('/').next())) {
        (Some("slack_audio"), _) => MediaKind::Voice,
        (_, Some("image")) => MediaKind::Photo,
        (_, Some("audio")) => MediaKind::Audio,
        (_, Some("video")) => MediaKind::Video,
        _ => MediaKind::Document,
    };
    Some(MediaRef {
        kind,
        reference: file["id"].as_str()?.to_owned(),
        name: file_name(file["name"].as_str().unwrap_or_default()),
        media_type: media_type.map(str::to_owned),
        size_bytes: file["size"].as_u64(),
    })
}

/// Who did it. Who is a person has their id for a name, until the name is asked for.
fn sender(message: &Value) -> Sender {
    let is_bot = message["bot_id"].is_string() || message["subtype"] == "bot_message";
    let id = message["user"].as_str().or(message["user"]["id"].as_str());
    let id = id.or(message["bot_id"].as_str()).unwrap_or(NO_CHAT).to_owned();
    let named = [&message["bot_profile"]["name"], &message["username"]];
    let name = named.into_iter().filter(|_| is_bot).find_map(|it| it.as_str());
    Sender { name: name.unwrap_or(&id).to_owned(), id, is_bot }
}

fn place(channel: &Value, thread: Option<&str>, account: &Account) -> Option<Place> {
    let chat = channel.as_str().unwrap_or(NO_CHAT);
    let jid = account.chat(chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    Some(Place { jid, thread: thread.filter(|it| is_ts(it)).map(Into::into) })
}

fn chat(channel: &Value, event: &Value) -> ChatFacts {
    let is_direct =
        event["channel_type"] == "im" || channel.as_str().is_some_and(|it| it.starts_with('D'));
    let kind = if is_direct { ChatKind::Direct } else { ChatKind::Group };
    ChatFacts { kind, title: text(channel) }
}

/// Whether this is a message's id: seconds, a dot, a number. It is a key, never a float.
pub(super) fn is_ts(text: &str) -> bool {
    let digits = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, rest)| digits(seconds) && digits(rest))
}

/// When a message was written: its id begins with the seconds.
fn instant(ts: &str) -> Timestamp {
    let (seconds, rest) = ts.split_once('.').unwrap_or((ts, ""));
    let seconds: i64 = seconds.parse().unwrap_or_default();
    let millis: i64 = rest.get(..3).and_then(|it| it.parse().ok()).unwrap_or_default();
    Timestamp(seconds.saturating_mul(1000).saturating_add(millis))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Number(it) => it.to_string(),
        _ => String::new(),
    }
}

/// The ids of the people whom a text names.
pub(super) fn people_in(said: &str) -> impl Iterator<Item = String> {
    said.split('<').skip(1).filter_map(|it| {
        let (inside, _) = it.split_once('>')?;
        let id = inside.strip_prefix('@')?;
        Some(id.split('|').next().unwrap_or(id).to_owned())
    })
}

/// A text of Slack's as people see it: <https://docs.slack.dev/messaging/formatting-message-text#retrieving-messages>.
pub(super) fn plain(said: &str, names: &HashMap<String, String>) -> String {
    let mut shown = String::with_capacity(said.len());
    let mut rest = said;
    while let Some((before, after)) = rest.split_once('<') {
        unescape(before, &mut shown);
        let Some((inside, behind)) = after.split_once('>') else {
            shown.push('<');
            rest = after;
            continue;
        };
        let (target, label) = match inside.split_once('|') {
            Some((target, label)) if !label.is_empty() => (target, Some(label)),
            _ => (inside.trim_end_matches('|'), None),
        };
        match target.chars().next() {
            Some('@') => {
                let id = &target[1..];
                shown.push('@');
                shown += names.get(id).map(String::as_str).or(label).unwrap_or(id);
            }
            Some('#') => {
                shown.push('#');
                shown += label.unwrap_or(&target[1..]);
            }
            Some('!') => {
                // `!here`, `!channel`, `!subteam^S1|@team`, `!date^…|fallback`.
                let word = label.unwrap_or(target[1..].split('^').next().unwrap_or_default());
                if !word.starts_with('@') && !target.starts_with("!date") {
                    shown.push('@');
                }
                unescape(word, &mut shown);
            }
            _ => match label {
                Some(label) if label != target && !target.ends_with(label) => {
                    unescape(label, &mut shown);
                    shown += " (";
                    unescape(target, &mut shown);
                    shown.push(')');
                }
                _ => unescape(target, &mut shown),
            },
        }
        rest = behind;
    }
    unescape(rest, &mut shown);
    shown
}

fn unescape(said: &str, to: &mut String) {
    *to += &said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_table() {
        let names = HashMap::from([("U1".to_owned(), "Ada".to_owned())]);
        #[rustfmt::skip]
        let table = [
            ("hi",                                  "hi"),
            ("<@U1> and <@U2>",                     "@Ada and @U2"),
            ("<@U2|bo>",                            "@bo"),
            ("<#C1|general> <#C2>",                 "#general #C2"),
            ("<!here> <!channel>",                  "@here @channel"),
            ("<!subteam^S1|@team>",                 "@team"),
            ("<!date^1^{date}|today>",              "today"),
            ("<https://a.b/c>",                     "https://a.b/c"),
            ("<https://a.b/c|a.b/c>",               "https://a.b/c"),
            ("<https://a.b/c?x=1&amp;y=2|see>",     "see (https://a.b/c?x=1&y=2)"),
            ("<mailto:a@b.c|a@b.c>",                "mailto:a@b.c"),
            ("1 &lt; 2 &amp;&amp; 3 &gt; 2",        "1 < 2 && 3 > 2"),
            ("&amp;lt;",                            "&lt;"),
            ("&lt;@U1&gt;",                         "<@U1>"),
            ("a < b",                               "a < b"),
            ("<@U1",                                "<@U1"),
            ("<> <|> <@>",                          "  @"),
        ];
        for (said, want) in table {
            assert_eq!(plain(said, &names), want, "{said:?}");
        }
    }

    #[test]
    fn instants_are_not_floats() {
        assert_eq!(instant("1700000000.123456"), Timestamp(1_700_000_000_123));
        assert_eq!(instant("1700000000"), Timestamp(1_700_000_000_000));
        assert_eq!(instant("x"), Timestamp(0));
    }

    proptest! {
        #[test]
        fn any_text_is_shown(said in "(<[@#!]?[A-Z0-9|^&;a-z😀]{0,8}>?|&(lt|gt|amp);|[<>|日 a])*") {
            plain(&said, &HashMap::new());
            people_in(&said).count();
        }
    }
}
