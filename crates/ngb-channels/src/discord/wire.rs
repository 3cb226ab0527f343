//! What Discord says, in our words.
//!
//! Nothing here fails: an event that can't be understood becomes [`Happening::Unknown`], so that it neither blocks those
//! behind it nor vanishes. Shapes: <https://docs.discord.com/developers/resources/message#message-object>.

use ngb_core::{
    address::{Account, Place},
    clock::Timestamp,
    message::{Addressed, ChatFacts, ChatKind, Content, Happening, Inbound, Sender},
    text::shorten,
};
use serde_json::Value;

use super::{
    files, history,
    known::{Facts, list, text},
    plain::plain,
    press, react,
};

/// Longest kind of an unknown event that is kept, in characters.
const MAX_KIND_CHARS: usize = 60;

/// The chat of an event that names none.
const NO_CHAT: &str = "0";

/// Kinds of messages that people write; the others tell of joins, pins and boosts
/// (<https://docs.discord.com/developers/resources/message#message-object-message-types>).
const SAID: &[i64] = &[0, 19, 20, 23];

/// Kinds of events, or what they begin with, that change what is known and are nobody's news.
const BOOKKEEPING: &[&str] = &[
    "APPLICATION_",
    "AUTO_MODERATION_",
    "CHANNEL_",
    "ENTITLEMENT_",
    "GUILD_",
    "INTEGRATION_",
    "PRESENCE_",
    "READY",
    "RESUMED",
    "SOUNDBOARD_",
    "STAGE_",
    "SUBSCRIPTION_",
    "THREAD_",
    "TYPING_",
    "USER_",
    "VOICE_",
    "WEBHOOKS_",
];

/// What an event of the gateway holds; nothing for what is nobody's news, and our own messages.
pub(super) fn read(kind: &str, event: &Value, account: &Account, facts: &Facts) -> Vec<Inbound> {
    let one = match kind {
        "MESSAGE_CREATE" => read_message(event, account, facts),
        "MESSAGE_UPDATE" => read_edit(event, account, facts),
        "MESSAGE_DELETE" => read_deletion(event, &event["id"], account, facts),
        "MESSAGE_DELETE_BULK" => {
            let ids = event["ids"].as_array().into_iter().flatten();
            return ids.filter_map(|id| read_deletion(event, id, account, facts)).collect();
        }
        "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE" => {
            react::read(kind, event, account, facts)
        }
        "INTERACTION_CREATE" => press::read(event, account, facts),
        _ if BOOKKEEPING.iter().any(|it| kind.starts_with(it)) => None,
        _ => unknown(kind, event, account, facts),
    };
    one.into_iter().collect()
}

/// A message, from the gateway or from the history.
pub(super) fn read_message(event: &Value, account: &Account, facts: &Facts) -> Option<Inbound> {
    if wrote(event, facts) {
        return None;
    }
    let kind = event["type"].as_i64().unwrap_or_default();
    if !SAID.contains(&kind) {
        return unknown(&format!("MESSAGE_CREATE/{kind}"), event, account, facts);
    }
    match content(event, facts) {
        Some(content) => {
            let key = format!("m:{}", content.platform_id);
            inbound(key, event, account, facts, Happening::Message(content))
        }
        None => unknown("MESSAGE_CREATE", event, account, facts),
    }
}

/// An edit. A preview of a link is a change as well, but no edit: it has no time of its own, or an earlier one.
fn read_edit(event: &Value, account: &Account, facts: &Facts) -> Option<Inbound> {
    if wrote(event, facts) {
        return None;
    }
    let at = event["edited_timestamp"].as_str()?;
    let content = content(event, facts)?;
    let key = format!("e:{}:{at}", content.platform_id);
    inbound(key, event, account, facts, Happening::Edit(content))
}

fn read_deletion(event: &Value, id: &Value, account: &Account, facts: &Facts) -> Option<Inbound> {
    let id = text(id);
    let what = Happening::Delete { platform_id: id.clone() };
    inbound(format!("d:{id}"), event, account, facts, what)
}

pub(super) fn unknown(
    kind: &str,
    event: &Value,
    account: &Account,
    facts: &Facts,
) -> Option<Inbound> {
    let what = Happening::Unknown { kind: shorten(kind, MAX_KIND_CHARS) };
    let id = match &event["id"] {
        Value::Null => text(&event["message_id"]),
        id => text(id),
    };
    inbound(format!("x:{kind}:{id}"), event, account, facts, what)
}

/// The id of a message of ours that an event gives back.
pub(super) fn given_back<'a>(kind: &str, event: &'a Value, facts: &Facts) -> Option<&'a str> {
    event["id"].as_str().filter(|_| kind == "MESSAGE_CREATE" && wrote(event, facts))
}

fn wrote(event: &Value, facts: &Facts) -> bool {
    let is = |value: &Value, mine: &str| !mine.is_empty() && *value == *mine;
    is(&event["author"]["id"], &facts.me.id) || is(&event["application_id"], &facts.me.application)
}

