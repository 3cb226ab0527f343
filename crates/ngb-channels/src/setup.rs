//! Setting an account up: what to do on the platform, in which order, and what is missing when a step does not come true.
//!
//! ```text
//! Connecting ──▶ Connected ──a message──▶ Heard ──the reply──▶ Answered
//!     └──▶ Refused                          └──────────────▶ CantAnswer
//! ```
//! The steps name what stands in the platform's own console; docs/channels has them with more words.

use ngb_core::address::ChannelKind;
use serde::{Deserialize, Serialize};

/// What to do on a platform, for one way of connecting to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// Where it is done.
    pub console: &'static str,
    /// Once the account is connected; in this order, since some steps are saved only then.
    pub steps: &'static [&'static str],
    /// What the console takes as it is: scopes, a manifest, an address.
    pub import: Option<Import>,
    /// How the first message is written.
    pub write: &'static str,
    /// Connected, and no message comes: what may be missing, the likeliest first.
    pub silent: &'static [&'static str],
    /// A message came and can't be answered: what may be missing, the likeliest first.
    pub mute: &'static [&'static str],
    /// What another program on the same account does to this one, and whether that can be seen.
    pub others: &'static str,
}

/// Something to paste.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Where it goes.
    pub place: &'static str,
    /// `{id}` stands for the bot's id.
    pub text: &'static str,
}

/// How far the setting up has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Connecting,
    /// The platform does not let it in, or can't be reached.
    Refused,
    /// No message came yet.
    Connected,
    /// One came, and its reply is on its way.
    Heard,
    CantAnswer,
    Answered,
}

/// What is known of an account since it was set up or changed.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// It has not failed, and is not there yet.
    pub connecting: bool,
    pub up: bool,
    /// A message of somebody is stored.
    pub heard: bool,
    /// The platform took something from us after that.
    pub sent: bool,
    /// The last send failed.
    pub failed: bool,
}

/// How far it has come.
pub fn stage(seen: Seen) -> Stage {
    match seen {
        Seen { heard: true, failed: true, .. } => Stage::CantAnswer,
        Seen { heard: true, sent: true, .. } => Stage::Answered,
        Seen { heard: true, .. } => Stage::Heard,
        Seen { up: true, .. } => Stage::Connected,
        Seen { connecting: true, .. } => Stage::Connecting,
        _ => Stage::Refused,
    }
}

impl Guide {
    /// What may be missing at this stage.
    pub fn missing(&self, stage: Stage) -> &'static [&'static str] {
        match stage {
            Stage::Connected => self.silent,
            Stage::CantAnswer => self.mute,
            Stage::Connecting | Stage::Refused | Stage::Heard | Stage::Answered => &[],
        }
    }
}

/// The guide for a platform; `called` says that the platform calls us, where it can do both. None for our own doors.
pub fn guide(kind: ChannelKind, called: bool) -> Option<&'static Guide> {
    Some(match kind {
        ChannelKind::Whatsapp => &WHATSAPP,
        ChannelKind::Telegram if called => &TELEGRAM_WEBHOOK,
        ChannelKind::Telegram => &TELEGRAM,
        ChannelKind::Slack => &SLACK,
        ChannelKind::Discord => &DISCORD,
        ChannelKind::Wecom if called => &WECOM_APP,
        ChannelKind::Wecom => &WECOM_BOT,
        ChannelKind::Dingtalk => &DINGTALK,
        ChannelKind::Feishu if called => &FEISHU_CALLBACKS,
        ChannelKind::Feishu => &FEISHU,
        ChannelKind::Qq => &QQ,
        ChannelKind::Web | ChannelKind::Terminal => return None,
    })
}

const WHATSAPP: Guide = Guide {
    console: "https://developers.facebook.com/apps",
    steps: &[
        "WhatsApp > Configuration: enter the address below as Callback URL, with your verify token, and press Verify and save",
        "on the same page subscribe to the field `messages`",
        "WhatsApp > API Setup: while the app is not live, add your own number to the recipients",
    ],
    import: None,
    write: "write to the business number from WhatsApp",
    silent: &[
        "the callback address is not verified: Meta must reach it by HTTPS with a public certificate",
        "the field `messages` is not subscribed (WhatsApp > Configuration > Webhook fields)",
        "the app is not subscribed to the WhatsApp Business Account (POST /<WABA id>/subscribed_apps)",
        "`app_secret` is not this app's: then the log counts refused requests",
    ],
    mute: &[
        "the system user's token lacks `whatsapp_business_messaging`, or it ended",
        "the app is not live, and the recipient is not on the list under WhatsApp > API Setup",
        "more than 24 hours have passed since that person wrote: only a `template` may be sent",
    ],
    others: "Meta calls one address for each number: a program elsewhere that uses the same number gets nothing, or everything",
};

