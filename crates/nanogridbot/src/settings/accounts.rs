//! `[channels.<kind>.<account>]`: one section an account.

use std::{collections::BTreeMap, net::SocketAddr};

use ngb_core::{
    address::{Account, ChannelKind},
    route::NewChats,
};
use serde::{Deserialize, Serialize};

use super::{Network, SecretSetting, SettingsError};
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

/// What the sections of all platforms have in common.
pub(crate) trait Section {
    const KIND: ChannelKind;

    /// What `channel add` asks for: the key, and where to find it.
    const WANTS: &'static [(&'static str, &'static str)] = &[];

    /// Its secrets, by their keys.
    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)>;

    /// Addresses, which may hold a password.
    fn addresses(&self) -> Vec<Option<&str>>;
}

/// A section, as those see it who don't ask which platform it is of.
pub(crate) struct Common<'a> {
    /// Its address: `telegram@main`.
    pub(crate) account: String,
    /// Its settings, without the secrets.
    pub(crate) shown: serde_json::Value,
    pub(crate) secrets: Vec<(String, &'a SecretSetting)>,
    pub(crate) addresses: Vec<Option<&'a str>>,
}

impl Channels {
    /// Every account there is.
    pub(crate) fn all(&self) -> Vec<Common<'_>> {
        let mut all = Vec::new();
        common(&self.telegram, &mut all);
        common(&self.whatsapp, &mut all);
        common(&self.slack, &mut all);
        common(&self.discord, &mut all);
        common(&self.feishu, &mut all);
        common(&self.wecom, &mut all);
        common(&self.dingtalk, &mut all);
        common(&self.qq, &mut all);
        all
    }
}

fn common<'a, T: Section + Serialize>(sections: &'a BTreeMap<String, T>, to: &mut Vec<Common<'a>>) {
    for (name, it) in sections {
        let at = |key: &str| format!("channels.{}.{name}.{key}", T::KIND);
        let secrets = it.secrets().into_iter().map(|(key, it)| (at(key), it)).collect();
        let shown = serde_json::to_value(it).expect("settings have only string keys");
        let account = format!("{}@{name}", T::KIND);
        to.push(Common { account, shown, secrets, addresses: it.addresses() });
    }
}

/// What `channel add` asks for of a platform.
pub(crate) fn wants(kind: ChannelKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ChannelKind::Telegram => Telegram::WANTS,
        ChannelKind::Slack => Slack::WANTS,
        ChannelKind::Discord => Discord::WANTS,
        ChannelKind::Feishu => Feishu::WANTS,
        ChannelKind::Whatsapp => Whatsapp::WANTS,
        ChannelKind::Wecom => Wecom::WANTS,
        _ => &[],
    }
}

/// The accounts of one platform, their names checked.
///
/// # Errors
///
/// When a name can't be one.
pub(crate) fn accounts<T: Section>(
    sections: &BTreeMap<String, T>,
) -> Result<Vec<(Account, &T)>, SettingsError> {
    let mut accounts = Vec::new();
    for (name, it) in sections {
        let account = Account::new(T::KIND, name).map_err(|err| {
            let from = format!("[channels.{}.{name}]", T::KIND);
            SettingsError::BadValue { from, why: err.to_string() }
        })?;
        accounts.push((account, it));
    }
    Ok(accounts)
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
    /// Where the OpenAPI is; default `https://api.dingtalk.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) api_url: Option<String>,
    /// Where files go up; default `https://oapi.dingtalk.com`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) upload_url: Option<String>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

/// `[channels.qq.<account>]`: a QQ account behind a OneBot 11 implementation (NapCat, …); `<account>` is any name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Qq {
    /// Where the implementation waits for us (forward): `ws://127.0.0.1:3001`. Either this or `listen`.
    #[serde(serialize_with = "shown::url")]
    pub(crate) url: Option<String>,
    /// Where we wait for it (reverse): an address with a port, `127.0.0.1:8095`.
    pub(crate) listen: Option<SocketAddr>,
    /// What both sides know; `listen` wants it unless it is on this machine only.
    pub(crate) token: Option<SecretSetting>,
    /// What happens with chats that nobody approved: `ask` (default), `ignore`, `own-group`.
    #[serde(default)]
    pub(crate) new_chats: NewChats,
    /// Its own way out, where it differs from `[network]`: `network = { proxy = "…" }`.
    #[serde(default)]
    pub(crate) network: Network,
}

