//! Accounts on platforms, made of their settings.

use std::{collections::BTreeMap, sync::Arc};

use ngb_channels::{
    Channel, dingtalk, discord, feishu, http::Http, qq, slack, telegram, wecom, whatsapp,
};
use ngb_core::{address::Account, clock::Clock, route::NewChats, secret::Secret};
use ngb_gateway::canary::{self, Canary};
use tracing::warn;

use crate::{
    net::Net,
    settings::{
        Dingtalk, Discord, Environment, Feishu, FeishuDomain, Qq, SecretSetting, Section, Settings,
        SettingsError, Slack, Telegram, Wecom, Whatsapp, accounts,
    },
};

/// A channel, what it does with chats that nobody approved, and what proves that it works.
pub(crate) struct Made {
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) new_chats: NewChats,
    /// What stands under a message while it is worked on.
    pub(crate) ack_reaction: Option<String>,
    pub(crate) canary: Option<Canary>,
}

/// Makes every account of the settings.
pub(crate) fn make(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    clock: &Clock,
) -> anyhow::Result<Vec<Made>> {
    let public_url = settings.web.public_url.as_deref();
    let mut maker = Maker { env, net, clock, public_url, made: Vec::new() };
    let all = &settings.channels;
    maker.make(&all.telegram, telegram)?;
    maker.make(&all.whatsapp, whatsapp)?;
    maker.make(&all.slack, slack)?;
    maker.make(&all.discord, discord)?;
    maker.make(&all.feishu, feishu)?;
    maker.make(&all.wecom, wecom)?;
    maker.make(&all.dingtalk, dingtalk)?;
    let is_bot = |it: &(String, Qq)| it.1.app_id.is_some();
    let (bots, accounts) = all.qq.clone().into_iter().partition(is_bot);
    maker.make(&accounts, qq)?;
    maker.make(&bots, qq_bot)?;
    Ok(maker.made)
}

/// Makes the accounts of one platform after the other.
struct Maker<'a> {
    env: &'a Environment,
    net: &'a Net,
    clock: &'a Clock,
    public_url: Option<&'a str>,
    made: Vec<Made>,
}

/// What the making of one account has to hand.
struct Hand<'a> {
    account: Account,
    /// Its own way out.
    http: Http,
    env: &'a Environment,
    clock: Clock,
    public_url: Option<&'a str>,
}

impl Maker<'_> {
    fn make<T: Section, C: Channel>(
        &mut self,
        sections: &BTreeMap<String, T>,
        open: impl Fn(&T, Hand<'_>) -> Result<C, SettingsError>,
    ) -> anyhow::Result<()> {
        for (account, it) in accounts(sections)? {
            let Self { env, net, clock, public_url, .. } = *self;
            let (network, new_chats) = (it.network(), it.new_chats());
            let at = path(&account);
            let http = net.own(network, &format!("{at}.network"))?.http(clock.clone())?;
            if new_chats == NewChats::OwnGroup {
                warn!(
                    "`{account}` makes a group for everybody who writes to it (`new_chats = \"own-group\"`)"
                );
            }
            let canary = canary(&account, it)?;
            let hand = Hand { account, http, env, clock: clock.clone(), public_url };
            let channel = Arc::new(open(it, hand)?);
            let ack_reaction = it.ack_reaction().map(str::to_owned);
            if let Some(emoji) = &ack_reaction
                && let Err(why) = channel.profile().reactions.find(emoji, false)
            {
                let from = format!("[{at}] ack_reaction");
                return Err(SettingsError::BadValue { from, why }.into());
            }
            self.made.push(Made { channel, new_chats, ack_reaction, canary });
        }
        Ok(())
    }
}

impl Hand<'_> {
    fn secret(&self, key: &str, it: &SecretSetting) -> Result<Secret, SettingsError> {
        it.resolve(&format!("{}.{key}", path(&self.account)), self.env)
    }

    fn secret_if_set(
        &self,
        key: &str,
        it: &Option<SecretSetting>,
    ) -> Result<Option<Secret>, SettingsError> {
        it.as_ref().map(|it| self.secret(key, it)).transpose()
    }

    /// What is wrong with the section as a whole.
    fn bad(&self, why: impl Into<String>) -> SettingsError {
        SettingsError::BadValue { from: format!("[{}]", path(&self.account)), why: why.into() }
    }
}