const TELEGRAM: Guide = Guide {
    console: "https://t.me/BotFather",
    steps: &[
        "for groups: /mybots, your bot, Bot Settings, Group Privacy, Turn off, then add the bot to the group again",
    ],
    import: None,
    write: "open your bot in Telegram, press Start and write something",
    silent: &[
        "another bot was written to: the account names the one that is connected",
        "in a group privacy mode keeps back what does not name the bot (@BotFather, /setprivacy, Disable; then add it again)",
    ],
    mute: &[
        "that person blocked the bot, or never pressed Start",
        "in a group the bot may not write: make it an administrator, or let members write",
    ],
    others: "a second program that polls with the same token is seen (409 Conflict) and shown",
};

const TELEGRAM_WEBHOOK: Guide = Guide {
    silent: &[
        "Telegram can't reach the address below: it wants HTTPS on port 443, 80, 88 or 8443 with a public certificate",
        "another program set a webhook of its own, or polls, and so took this one away",
        "another bot was written to: the account names the one that is connected",
    ],
    ..TELEGRAM
};

const SLACK: Guide = Guide {
    console: "https://api.slack.com/apps",
    steps: &[
        "Create New App > From an app manifest: paste the manifest below; for an app that is there, App Manifest",
        "Basic Information > App-Level Tokens: one with `connections:write` is the `app_token` (xapp-…)",
        "Install App: this gives the `bot_token` (xoxb-…); install it again after each change of scopes",
    ],
    import: Some(Import {
        place: "App Manifest",
        text: r#"{"display_information": {"name": "nano"},
 "features": {"app_home": {"messages_tab_enabled": true, "messages_tab_read_only_enabled": false},
  "bot_user": {"display_name": "nano", "always_online": true}},
 "oauth_config": {"scopes": {"bot": ["chat:write", "channels:history", "groups:history", "im:history", "mpim:history",
  "channels:read", "groups:read", "users:read", "files:read", "files:write", "reactions:read", "reactions:write"]}},
 "settings": {"event_subscriptions": {"bot_events": ["message.channels", "message.groups", "message.im", "message.mpim",
   "reaction_added", "reaction_removed"]},
  "interactivity": {"is_enabled": true}, "socket_mode_enabled": true, "org_deploy_enabled": false,
  "token_rotation_enabled": false}}"#,
    }),
    write: "write to the app in Slack, or /invite it into a channel and name it",
    silent: &[
        "Event Subscriptions: turn them on and add the bot events message.im, message.channels, message.groups, message.mpim; then install the app again",
        "App Home: tick \"Allow users to send Slash commands and messages from the messages tab\"",
        "in a channel: /invite the bot first",
        "another program with the same app takes the events: Slack gives each to one socket",
    ],
    mute: &[
        "OAuth & Permissions: add `chat:write`, then install the app again",
        "in a channel: /invite the bot",
    ],
    others: "Slack gives each event to one of the app's sockets; another program's sockets are counted when one is opened, and shown",
};

const DISCORD: Guide = Guide {
    console: "https://discord.com/developers/applications",
    steps: &[
        "Bot > Privileged Gateway Intents: turn on Message Content Intent",
        "open the address below and choose your server",
    ],
    import: Some(Import {
        place: "your browser",
        text: "https://discord.com/oauth2/authorize?client_id={id}&scope=bot+applications.commands&permissions=274878024768",
    }),
    write: "write to the bot, or name it in a channel",
    silent: &[
        "the bot is in no server that you share: open the address above",
        "Bot > Privileged Gateway Intents: Message Content Intent is off, so only direct messages and mentions come with words",
        "the bot's role does not see that channel: give it View Channels",
    ],
    mute: &[
        "the bot's role lacks Send Messages, Send Messages in Threads or Read Message History in that channel",
        "that person takes no direct messages from members of the server",
    ],
    others: "Discord gives each event to every program with the token, so two of them answer twice; this can't be seen from here",
};

const WECOM_BOT: Guide = Guide {
    console: "https://work.weixin.qq.com/wework_admin/frame",
    steps: &[
        "安全与管理 > 管理工具 > 智能机器人 (AI bots), the bot: as its way of connecting take 使用长连接 (long connection), and save",
        "on the same page set 可见范围 (who may see it)",
    ],
    import: None,
    write: "write to the bot in WeCom, or add it to a group and write @ and its name",
    silent: &[
        "the bot's page still has the URL way of connecting: take 使用长连接 (long connection) and save",
        "you are not in the bot's 可见范围 (who may see it)",
        "in a group the bot hears only what names it",
    ],
    mute: &[
        "the bot was removed from that group, or that person is not in its 可见范围 (who may see it)",
    ],
    others: "WeCom keeps one connection of a bot: whoever connects last takes it over, and this account then stops and says so",
};

