//! What a chat looks like on each platform: how somebody writes there, and what they see.

use ngb_core::address::ChannelKind;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Person, Room, Shown, Side};
use crate::{dingtalk, discord, feishu, qq, qqbot, slack, telegram, wecom, whatsapp};

impl Person {
    fn name(self) -> &'static str {
        match self {
            Self::Ann => "Ann",
            Self::Bob => "Bob",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Ann => 1,
            Self::Bob => 2,
        }
    }
}

fn room_of(is_group: bool) -> Room {
    if is_group { Room::Group } else { Room::Direct }
}

fn shown(is_group: bool, text: impl Into<String>) -> Shown {
    Shown { room: room_of(is_group), text: text.into() }
}

impl Side for whatsapp::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Whatsapp
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.platform.config;
        vec![
            ("access_token", config.access_token.clone()),
            ("phone_number_id", config.phone_number_id.clone()),
            ("app_secret", config.app_secret.clone()),
            ("verify_token", config.verify_token.clone()),
            ("api_url", self.url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        self.platform.lock().hook.is_some()
    }

    fn say(&self, who: Person, _: Room, text: &str) {
        let phone = format!("1555000000{}", who.number());
        self.platform.texts(&whatsapp::Person::with_phone(&phone, who.name()), text);
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &whatsapp::SentMessage| {
            let body = &it.body;
            let kind = body["type"].as_str().unwrap_or_default();
            let text = body["text"]["body"].as_str().or(body[kind]["body"]["text"].as_str());
            shown(false, text.map_or_else(|| format!("({kind})"), str::to_owned))
        };
        self.platform.sent().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

impl Side for telegram::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Telegram
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("token", self.token.clone()), ("api_url", self.url.clone())]
    }

    fn is_connected(&self) -> bool {
        0 < self.platform.figures().polls
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let from = 1_000 + i64::from(who.number());
        let (chat, text) = match room {
            Room::Direct => (from, text.to_owned()),
            Room::Group => {
                let name = self.platform.bot["username"].as_str().unwrap_or_default();
                (-1_001, format!("@{name} {text}"))
            }
        };
        let name = Some(who.name().to_owned());
        let draft = telegram::Draft { from: Some(from), name, ..telegram::Draft::text(chat, text) };
        self.platform.push(&[draft]);
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &telegram::SentMessage| {
            let text = it.edits.last().map_or(&it.text, |it| &it.text);
            let file = it.file.as_ref().map(|it| format!("({}) ", it.name)).unwrap_or_default();
            shown(it.chat < 0, format!("{file}{text}"))
        };
        self.platform.sent(0).iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changed.subscribe()
    }
}

