//! What the sections of all accounts have in common, and what each has of it.

use std::{collections::BTreeMap, time::Duration};

use ngb_core::{
    address::{Account, ChannelKind, Jid},
    route::NewChats,
};
use serde::Serialize;

use super::{
    Network, SecretSetting, SettingsError,
    accounts::{Channels, Dingtalk, Discord, Feishu, Qq, Slack, Telegram, Wecom, Whatsapp},
};

/// What the sections of all platforms have in common.
pub(crate) trait Section {
    const KIND: ChannelKind;

    /// What `channel add` asks for: the key, and where to find it.
    const WANTS: &'static [Wanted] = &[];

    /// What happens with chats that nobody approved.
    fn new_chats(&self) -> NewChats;

    /// Its own way out.
    fn network(&self) -> &Network;

    /// What stands under a message while it is worked on.
    fn ack_reaction(&self) -> Option<&str>;

    /// The chat that proves that it works, and how often.
    fn canary(&self) -> (Option<&Jid>, Option<Duration>);

    /// Its secrets, by their keys.
    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)>;

    /// Its addresses, which may hold a password like that of its proxy.
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

/// A setting and where its value is found.
pub(crate) type Wanted = (&'static str, &'static str);

/// What `channel add` asks for of a platform.
pub(crate) fn wants(kind: ChannelKind) -> &'static [Wanted] {
    match kind {
        ChannelKind::Telegram => Telegram::WANTS,
        ChannelKind::Slack => Slack::WANTS,
        ChannelKind::Discord => Discord::WANTS,
        ChannelKind::Feishu => Feishu::WANTS,
        ChannelKind::Whatsapp => Whatsapp::WANTS,
        ChannelKind::Wecom => Wecom::WANTS,
        ChannelKind::Dingtalk => Dingtalk::WANTS,
        ChannelKind::Qq | ChannelKind::Web | ChannelKind::Terminal => &[],
    }
}

const WECOM_BOT: &[Wanted] = &[
    ("bot_id", "from the AI bot's page (智能机器人), API mode, long connection"),
    ("bot_secret", "from the same page"),
];
const WECOM_ROBOT: &[Wanted] =
    &[("robot_key", "what follows key= in the address of the group's robot (群机器人)")];
const QQ_FORWARD: &[Wanted] = &[
    ("url", "ws://…, where the OneBot program (NapCat, Lagrange) listens"),
    ("token", "the access token that is set there"),
];
const QQ_REVERSE: &[Wanted] = &[
    ("listen", "127.0.0.1:6700, where the OneBot program is to call"),
    ("token", "the access token that is set there"),
];
const QQ_BOT: &[Wanted] = &[
    ("app_id", "AppID, from q.qq.com, Development settings (开发设置)"),
    ("app_secret", "AppSecret, from the same page"),
];

/// In which ways an account of a platform is connected, the usual one first.
pub(crate) fn ways(kind: ChannelKind) -> Vec<(&'static str, &'static [Wanted])> {
    match kind {
        ChannelKind::Wecom => vec![
            ("an app of the company (自建应用)", Wecom::WANTS),
            ("an AI bot by long connection (智能机器人)", WECOM_BOT),
            ("a group's robot, which only sends (群机器人)", WECOM_ROBOT),
        ],
        ChannelKind::Qq => vec![
            ("OneBot, called by us", QQ_FORWARD),
            ("OneBot, which calls us", QQ_REVERSE),
            ("an official bot", QQ_BOT),
        ],
        ChannelKind::Web | ChannelKind::Terminal => Vec::new(),
        _ => vec![("a bot or an app of your own", wants(kind))],
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

/// What every section has.
macro_rules! every_section {
    () => {
        fn new_chats(&self) -> NewChats {
            self.new_chats
        }

        fn network(&self) -> &Network {
            &self.network
        }

        fn ack_reaction(&self) -> Option<&str> {
            self.ack_reaction.as_deref()
        }

        fn canary(&self) -> (Option<&Jid>, Option<Duration>) {
            (self.canary.as_ref(), self.canary_every.map(|it| it.0))
        }
    };
}

impl Section for Telegram {
    const KIND: ChannelKind = ChannelKind::Telegram;
    const WANTS: &'static [Wanted] = &[("token", "from @BotFather, /newbot")];

    every_section!();

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[("token", Some(&self.token)), ("webhook_secret", self.webhook_secret.as_ref())])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Slack {
    const KIND: ChannelKind = ChannelKind::Slack;
    const WANTS: &'static [Wanted] = &[
        ("bot_token", "xoxb-…, from OAuth & Permissions"),
        ("app_token", "xapp-…, from Basic Information, with connections:write"),
    ];

    every_section!();

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("bot_token", &self.bot_token), ("app_token", &self.app_token)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Discord {
    const KIND: ChannelKind = ChannelKind::Discord;
    const WANTS: &'static [Wanted] =
        &[("token", "from the page Bot, Reset Token; turn on Message Content Intent there")];

    every_section!();

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("token", &self.token)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Feishu {
    const KIND: ChannelKind = ChannelKind::Feishu;
    const WANTS: &'static [Wanted] = &[
        ("app_id", "cli_…, from Credentials & Basic Info (凭证与基础信息)"),
        ("app_secret", "from the same page"),
    ];

    every_section!();

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
    const WANTS: &'static [Wanted] = &[
        ("access_token", "of a system user, from Business Settings"),
        ("phone_number_id", "from WhatsApp > API Setup"),
        ("app_secret", "from App settings > Basic"),
        ("verify_token", "a word of your own, entered beside the callback address"),
    ];

    every_section!();

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
    const WANTS: &'static [Wanted] = &[
        ("corp_id", "企业ID, from My Company (我的企业)"),
        ("agent_id", "AgentId, from the app's page"),
        ("secret", "Secret, from the app's page"),
        ("token", "Token, from Receive Messages (接收消息)"),
        ("encoding_aes_key", "EncodingAESKey, from the same page"),
    ];

    every_section!();

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
    const WANTS: &'static [Wanted] = &[
        ("client_id", "Client ID (原 AppKey), from Credentials (凭证与基础信息)"),
        ("client_secret", "Client Secret (原 AppSecret), from the same page"),
    ];

    every_section!();

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        vec![("client_secret", &self.client_secret)]
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        vec![self.api_url.as_deref(), self.upload_url.as_deref(), self.network.proxy.as_deref()]
    }
}

impl Section for Qq {
    const KIND: ChannelKind = ChannelKind::Qq;

    every_section!();

    fn secrets(&self) -> Vec<(&'static str, &SecretSetting)> {
        set(&[("token", self.token.as_ref()), ("app_secret", self.app_secret.as_ref())])
    }

    fn addresses(&self) -> Vec<Option<&str>> {
        let urls = [&self.url, &self.api_url, &self.token_url, &self.network.proxy];
        urls.into_iter().map(|it| it.as_deref()).collect()
    }
}

/// Those that are set.
fn set<'a>(
    all: &[(&'static str, Option<&'a SecretSetting>)],
) -> Vec<(&'static str, &'a SecretSetting)> {
    all.iter().filter_map(|(key, it)| Some((*key, (*it)?))).collect()
}