const WECOM_APP: Guide = Guide {
    console: "https://work.weixin.qq.com/wework_admin/frame",
    steps: &[
        "应用管理 > the app > 接收消息 > 设置API接收: enter the address below with Token and EncodingAESKey, and save; WeCom checks it then",
        "the app > 企业可信IP (trusted IPs): add the public address of this machine",
        "the app > 可见范围: who may write to it",
    ],
    import: None,
    write: "write to the app in WeCom",
    silent: &[
        "the address was not saved under 接收消息 (receive messages): WeCom must reach it when it is saved",
        "Token or EncodingAESKey differ from those on that page: then the log counts refused requests",
        "you are not in the app's 可见范围 (who may see it)",
    ],
    mute: &[
        "60020: add the public address of this machine to 企业可信IP (trusted IPs) on the app's page",
        "that person is not in the app's 可见范围 (who may see it)",
    ],
    others: "WeCom calls one address for each app: a program elsewhere with the same app gets nothing, or everything",
};

const DINGTALK: Guide = Guide {
    console: "https://open-dev.dingtalk.com",
    steps: &[
        "添加应用能力 > 机器人 (Robot): turn it on, and take Stream 模式 as 消息接收模式 (way of receiving messages)",
        "权限管理 (permissions): add those below",
        "版本管理与发布: publish a version; nothing works before",
    ],
    import: Some(Import {
        place: "权限管理 (permissions), search for each",
        text: "qyapi_robot_sendmsg, Card.Instance.Write, Card.Streaming.Write",
    }),
    write: "search for the robot's name in DingTalk and write to it, or add it to a group and write @ and its name",
    silent: &[
        "no version is published (版本管理与发布)",
        "机器人配置: the way of receiving messages is HTTP; take Stream 模式, then publish a version",
        "in a group the robot hears only what names it",
        "another program with the same Client ID takes the messages: DingTalk gives each to one connection",
    ],
    mute: &[
        "权限管理 (permissions): add `qyapi_robot_sendmsg`, then publish a version",
        "that person is not of the company: they can be answered for 90 minutes after they wrote",
    ],
    others: "DingTalk gives each message to one of the app's connections; whether another program has one can't be seen from here",
};

const FEISHU: Guide = Guide {
    console: "https://open.feishu.cn/app",
    steps: &[
        "Add Features (添加应用能力): Bot (机器人)",
        "Permissions & Scopes (权限管理) > Batch import (批量导入): paste what is below",
        "Events & Callbacks (事件与回调) > Event Configuration: Receive events through persistent connection (使用长连接接收事件); it can be saved now, while the account is connected",
        "on the same page add the events im.message.receive_v1 (接收消息) and im.message.recalled_v1 (撤回消息), for reactions im.message.reaction.created_v1 and im.message.reaction.deleted_v1; Callback Configuration: the same connection, and card.action.trigger",
        "Version Management & Release (版本管理与发布): create a version with the people who may use it (可用范围), and publish it",
    ],
    import: Some(Import {
        place: "Permissions & Scopes (权限管理) > Batch import/export (批量导入/导出权限)",
        text: r#"{"scopes": {"tenant": ["im:message", "im:message:send_as_bot", "im:message.group_at_msg:readonly",
 "im:message.group_msg", "im:message.p2p_msg:readonly", "im:message:readonly", "im:resource", "im:chat:readonly",
 "im:message.reactions:read", "im:message.reactions:write_only", "contact:user.base:readonly", "cardkit:card:write"], "user": []}}"#,
    }),
    write: "search for the bot's name in Feishu and write to it, or add it to a group and name it",
    silent: &[
        "Events & Callbacks (事件与回调): im.message.receive_v1 is not added, or the persistent connection (使用长连接接收事件) is not chosen",
        "`im:message.p2p_msg:readonly` is missing under Permissions & Scopes (权限管理); for groups `im:message.group_at_msg:readonly`",
        "no version is published since the last change (版本管理与发布): publish a version",
        "you are not in the app's availability (可用范围)",
        "another program with the same app takes the events: Feishu gives each to one connection at random",
    ],
    mute: &[
        "`im:message:send_as_bot` is missing under Permissions & Scopes (权限管理): add it and publish a version",
        "that person is not in the app's availability (可用范围): widen it and publish a version",
    ],
    others: "Feishu gives each event to one of the app's connections at random; whether another program has one can't be seen from here",
};

