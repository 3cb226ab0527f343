//! `[channels.<kind>.<account>]`: one section an account.

use std::{collections::BTreeMap, net::SocketAddr};

use ngb_core::{address::Jid, route::NewChats};
use serde::{Deserialize, Serialize};

use super::{Network, SecretSetting, value::Span};
use crate::shown;

/// One section a bot: `[channels.<kind>.<account>]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Channels {
    pub(crate) telegram: BTreeMap<String, Telegram>,
    pub(crate) whatsapp: BTreeMap<String, Whatsapp>,
    pub(crate) slack: BTreeMap<String, Slack>,
    pub(crate) discord: BTreeMap<String, Discord>,
    pub(crate) feishu: BTreeMap<String, Feishu>,
    pub(crate) wecom: BTreeMap<String, Wecom>,
    pub(crate) dingtalk: BTreeMap<String, Dingtalk>,
    pub(crate) qq: BTreeMap<String, Qq>,
}

/// `[channels.telegram.<account>]`: a bot of Telegram's; `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Telegram {
    /// The bot's token, from BotFather.
    pub(crate) token: SecretSetting,
    /// Where the Bot API is; default `https://api.telegram.org`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// Receive by webhook under `[web] public_url` instead of polling; the secret that Telegram has to show.
    pub(crate) webhook_secret: Option<SecretSetting>,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.slack.<account>]`: an app in a Slack workspace; `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    /// The bot's token, `xoxb-…`, from the app's page OAuth & Permissions.
    pub(crate) bot_token: SecretSetting,
    /// The app's token, `xapp-…`, with the scope `connections:write`, from the app's page Basic Information.
    pub(crate) app_token: SecretSetting,
    /// Where the Web API is; default `https://slack.com/api`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.discord.<account>]`: a bot on Discord; `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discord {
    /// The bot's token, from the application's page Bot.
    pub(crate) token: SecretSetting,
    /// Where the REST API is; default `https://discord.com/api/v10`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.feishu.<account>]`: a self-built app on Feishu or Lark; `<account>` is any name. It connects to Feishu,
/// unless an `encrypt_key` has Feishu call it under `[web] public_url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feishu {
    /// The app's App ID, `cli_…`, from the page Credentials & Basic Info (凭证与基础信息).
    pub(crate) app_id: String,
    /// The app's App Secret, from the same page.
    pub(crate) app_secret: SecretSetting,
    /// `feishu.cn` (default) or `larksuite.com`.
    #[serde(default)]
    pub(crate) domain: FeishuDomain,
    /// Receive by callbacks instead of a connection: the Encrypt Key of the page Events & Callbacks (事件与回调).
    pub(crate) encrypt_key: Option<SecretSetting>,
    /// The Verification Token of the same page, checked as well.
    pub(crate) verification_token: Option<SecretSetting>,
    /// Where the open API is; default that of the domain.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// Which of the two platforms an app is on.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) enum FeishuDomain {
    #[default]
    #[serde(rename = "feishu.cn")]
    Feishu,
    #[serde(rename = "larksuite.com")]
    Lark,
}

