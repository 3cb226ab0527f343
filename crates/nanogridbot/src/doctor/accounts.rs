//! What a start would bring up: the accounts of the settings, and where the page and the platforms' calls are taken.

use std::sync::Arc;

use ngb_channels::{Answer, Channel, Question};
use ngb_core::clock::Clock;
use ngb_gateway::accounts::CONNECT_LIMIT;
use ngb_web::Web;

use super::Finding;
use crate::{
    channels, cli, make,
    net::Net,
    settings::{Environment, Settings},
};

/// Each account, asked who it is unless nothing is to be sent, and the addresses to listen on.
pub(super) async fn findings(
    settings: &Settings,
    env: &Environment,
    net: &Net,
    offline: bool,
) -> Vec<Finding> {
    let made = match channels::make(settings, env, net, &Clock::System) {
        Ok(made) => made,
        Err(err) => {
            let failed = Finding::failed("channel", &err);
            let correct = || {
                "correct it in `config.toml`; docs/channels says what each platform wants"
                    .to_owned()
            };
            return vec![Finding {
                mend: failed.mend.clone().or_else(|| Some(correct())),
                ..failed
            }];
        }
    };
    let is_called = made.iter().any(|it| it.channel.profile().webhook);
    let mut all = vec![page(settings, env, is_called).await];
    for it in &made {
        all.push(account(&it.channel, offline).await);
    }
    if is_called && settings.web.public_url.is_none() {
        all.push(Finding {
            ok: false,
            mend: Some(
                "set `[web] public_url` to the https address at which platforms reach this gateway"
                    .to_owned(),
            ),
            ..Finding::fine("callbacks", "no platform can call: `[web] public_url` is not set")
        });
    }
    all
}

/// Listens as a start would, for a moment.
async fn page(settings: &Settings, env: &Environment, is_called: bool) -> Finding {
    let bound = async {
        let page = make::page(&cli::Serve::default(), settings, env, None, is_called)?;
        anyhow::Ok(Web::bind(page).await?)
    };
    match bound.await {
        Ok(web) => Finding::fine("page", format!("can be at http://{}", web.addr())),
        Err(err) => Finding::failed("page", &err),
    }
}

async fn account(channel: &Arc<dyn Channel>, offline: bool) -> Finding {
    let name = channel.profile().account.to_string();
    if offline {
        return Finding::fine("channel", format!("{name} is set up, not asked"));
    }
    let asked = Clock::System.timeout(CONNECT_LIMIT, channel.ask(&Question::WhoAmI)).await;
    let err = match asked {
        Ok(Ok(Answer::Me { name: us, remarks, .. })) => {
            let remarks: String = remarks.iter().map(|it| format!("; {it}")).collect();
            return Finding::fine(
                "channel",
                format!("{name}: the platform knows us as {us}{remarks}"),
            );
        }
        Ok(Ok(Answer::Sent(_) | Answer::CanNot)) => {
            return Finding::fine("channel", format!("{name} is set up; only a start can try it"));
        }
        Ok(Err(err)) => anyhow::Error::from(err),
        Err(late) => anyhow::Error::from(late),
    };
    Finding {
        mend: Some(format!(
            "mend it in `config.toml` as docs/channels/{}.md says, or `nanogridbot channel remove {name}` and `channel add`",
            channel.profile().account.channel(),
        )),
        ..Finding::failed("channel", &err.context(name))
    }
}