const FEISHU_CALLBACKS: Guide = Guide {
    steps: &[
        "Add Features (添加应用能力): Bot (机器人)",
        "Permissions & Scopes (权限管理) > Batch import (批量导入): paste what is below",
        "Events & Callbacks (事件与回调): Send events to developer's server (将事件发送至开发者服务器), with the address below; the same for callbacks",
        "on the same page add the events im.message.receive_v1 (接收消息) and im.message.recalled_v1 (撤回消息), for reactions im.message.reaction.created_v1 and im.message.reaction.deleted_v1, and the callback card.action.trigger",
        "Version Management & Release (版本管理与发布): create a version with the people who may use it (可用范围), and publish it",
    ],
    silent: &[
        "Feishu can't reach the address below, or it was not saved under Events & Callbacks (事件与回调)",
        "Encrypt Key or Verification Token differ from those under Encryption Strategy (加密策略): then the log counts refused requests",
        "Events & Callbacks (事件与回调): im.message.receive_v1 is not added",
        "no version is published since the last change (版本管理与发布): publish a version",
    ],
    others: "Feishu calls one address for each app: a program elsewhere with the same app gets nothing, or everything",
    ..FEISHU
};

const QQ: Guide = Guide {
    console: "the page of your OneBot implementation (NapCat: 网络配置)",
    steps: &[
        "网络配置 (network): with `url` a WebSocket server (WebSocket 服务器), with `listen` a WebSocket client (WebSocket 客户端) that calls us, enabled, with the same token and messages as array",
        "an official bot instead (q.qq.com): under 回调配置 (callbacks) no address, or with `webhook` the one below; under 沙箱配置 (sandbox) the groups and people for as long as it is not published",
    ],
    import: None,
    write: "write to the QQ account, or write @ and its name in a group",
    silent: &[
        "the account is not logged in to QQ: look at the implementation's page",
        "the connection there is not enabled, or another account is logged in",
        "in a group the agent is meant only by name",
        "an official bot: an address under 回调配置 takes the events from the gateway, or the group is not in its sandbox",
    ],
    mute: &[
        "QQ limits the account (risk control): log in with the phone, wait, and write less",
        "the account is muted in that group, or not a friend of that person",
        "an official bot may only answer: within 5 minutes in groups, an hour in private chats, five times to a message",
    ],
    others: "every program that is connected to the implementation gets every message, so two of them answer twice; this can't be seen from here",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        let seen = Seen { connecting: false, up: false, heard: false, sent: false, failed: false };
        let up = Seen { up: true, ..seen };
        let heard = Seen { heard: true, ..up };
        #[rustfmt::skip]
        let table = [
            (seen,                                  Stage::Refused),
            (Seen { connecting: true, ..seen },     Stage::Connecting),
            (up,                                    Stage::Connected),
            (Seen { sent: true, ..up },             Stage::Connected),
            (Seen { failed: true, ..up },           Stage::Connected),
            (heard,                                 Stage::Heard),
            (Seen { sent: true, ..heard },          Stage::Answered),
            (Seen { failed: true, ..heard },        Stage::CantAnswer),
            (Seen { up: false, sent: true, ..heard }, Stage::Answered),
        ];
        for (seen, want) in table {
            assert_eq!(stage(seen), want, "{seen:?}");
        }
    }

    #[test]
    fn every_platform_has_a_guide_and_what_is_pasted_can_be_read() {
        for kind in ChannelKind::ALL {
            for called in [false, true] {
                let Some(guide) = guide(*kind, called) else {
                    assert!(matches!(kind, ChannelKind::Web | ChannelKind::Terminal));
                    continue;
                };
                assert!(
                    !guide.steps.is_empty() && !guide.silent.is_empty() && !guide.mute.is_empty()
                );
                let text = guide.import.map_or("", |it| it.text);
                if text.starts_with('{') {
                    serde_json::from_str::<serde_json::Value>(text).unwrap();
                }
            }
        }
    }

    /// Add reactions, view channels, send messages, embed links, attach files, read history, send in threads
    /// (<https://discord.com/developers/docs/topics/permissions>).
    #[test]
    fn the_invitation_asks_for_what_discord_md_names() {
        let bits: u64 = [6, 10, 11, 14, 15, 16, 38].iter().map(|it| 1 << it).sum();
        assert!(DISCORD.import.unwrap().text.ends_with(&format!("permissions={bits}")));
    }
}
