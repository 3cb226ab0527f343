//! `/api/model`: who answers.

use axum::{Json, extract::State};
use ngb_core::{frame::ProviderKind, secret::Secret};
use ngb_gateway::answers::NewModel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{App, door::Who, error::ApiError, input::Input};

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewModel")]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    kind: ProviderKind,
    model: String,
    base_url: Option<String>,
    #[schemars(with = "Option<String>")]
    api_key: Option<Secret>,
}

/// What answers from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answers {
    agent: String,
    /// How long the proof took.
    took_ms: u64,
}

/// Has a model answer once, saves it, and has it answer from the next message on.
pub(crate) async fn set(
    State(app): State<App>,
    who: Who,
    Input(wanted): Input<Wanted>,
) -> Result<Json<Answers>, ApiError> {
    let Wanted { kind, model, base_url, api_key } = wanted;
    let given = |it: String| Some(it.trim().to_owned()).filter(|it| !it.is_empty());
    let Some(model) = given(model) else {
        return Err(ApiError::bad("`model` is empty; name one as its provider does"));
    };
    let new = NewModel {
        kind,
        model,
        base_url: base_url.and_then(given),
        api_key: api_key.and_then(|it| given(it.expose().to_owned())).map(Secret::new),
    };
    let saved = app.gateway.set_model(new).await?;
    let agent = saved.answers.to_string();
    app.gateway.store().audit(&who.name, "model set", &agent).await?;
    let took_ms = u64::try_from(saved.took.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Answers { agent, took_ms }))
}