/// Where an account's settings are: `channels.telegram.main`.
fn path(account: &Account) -> String {
    format!("channels.{}.{}", account.channel(), account.name())
}

/// What proves that an account works: a chat of its own, and not too often.
fn canary(account: &Account, it: &impl Section) -> Result<Option<Canary>, SettingsError> {
    let bad = |key: &str, why: String| SettingsError::BadValue {
        from: format!("[{}] {key}", path(account)),
        why,
    };
    let (to, every) = it.canary();
    let every = every.unwrap_or(canary::EVERY);
    if every < canary::MIN_EVERY {
        return Err(bad("canary_every", "at least `1m`".to_owned()));
    }
    match to {
        Some(to) if to.account() != account => {
            Err(bad("canary", format!("`{to}` is no chat of `{account}`")))
        }
        to => Ok(to.map(|to| Canary { to: to.clone(), every })),
    }
}

fn or(it: &Option<String>, default: &str) -> String {
    it.clone().unwrap_or_else(|| default.to_owned())
}

fn telegram(it: &Telegram, hand: Hand<'_>) -> Result<telegram::Telegram, SettingsError> {
    let webhook = match hand.secret_if_set("webhook_secret", &it.webhook_secret)? {
        None => None,
        Some(secret) => {
            let url = hand.public_url.ok_or_else(|| SettingsError::BadValue {
                from: format!("[{}] webhook_secret", path(&hand.account)),
                why: "it needs `[web] public_url`, where Telegram can reach this gateway".into(),
            })?;
            let public_url = ngb_web::hook_address(url, &hand.account);
            Some(telegram::WebhookConfig { public_url, secret })
        }
    };
    let config = telegram::TelegramConfig {
        token: hand.secret("token", &it.token)?,
        api_url: or(&it.api_url, telegram::DEFAULT_API_URL),
        webhook,
        account: hand.account,
    };
    Ok(telegram::Telegram::new(config, hand.http, hand.clock))
}

fn whatsapp(it: &Whatsapp, hand: Hand<'_>) -> Result<whatsapp::Whatsapp, SettingsError> {
    let language = or(&it.template_language, "en_US");
    let config = whatsapp::WhatsappConfig {
        access_token: hand.secret("access_token", &it.access_token)?,
        phone_number_id: it.phone_number_id.clone(),
        app_secret: hand.secret("app_secret", &it.app_secret)?,
        verify_token: hand.secret("verify_token", &it.verify_token)?,
        api_url: or(&it.api_url, whatsapp::DEFAULT_API_URL),
        api_version: or(&it.api_version, whatsapp::DEFAULT_API_VERSION),
        template: it.template.clone().map(|name| whatsapp::Template { name, language }),
        account: hand.account,
    };
    Ok(whatsapp::Whatsapp::new(config, hand.http, hand.clock))
}

fn slack(it: &Slack, hand: Hand<'_>) -> Result<slack::Slack, SettingsError> {
    let config = slack::SlackConfig {
        bot_token: hand.secret("bot_token", &it.bot_token)?,
        app_token: hand.secret("app_token", &it.app_token)?,
        api_url: or(&it.api_url, slack::DEFAULT_API_URL),
        account: hand.account,
    };
    Ok(slack::Slack::new(config, hand.http))
}

fn discord(it: &Discord, hand: Hand<'_>) -> Result<discord::Discord, SettingsError> {
    let config = discord::DiscordConfig {
        token: hand.secret("token", &it.token)?,
        api_url: or(&it.api_url, discord::DEFAULT_API_URL),
        account: hand.account,
    };
    Ok(discord::Discord::new(config, hand.http))
}

fn feishu(it: &Feishu, hand: Hand<'_>) -> Result<feishu::Feishu, SettingsError> {
    let domain = match it.domain {
        FeishuDomain::Feishu => feishu::FEISHU_URL,
        FeishuDomain::Lark => feishu::LARK_URL,
    };
    let verification_token = hand.secret_if_set("verification_token", &it.verification_token)?;
    let callbacks = match hand.secret_if_set("encrypt_key", &it.encrypt_key)? {
        Some(encrypt_key) => Some(feishu::Callbacks { encrypt_key, verification_token }),
        None if verification_token.is_some() => {
            return Err(hand.bad(
                "`encrypt_key` is missing: callbacks are taken only when they are encrypted and signed",
            ));
        }
        None => None,
    };
    let config = feishu::FeishuConfig {
        app_id: it.app_id.clone(),
        app_secret: hand.secret("app_secret", &it.app_secret)?,
        api_url: or(&it.api_url, domain),
        callbacks,
        account: hand.account,
    };
    Ok(feishu::Feishu::new(config, hand.http))
}