impl Side for slack::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Slack
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("bot_token", self.bot_token.clone()),
            ("app_token", self.app_token.clone()),
            ("api_url", self.url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        0 < self.platform.figures().sockets
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let user = format!("U{}", who.number());
        self.platform.name(&user, who.name());
        match room {
            Room::Direct => self.platform.say(&format!("D{}", who.number()), &user, text),
            Room::Group => {
                self.platform.say("C1", &user, &format!("<@{}> {text}", slack::BOT_USER))
            }
        };
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &slack::Posted| {
            let file = it.file.as_ref().map(|it| format!("({}) ", it.1)).unwrap_or_default();
            shown(it.channel.starts_with('C'), format!("{file}{}", it.text))
        };
        self.platform.posted().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

impl Side for discord::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Discord
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("token", self.token.clone()), ("api_url", self.url.clone())]
    }

    fn is_connected(&self) -> bool {
        self.platform.has_session()
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let author = json!({
            "id": who.number().to_string(), "username": who.name(), "global_name": who.name(),
            "discriminator": "0", "avatar": null,
        });
        let (channel, more) = match room {
            Room::Direct => (discord::DIRECT, json!({"author": author, "content": text})),
            Room::Group => {
                let bot = json!({"id": discord::BOT, "username": self.platform.config.name, "discriminator": "0", "avatar": null, "bot": true});
                let text = format!("<@{}> {text}", discord::BOT);
                (discord::GENERAL, json!({"author": author, "content": text, "mentions": [bot]}))
            }
        };
        self.platform.message(channel, more);
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &discord::Posted| {
            let files: String = it.files.iter().map(|it| format!("({}) ", it.1)).collect();
            shown(it.channel != discord::DIRECT, format!("{files}{}", it.content))
        };
        self.platform.posted().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

impl Side for wecom::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Wecom
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.company.config;
        vec![
            ("bot_id", config.bot_id.clone()),
            ("bot_secret", config.bot_secret.clone()),
            ("ws_url", self.ws_url.clone()),
            ("api_url", self.url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        self.company.is_subscribed()
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let (chat, text) = match room {
            Room::Direct => (None, text.to_owned()),
            Room::Group => (Some(WECOM_GROUP), format!("@nano {text}")),
        };
        let content = json!({"msgtype": "text", "text": {"content": text}});
        self.company.says(who.name(), chat, &content);
    }

    fn shown(&self) -> Vec<Shown> {
        let streams = self.company.streams();
        let streams = streams.iter().map(|it| {
            let chat = self.company.chat_of(&it.request);
            shown(chat.as_deref() == Some(WECOM_GROUP), it.content.as_str())
        });
        let sent = self.company.sent();
        let sent = sent.iter().map(|it| {
            let kind = it["msgtype"].as_str().unwrap_or_default();
            let text = it[kind]["content"].as_str();
            shown(
                it["chatid"] == WECOM_GROUP,
                text.map_or_else(|| format!("({kind})"), str::to_owned),
            )
        });
        streams.chain(sent).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.company.changes()
    }
}

const WECOM_GROUP: &str = "wrGroup";

impl Side for dingtalk::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Dingtalk
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.platform.config;
        vec![
            ("client_id", config.client_id.clone()),
            ("client_secret", config.client_secret.clone()),
            ("card_template_id", dingtalk::CARD_TEMPLATE.to_owned()),
            ("api_url", self.url.clone()),
            ("upload_url", self.url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        0 < self.platform.figures().sockets
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let more = json!({"msgtype": "text", "text": {"content": text}});
        match room {
            Room::Direct => self.platform.writes(who.name(), &more),
            Room::Group => self.platform.asks(DINGTALK_GROUP, who.name(), &more),
        };
    }

    fn shown(&self) -> Vec<Shown> {
        let said = self.platform.said();
        let said = said.iter().map(|it| {
            let body = &it.body;
            let param = body["msgParam"].as_str().unwrap_or_default();
            let param: Value = serde_json::from_str(param).unwrap_or_default();
            let text = [&body["markdown"]["text"], &body["text"]["content"], &param["text"]];
            let text = text.into_iter().find_map(Value::as_str);
            let text = text.map_or_else(|| format!("({})", body["msgKey"]), str::to_owned);
            shown(it.to == DINGTALK_GROUP, text)
        });
        let cards = self.platform.cards();
        let cards = cards.iter().map(|it| shown(it.space.contains("IM_GROUP"), &*it.content));
        said.chain(cards).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

const DINGTALK_GROUP: &str = "cidGroup==";

impl Side for feishu::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Feishu
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.platform.config;
        vec![
            ("app_id", config.app_id.clone()),
            ("app_secret", config.app_secret.clone()),
            ("api_url", self.url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        0 < self.platform.figures().sockets
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let person = format!("ou_{}", who.name().to_lowercase());
        self.platform.name(&person, who.name());
        match room {
            Room::Direct => {
                self.platform.say(&format!("oc_p{}", who.number()), &person, text);
            }
            Room::Group => {
                let bot =
                    json!([{"key": "@_user_1", "id": {"open_id": feishu::BOT}, "name": "nano"}]);
                let content = json!({"text": format!("@_user_1 {text}")});
                let more = json!({"mentions": bot});
                self.platform.message(FEISHU_GROUP, &person, "text", content, more);
            }
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &feishu::Posted| {
            let text = match it.text() {
                "" => format!("({})", it.kind),
                text => text.to_owned(),
            };
            shown(it.to == FEISHU_GROUP, text)
        };
        self.platform.posted().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

const FEISHU_GROUP: &str = "oc_group";

impl Side for qq::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Qq
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("url", self.url.clone()), ("token", self.account.config.token.clone())]
    }

    fn is_connected(&self) -> bool {
        self.account.is_connected()
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        let user = 20_000 + u64::from(who.number());
        let text = json!({"type": "text", "data": {"text": text}});
        match room {
            Room::Direct => self.account.says(user, None, &json!([text])),
            Room::Group => {
                let me = self.account.config.self_id.to_string();
                let at = json!({"type": "at", "data": {"qq": me}});
                self.account.says(user, Some(30_001), &json!([at, text]))
            }
        };
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &qq::Call| {
            let segments = it.params["message"].as_array().into_iter().flatten();
            let words = segments.filter_map(|it| match it["type"].as_str() {
                Some("text") => it["data"]["text"].as_str().map(str::to_owned),
                Some("reply") => None,
                other => Some(format!("({})", other.unwrap_or("?"))),
            });
            shown(!it.params["group_id"].is_null(), words.collect::<String>())
        };
        self.account.sent().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.account.changes()
    }
}

impl Side for qqbot::Server {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Qq
    }

    fn name(&self) -> &'static str {
        "bot"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let config = &self.platform.config;
        vec![
            ("app_id", config.app_id.clone()),
            ("app_secret", config.secret.clone()),
            ("api_url", self.url.clone()),
            ("token_url", self.token_url.clone()),
        ]
    }

    fn is_connected(&self) -> bool {
        let figures = self.platform.figures();
        0 < figures.sockets && 0 < figures.identified + figures.resumed
    }

    fn say(&self, who: Person, room: Room, text: &str) {
        match room {
            Room::Direct => self.platform.writes(who.name(), text),
            Room::Group => self.platform.asks(QQ_BOT_GROUP, who.name(), text),
        };
    }

    fn shown(&self) -> Vec<Shown> {
        let text = |it: &qqbot::Sent| {
            let said = [&it.body["content"], &it.body["markdown"]["content"]];
            let text = said.into_iter().find_map(Value::as_str).unwrap_or("(file)");
            shown(it.to.ends_with(QQ_BOT_GROUP), text)
        };
        self.platform.sent().iter().map(text).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.platform.changes()
    }
}

const QQ_BOT_GROUP: &str = "Group";
