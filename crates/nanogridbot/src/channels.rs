//! Accounts on platforms, made of their settings.

use std::sync::Arc;

use ngb_channels::{Channel, dingtalk, discord, feishu, qq, slack, wecom, whatsapp};
use ngb_core::{clock::Clock, route::NewChats, secret::Secret};

use crate::{
    net::Net,
    settings::{Environment, FeishuDomain, SecretSetting, Settings, SettingsError, accounts},
};

/// A channel, and what it does with chats that nobody approved.
type Made = (Arc<dyn Channel>, NewChats);

pub(crate) fn whatsapp(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.whatsapp)? {
        let at = |key: &str| format!("channels.whatsapp.{}.{key}", account.name());
        let or =
            |it: &Option<String>, default: &str| it.clone().unwrap_or_else(|| default.to_owned());
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let config = whatsapp::WhatsappConfig {
            access_token: it.access_token.resolve(&at("access_token"), env)?,
            phone_number_id: it.phone_number_id.clone(),
            app_secret: it.app_secret.resolve(&at("app_secret"), env)?,
            verify_token: it.verify_token.resolve(&at("verify_token"), env)?,
            api_url: or(&it.api_url, whatsapp::DEFAULT_API_URL),
            api_version: or(&it.api_version, whatsapp::DEFAULT_API_VERSION),
            template: it.template.clone().map(|name| whatsapp::Template {
                name,
                language: or(&it.template_language, "en_US"),
            }),
            account,
        };
        let channel = whatsapp::Whatsapp::new(config, http, clock.clone());
        all.push((Arc::new(channel), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn slack(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.slack)? {
        let at = |key: &str| format!("channels.slack.{}.{key}", account.name());
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let config = slack::SlackConfig {
            bot_token: it.bot_token.resolve(&at("bot_token"), env)?,
            app_token: it.app_token.resolve(&at("app_token"), env)?,
            api_url: it.api_url.clone().unwrap_or_else(|| slack::DEFAULT_API_URL.to_owned()),
            account,
        };
        all.push((Arc::new(slack::Slack::new(config, http)), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn discord(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.discord)? {
        let at = |key: &str| format!("channels.discord.{}.{key}", account.name());
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let config = discord::DiscordConfig {
            token: it.token.resolve(&at("token"), env)?,
            api_url: it.api_url.clone().unwrap_or_else(|| discord::DEFAULT_API_URL.to_owned()),
            account,
        };
        all.push((Arc::new(discord::Discord::new(config, http)), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn feishu(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.feishu)? {
        let at = |key: &str| format!("channels.feishu.{}.{key}", account.name());
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let domain = match it.domain {
            FeishuDomain::Feishu => feishu::FEISHU_URL,
            FeishuDomain::Lark => feishu::LARK_URL,
        };
        let callbacks = match &it.encrypt_key {
            Some(key) => {
                let token = it.verification_token.as_ref();
                let token =
                    token.map(|it| it.resolve(&at("verification_token"), env)).transpose()?;
                let encrypt_key = key.resolve(&at("encrypt_key"), env)?;
                Some(feishu::Callbacks { encrypt_key, verification_token: token })
            }
            None if it.verification_token.is_some() => {
                let from = format!("[channels.feishu.{}]", account.name());
                let why = "`encrypt_key` is missing: callbacks are taken only when they are encrypted and signed";
                return Err(SettingsError::BadValue { from, why: why.to_owned() }.into());
            }
            None => None,
        };
        let config = feishu::FeishuConfig {
            app_id: it.app_id.clone(),
            app_secret: it.app_secret.resolve(&at("app_secret"), env)?,
            api_url: it.api_url.clone().unwrap_or_else(|| domain.to_owned()),
            callbacks,
            account,
        };
        all.push((Arc::new(feishu::Feishu::new(config, http)), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn wecom(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.wecom)? {
        let at = |key: &str| format!("channels.wecom.{}.{key}", account.name());
        let bad = |why: String| {
            let from = format!("[channels.wecom.{}]", account.name());
            SettingsError::BadValue { from, why }
        };
        let missing = |key: &str| {
            bad(format!(
                "`{key}` is missing; an app wants `corp_id`, `agent_id`, `secret`, `token` and `encoding_aes_key`, an AI bot `bot_id` and `bot_secret`, a robot `robot_key` alone"
            ))
        };
        let secret = |key: &str, it: &Option<SecretSetting>| -> Result<Secret, SettingsError> {
            it.as_ref().ok_or_else(|| missing(key))?.resolve(&at(key), env)
        };
        let or = |it: &Option<String>, default: &str| it.clone().unwrap_or_else(|| default.into());
        let mode = match (&it.bot_id, &it.robot_key) {
            (Some(bot_id), _) => wecom::Mode::Bot {
                bot_id: bot_id.clone(),
                secret: secret("bot_secret", &it.bot_secret)?,
                ws_url: or(&it.ws_url, wecom::DEFAULT_WS_URL),
            },
            (None, Some(_)) => wecom::Mode::Robot { key: secret("robot_key", &it.robot_key)? },
            (None, None) => wecom::Mode::App {
                corp_id: it.corp_id.clone().ok_or_else(|| missing("corp_id"))?,
                agent_id: it.agent_id.ok_or_else(|| missing("agent_id"))?,
                secret: secret("secret", &it.secret)?,
                token: secret("token", &it.token)?,
                encoding_aes_key: secret("encoding_aes_key", &it.encoding_aes_key)?,
            },
        };
        let api_url = or(&it.api_url, wecom::DEFAULT_API_URL);
        let config = wecom::WecomConfig { account: account.clone(), api_url, mode };
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let channel = wecom::Wecom::new(config, http, clock.clone());
        let channel = channel.map_err(|err| bad(err.to_string()))?;
        all.push((Arc::new(channel), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn dingtalk(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.dingtalk)? {
        let at = |key: &str| format!("channels.dingtalk.{}.{key}", account.name());
        let or = |it: &Option<String>, default: &str| it.clone().unwrap_or_else(|| default.into());
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let config = dingtalk::DingtalkConfig {
            client_id: it.client_id.clone(),
            client_secret: it.client_secret.resolve(&at("client_secret"), env)?,
            robot_code: or(&it.robot_code, &it.client_id),
            card: it
                .card_template_id
                .clone()
                .map(|id| dingtalk::CardTemplate { id, key: or(&it.card_content_key, "content") }),
            api_url: or(&it.api_url, dingtalk::DEFAULT_API_URL),
            upload_url: or(&it.upload_url, dingtalk::DEFAULT_UPLOAD_URL),
            account,
        };
        all.push((Arc::new(dingtalk::Dingtalk::new(config, http, clock)), it.new_chats));
    }
    Ok(all)
}

pub(crate) fn qq(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for (account, it) in accounts(&settings.channels.qq)? {
        let at = |key: &str| format!("channels.qq.{}.{key}", account.name());
        let bad = |why: &str| {
            let from = format!("[channels.qq.{}]", account.name());
            SettingsError::BadValue { from, why: why.to_owned() }
        };
        let token = it.token.as_ref().map(|it| it.resolve(&at("token"), env)).transpose()?;
        let token = token.unwrap_or_else(|| Secret::new(""));
        let way = match (&it.url, it.listen) {
            (Some(url), None) => qq::Way::Forward { url: url.clone() },
            (None, Some(listen)) if token.expose().is_empty() && !listen.ip().is_loopback() => {
                return Err(bad("`listen` is open to other machines, so it wants a `token`").into());
            }
            (None, Some(listen)) => qq::Way::Reverse { listen },
            (Some(_), Some(_)) | (None, None) => {
                return Err(bad("it wants either `url` (forward) or `listen` (reverse)").into());
            }
        };
        let http = net.own(&it.network, &at("network"))?.http(clock.clone())?;
        let pace = qq::DEFAULT_PACE;
        let config = qq::QqConfig { account, way, token, pace };
        all.push((Arc::new(qq::Qq::new(config, http)), it.new_chats));
    }
    Ok(all)
}