impl Section for Telegram {
    const KIND: ChannelKind = ChannelKind::Telegram;
    const WANTS: &'static [(&'static str, &'static str)] = &[("token", "from @BotFather, /newbot")];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[("token", Some(&self.token)), ("webhook_secret", self.webhook_secret.as_ref())])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Slack {
    const KIND: ChannelKind = ChannelKind::Slack;
    const WANTS: &'static [(&'static str, &'static str)] = &[
        ("bot_token", "xoxb-…, from OAuth & Permissions"),
        ("app_token", "xapp-…, from Basic Information, with connections:write"),
    ];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("bot_token", &self.bot_token), ("app_token", &self.app_token)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Discord {
    const KIND: ChannelKind = ChannelKind::Discord;
    const WANTS: &'static [(&'static str, &'static str)] =
        &[("token", "from the page Bot, Reset Token; turn on Message Content Intent there")];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("token", &self.token)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Feishu {
    const KIND: ChannelKind = ChannelKind::Feishu;
    const WANTS: &'static [(&'static str, &'static str)] = &[
        ("app_id", "cli_…, from Credentials & Basic Info (凭证与基础信息)"),
        ("app_secret", "from the same page"),
    ];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[
            ("app_secret", Some(&self.app_secret)),
            ("encrypt_key", self.encrypt_key.as_ref()),
            ("verification_token", self.verification_token.as_ref()),
        ])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Whatsapp {
    const KIND: ChannelKind = ChannelKind::Whatsapp;
    const WANTS: &'static [(&'static str, &'static str)] = &[
        ("access_token", "of a system user, from Business Settings"),
        ("phone_number_id", "from WhatsApp > API Setup"),
        ("app_secret", "from App settings > Basic"),
        ("verify_token", "a word of your own, entered beside the callback address"),
    ];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![
            ("access_token", &self.access_token),
            ("app_secret", &self.app_secret),
            ("verify_token", &self.verify_token),
        ]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Wecom {
    const KIND: ChannelKind = ChannelKind::Wecom;
    const WANTS: &'static [(&'static str, &'static str)] = &[
        ("corp_id", "企业ID, from My Company (我的企业)"),
        ("agent_id", "AgentId, from the app's page"),
        ("secret", "Secret, from the app's page"),
        ("token", "Token, from Receive Messages (接收消息)"),
        ("encoding_aes_key", "EncodingAESKey, from the same page"),
    ];

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[
            ("secret", self.secret.as_ref()),
            ("token", self.token.as_ref()),
            ("encoding_aes_key", self.encoding_aes_key.as_ref()),
            ("bot_secret", self.bot_secret.as_ref()),
            ("robot_key", self.robot_key.as_ref()),
        ])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.ws_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Dingtalk {
    const KIND: ChannelKind = ChannelKind::Dingtalk;

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("client_secret", &self.client_secret)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.upload_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Qq {
    const KIND: ChannelKind = ChannelKind::Qq;

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[("token", self.token.as_ref())])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.url.as_deref(), self.network.proxy.as_deref()]
    }
}

/// Those that are set.
fn set<'a>(
    all: &[(&'static str, Option<&'a SecretSetting>)],
) -> Vec<(&'static str, &'a SecretSetting)> {
    all.iter().filter_map(|(key, it)| Some((*key, (*it)?))).collect()
}
