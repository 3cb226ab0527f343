//! Accounts on platforms, made of their settings.

use std::sync::Arc;

use ngb_channels::{Channel, slack, whatsapp};
use ngb_core::{clock::Clock, route::NewChats};

use crate::{
    net::Net,
    settings::{Environment, Settings},
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
    for (account, it) in settings.whatsapp_accounts()? {
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
    for (account, it) in settings.slack_accounts()? {
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