pub(super) fn inbound(
    event_key: String,
    event: &Value,
    account: &Account,
    facts: &Facts,
    what: Happening,
) -> Option<Inbound> {
    let sender = sender(event);
    let channel = event["channel_id"].as_str().unwrap_or(NO_CHAT);
    let is_direct = event["guild_id"].is_null();
    let room = facts.room(channel).filter(|_| !is_direct);
    let (chat, thread) = match room.and_then(|it| it.parent.as_deref()) {
        Some(parent) => (parent, Some(channel)),
        None => (channel, None),
    };
    let jid = account.chat(chat).or_else(|_| account.chat(NO_CHAT)).ok()?;
    let kind = if is_direct { ChatKind::Direct } else { ChatKind::Group };
    let title = match kind {
        ChatKind::Direct => sender.name.clone(),
        ChatKind::Group => facts.room(chat).map_or(chat, |it| &it.name).to_owned(),
    };
    let id = event["id"].as_str().unwrap_or_default();
    let sent_at = event["edited_timestamp"].as_str().or(event["timestamp"].as_str());
    let sent_at = sent_at.and_then(|it| it.parse::<jiff::Timestamp>().ok());
    Some(Inbound {
        event_key,
        place: Place { jid, thread: thread.map(Into::into) },
        chat: ChatFacts { kind, title },
        sender,
        sent_at: sent_at.map_or_else(|| history::instant(id), |it| Timestamp(it.as_millisecond())),
        what,
    })
}

/// Who did it: in a server people may have a name of that server.
fn sender(event: &Value) -> Sender {
    let users = [&event["author"], &event["member"]["user"], &event["user"]];
    let user = users.into_iter().find(|it| it.is_object()).unwrap_or(&Value::Null);
    let names = [&event["member"]["nick"], &user["global_name"], &user["username"]];
    let name = names.into_iter().find_map(|it| it.as_str().filter(|it| !it.is_empty()));
    // Of a reaction in a private chat only the id is told.
    let id = user["id"].as_str().or(event["user_id"].as_str()).unwrap_or(NO_CHAT).to_owned();
    let is_bot = user["bot"] == true || event["webhook_id"].is_string();
    Sender { name: name.unwrap_or(&id).to_owned(), id, is_bot }
}

/// What a message says; none when it says nothing.
fn content(event: &Value, facts: &Facts) -> Option<Content> {
    let mut said: Vec<String> = Vec::new();
    let mut media = files::media(event);
    said.extend(words(event, facts));
    for snapshot in list(&event["message_snapshots"]) {
        let message = &snapshot["message"];
        let text: Vec<String> = words(message, facts).collect();
        said.push(format!("[forwarded]\n{}", text.join("\n")).trim_end().to_owned());
        media.extend(files::media_of(event, message));
    }
    if said.is_empty() && media.is_empty() {
        return None;
    }
    let reference = &event["message_reference"];
    // Kind 1 is a forward, which answers nothing.
    let is_reply = reference["type"].as_i64().unwrap_or_default() == 0;
    let before = &event["referenced_message"];
    let quote: Vec<String> = words(before, facts).collect();
    Some(Content {
        platform_id: event["id"].as_str()?.to_owned(),
        text: said.join("\n"),
        media,
        reply_to: reference["message_id"].as_str().filter(|_| is_reply).map(str::to_owned),
        quote: Some(quote.join("\n")).filter(|it| is_reply && !it.is_empty()),
        addressed: addressed(event, facts),
        ..Content::default()
    })
}

fn addressed(event: &Value, facts: &Facts) -> Addressed {
    let me = &facts.me.id;
    let said = event["content"].as_str().unwrap_or_default();
    let named = !me.is_empty()
        && (said.contains(&format!("<@{me}>")) || said.contains(&format!("<@!{me}>")));
    let by_role = list(&event["mention_roles"]).any(|it| facts.is_own_role(&text(it)));
    let is_reply = !me.is_empty() && event["referenced_message"]["author"]["id"] == **me;
    match () {
        () if event["guild_id"].is_null() => Addressed::Direct,
        () if named || by_role => Addressed::Mention,
        () if is_reply => Addressed::Reply,
        () => Addressed::No,
    }
}

/// Everything in a message that is words.
fn words<'a>(message: &'a Value, facts: &'a Facts) -> impl Iterator<Item = String> + 'a {
    let text = message["content"].as_str().unwrap_or_default();
    let embeds = list(&message["embeds"]).filter_map(embed);
    let stickers = list(&message["sticker_items"])
        .map(|it| format!("[sticker: {}]", it["name"].as_str().unwrap_or_default()));
    let poll = message.get("poll").filter(|it| it.is_object()).map(poll);
    let text = Some(plain(text, message, facts)).filter(|it| !it.is_empty());
    text.into_iter().chain(embeds).chain(stickers).chain(poll)
}

/// What an app shows in a frame. The preview of a link is none: its words are somebody else's.
fn embed(embed: &Value) -> Option<String> {
    if embed["type"].as_str().is_some_and(|it| it != "rich") {
        return None;
    }
    let mut said: Vec<String> = ["title", "description"]
        .iter()
        .filter_map(|key| embed[key].as_str().map(str::to_owned))
        .collect();
    for field in list(&embed["fields"]) {
        let part = |key: &str| field[key].as_str().unwrap_or_default();
        said.push(format!("{}: {}", part("name"), part("value")));
    }
    said.extend(embed["url"].as_str().map(str::to_owned));
    (!said.is_empty()).then(|| said.join("\n"))
}

fn poll(poll: &Value) -> String {
    let answers = list(&poll["answers"]);
    let answers: Vec<&str> = answers.filter_map(|it| it["poll_media"]["text"].as_str()).collect();
    let question = poll["question"]["text"].as_str().unwrap_or_default();
    format!("[poll: {question} ({})]", answers.join(" / "))
}
