//! `/api/model`: who answers.

use axum::{Json, extract::State};
use ngb_core::{frame::ProviderKind, secret::Secret};
use ngb_gateway::answers::{NewModel, Offer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{App, door::Who, error::ApiError, input::Input};

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "NewModel")]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Its name in the settings, `[providers.<name>]`; none is that of its kind.
    provider: Option<String>,
    kind: ProviderKind,
    model: String,
    base_url: Option<String>,
    /// A key, or where it is found: `env:NAME`, `file:PATH`.
    #[schemars(with = "Option<String>")]
    api_key: Option<Secret>,
    /// `x-api-key`, `bearer`, `api-key`; none is as the kind usually does.
    auth: Option<String>,
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
    let Wanted { provider, kind, model, base_url, api_key, auth } = wanted;
    let given = |it: String| Some(it.trim().to_owned()).filter(|it| !it.is_empty());
    let Some(model) = given(model) else {
        return Err(ApiError::bad("`model` is empty; name one as its provider does"));
    };
    let provider = provider.and_then(given);
    let is_name =
        |it: &String| it.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_'));
    if provider.as_ref().is_some_and(|it| !is_name(it)) {
        return Err(ApiError::bad(
            "`provider` is a name of ASCII letters, digits, `-` and `_`, as in `[providers.<name>]`",
        ));
    }
    let new = NewModel {
        provider,
        kind,
        model,
        base_url: base_url.and_then(given),
        api_key: api_key.and_then(|it| given(it.expose().to_owned())).map(Secret::new),
        auth: auth.and_then(given),
    };
    let saved = app.gateway.set_model(new).await?;
    let agent = saved.answers.to_string();
    app.gateway.store().audit(&who.name, "model set", &agent).await?;
    let took_ms = u64::try_from(saved.took.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Answers { agent, took_ms }))
}

/// A provider, and what of it is found where the gateway runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OfferView {
    name: &'static str,
    title: &'static str,
    kind: ProviderKind,
    /// What stands in angle brackets is the account's own.
    base_url: &'static str,
    auth: &'static str,
    needs_key: bool,
    /// A model that it has.
    model: &'static str,
    /// The variable of the gateway's environment that holds a key.
    variable: Option<&'static str>,
    /// The models of a server on this machine; none where none answers.
    models: Option<Vec<String>>,
}

/// Where models are to be had. Servers on this machine are asked, for half a second.
pub(crate) async fn offers(State(app): State<App>) -> Json<Vec<OfferView>> {
    let view = |it: Offer| OfferView {
        name: it.preset.name,
        title: it.preset.title,
        kind: it.preset.kind,
        base_url: it.preset.base_url,
        auth: it.preset.auth,
        needs_key: it.preset.needs_key(),
        model: it.preset.model,
        variable: it.variable,
        models: it.models,
    };
    Json(app.gateway.model_offers().await.into_iter().map(view).collect())
}
