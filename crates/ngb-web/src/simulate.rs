//! `/api/simulate`: what would become of a message.

use axum::{Json, extract::State};
use ngb_core::{address::Place, message::Addressed};
use ngb_gateway::foretell::{Foretold, Supposed};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{App, error::ApiError, groups, input::Input};

/// How the message says that the agent is meant.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Meant {
    #[default]
    No,
    Mention,
    Reply,
    /// It is written to the bot alone.
    Direct,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supposition {
    /// `telegram@main:-100`; without `@main` the only account of that platform.
    jid: String,
    thread: Option<String>,
    /// The platform's id of who writes.
    sender: String,
    text: String,
    #[serde(default)]
    addressed: Meant,
    #[serde(default)]
    is_bot: bool,
}

/// Says what would become of a message. Nothing is written or sent.
pub(crate) async fn simulate(
    State(app): State<App>,
    Input(it): Input<Supposition>,
) -> Result<Json<Foretold>, ApiError> {
    let addressed = match it.addressed {
        Meant::No => Addressed::No,
        Meant::Mention => Addressed::Mention,
        Meant::Reply => Addressed::Reply,
        Meant::Direct => Addressed::Direct,
    };
    let place = Place { jid: groups::resolve(&app, &it.jid)?, thread: it.thread.map(Into::into) };
    let supposed =
        Supposed { place, sender_id: it.sender, is_bot: it.is_bot, text: it.text, addressed };
    Ok(Json(app.gateway.foretell(supposed).await?))
}