/// `[channels.whatsapp.<account>]`: a business number on WhatsApp; `<account>` is any name. Meta calls it under
/// `[web] public_url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whatsapp {
    /// The access token of a system user.
    pub(crate) access_token: SecretSetting,
    /// The number's id in the Graph API, which is not the number.
    pub(crate) phone_number_id: String,
    /// The app's secret, with which Meta signs its calls.
    pub(crate) app_secret: SecretSetting,
    /// Your own word, entered beside the callback address.
    pub(crate) verify_token: SecretSetting,
    /// An approved template whose body is one parameter, sent where only a template may be: 24 hours after a person
    /// last wrote. Default none.
    pub(crate) template: Option<String>,
    /// The template's language; default `en_US`.
    pub(crate) template_language: Option<String>,
    /// Where the Graph API is; default `https://graph.facebook.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// Its version; default `v23.0`.
    pub(crate) api_version: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.wecom.<account>]`: an app, an AI bot or the robot of a group on WeCom; `<account>` is any name. An app
/// is called under `[web] public_url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wecom {
    /// The company's id (企业ID); an app wants this and the next four.
    pub(crate) corp_id: Option<String>,
    /// The app's AgentId.
    pub(crate) agent_id: Option<u64>,
    /// The app's Secret.
    pub(crate) secret: Option<SecretSetting>,
    /// The Token of "receive messages" (接收消息).
    pub(crate) token: Option<SecretSetting>,
    /// The EncodingAESKey of "receive messages".
    pub(crate) encoding_aes_key: Option<SecretSetting>,
    /// Instead of an app: the Bot ID of an AI bot (智能机器人) with a long connection.
    pub(crate) bot_id: Option<String>,
    /// The AI bot's Secret.
    pub(crate) bot_secret: Option<SecretSetting>,
    /// Where an AI bot connects; default `wss://openws.work.weixin.qq.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) ws_url: Option<String>,
    /// Instead of both: what stands behind `key=` in the address of a group's robot (群机器人), which only sends.
    pub(crate) robot_key: Option<SecretSetting>,
    /// Where the API is; default `https://qyapi.weixin.qq.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.dingtalk.<account>]`: the robot of an app on DingTalk, in Stream mode; `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dingtalk {
    /// The app's Client ID (AppKey).
    pub(crate) client_id: String,
    /// The app's Client Secret (AppSecret).
    pub(crate) client_secret: SecretSetting,
    /// The robot's code (RobotCode); default the Client ID, which it is for an app's own robot.
    pub(crate) robot_code: Option<String>,
    /// The template of an AI card, `….schema`, that shows an answer while it is made; default none: an answer is shown
    /// when it is whole.
    pub(crate) card_template_id: Option<String>,
    /// The variable of that card that is streamed; default `content`.
    pub(crate) card_content_key: Option<String>,
    /// The variable of that card that its stop button sends; default none: it has no such button.
    pub(crate) card_stop_key: Option<String>,
    /// Where the OpenAPI is; default `https://api.dingtalk.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// Where files go up; default `https://oapi.dingtalk.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) upload_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.qq.<account>]`: a QQ account behind a OneBot 11 implementation (NapCat, …), or an official bot; `<account>` is
/// any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Qq {
    /// Where the implementation waits for us (forward): `ws://127.0.0.1:3001`. Either this, `listen` or `app_id`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) url: Option<String>,
    /// Where we wait for it (reverse): an address with a port, `127.0.0.1:8095`.
    pub(crate) listen: Option<SocketAddr>,
    /// What both sides know; `listen` wants it unless it is on this machine only.
    pub(crate) token: Option<SecretSetting>,
    /// Instead of both: the AppID of an official bot (QQ 开放平台, 开发设置).
    pub(crate) app_id: Option<String>,
    /// The bot's AppSecret.
    pub(crate) app_secret: Option<SecretSetting>,
    /// Whether QQ calls the bot under `[web] public_url`, instead of the gateway; default false.
    pub(crate) webhook: Option<bool>,
    /// Whether the bot is also in channels (频道); default true. A bot without that right wants false.
    pub(crate) guilds: Option<bool>,
    /// Where an official bot's API is; default `https://api.sgroup.qq.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// Where an official bot gets its access token; default `https://bots.qq.com/app/getAppAccessToken`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) token_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// An emoji that stands under a message while it is worked on, e.g. `"👀"`; default none.
    pub(crate) ack_reaction: Option<String>,
    /// The address of a chat with you that gets a message now and then, as proof that the account works; default none.
    /// See docs/operations.md.
    pub(crate) canary: Option<Jid>,
    /// How often, at least `1m`; default `15m`.
    pub(crate) canary_every: Option<Span>,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}