fn wecom(it: &Wecom, hand: Hand<'_>) -> Result<wecom::Wecom, SettingsError> {
    let missing = |key: &str| {
        hand.bad(format!(
            "`{key}` is missing; an app wants `corp_id`, `agent_id`, `secret`, `token` and `encoding_aes_key`, an AI bot `bot_id` and `bot_secret`, a robot `robot_key` alone"
        ))
    };
    let secret = |key: &str, it: &Option<SecretSetting>| {
        hand.secret_if_set(key, it)?.ok_or_else(|| missing(key))
    };
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
    let config = wecom::WecomConfig { account: hand.account.clone(), api_url, mode };
    let channel = wecom::Wecom::new(config, hand.http.clone(), hand.clock.clone());
    channel.map_err(|err| hand.bad(err.to_string()))
}

fn dingtalk(it: &Dingtalk, hand: Hand<'_>) -> Result<dingtalk::Dingtalk, SettingsError> {
    let key = or(&it.card_content_key, "content");
    let config = dingtalk::DingtalkConfig {
        client_id: it.client_id.clone(),
        client_secret: hand.secret("client_secret", &it.client_secret)?,
        robot_code: or(&it.robot_code, &it.client_id),
        card: it.card_template_id.clone().map(|id| dingtalk::CardTemplate {
            id,
            key,
            stop_key: it.card_stop_key.clone(),
        }),
        api_url: or(&it.api_url, dingtalk::DEFAULT_API_URL),
        upload_url: or(&it.upload_url, dingtalk::DEFAULT_UPLOAD_URL),
        account: hand.account,
    };
    Ok(dingtalk::Dingtalk::new(config, hand.http, &hand.clock))
}

fn qq(it: &Qq, hand: Hand<'_>) -> Result<qq::Qq, SettingsError> {
    if it.app_secret.is_some() || it.webhook.is_some() || it.guilds.is_some() {
        let why =
            "`app_secret`, `webhook` and `guilds` are of an official bot, which has an `app_id`";
        return Err(hand.bad(why));
    }
    let token = hand.secret_if_set("token", &it.token)?.unwrap_or_else(|| Secret::new(""));
    let is_open = |to: std::net::SocketAddr| token.expose().is_empty() && !to.ip().is_loopback();
    let way = match (&it.url, it.listen) {
        (Some(url), None) => qq::Way::Forward { url: url.clone() },
        (None, Some(listen)) if is_open(listen) => {
            return Err(hand.bad("`listen` is open to other machines, so it wants a `token`"));
        }
        (None, Some(listen)) => qq::Way::Reverse { listen },
        (Some(_), Some(_)) | (None, None) => {
            return Err(
                hand.bad("it wants `url` (forward), `listen` (reverse) or `app_id` (official bot)")
            );
        }
    };
    let config = qq::QqConfig { account: hand.account, way, token, pace: qq::DEFAULT_PACE };
    Ok(qq::Qq::new(config, hand.http))
}

fn qq_bot(it: &Qq, hand: Hand<'_>) -> Result<qq::bot::QqBot, SettingsError> {
    if it.url.is_some() || it.listen.is_some() || it.token.is_some() {
        return Err(hand.bad("an official bot (`app_id`) has no `url`, `listen` or `token`"));
    }
    let Some(secret) = hand.secret_if_set("app_secret", &it.app_secret)? else {
        return Err(hand.bad("an official bot (`app_id`) wants its `app_secret`"));
    };
    let config = qq::bot::BotConfig {
        app_id: it.app_id.clone().unwrap_or_default(),
        secret,
        webhook: it.webhook.unwrap_or(false),
        guilds: it.guilds.unwrap_or(true),
        api_url: or(&it.api_url, qq::bot::DEFAULT_API_URL),
        token_url: or(&it.token_url, qq::bot::DEFAULT_TOKEN_URL),
        account: hand.account,
    };
    Ok(qq::bot::QqBot::new(config, hand.http))
}
