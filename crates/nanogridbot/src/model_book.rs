//! Models that somebody chooses: where they are to be had, and one that was proved written into the settings, so that it is
//! asked from the next message on.

use std::time::Duration;

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use ngb_broker::{Broker, prove};
use ngb_core::{
    clock::Clock,
    frame::ProviderKind,
    preset::{PRESETS, Preset},
    secret::{Redactor, Secret},
};
use ngb_gateway::answers::{Answers, ModelBook, NewModel, NotTaken, Offer, Saved};
use serde_json::Value;

use crate::{
    cli,
    hint::hint,
    home::Home,
    make,
    models::{self, Models},
    net::Net,
    settings::{self, Edit, Environment},
};

/// The variables that would win over what is written.
const VARIABLES: &[&str] = &["NGB_AGENT__MODEL", "NGB_AGENT__DRIVER"];

/// How long a server on this machine may take to say which models it has.
const LOOK_LIMIT: Duration = Duration::from_millis(500);

/// Most models of one server that are told.
const MAX_MODELS: usize = 100;

/// The settings' file, and what proves a model before it is written there.
pub(crate) struct ModelFile {
    pub(crate) home: Home,
    pub(crate) serve: cli::Serve,
    pub(crate) broker: Broker,
    pub(crate) redactor: Redactor,
    pub(crate) clock: Clock,
}

impl ModelBook for ModelFile {
    fn set(&self, new: NewModel) -> BoxFuture<'_, Result<Saved, NotTaken>> {
        self.prove_and_save(new).boxed()
    }

    fn offers(&self) -> BoxFuture<'_, Vec<Offer>> {
        self.look().boxed()
    }
}

impl ModelFile {
    /// Nothing is written before the model has answered.
    async fn prove_and_save(&self, new: NewModel) -> Result<Saved, NotTaken> {
        let is_key = |it: &Secret| !settings::is_place(it.expose());
        self.redactor.add(new.api_key.clone().filter(is_key));
        let (edit, env) = self.edited(&new).map_err(|err| not_taken(&err))?;
        let found = edit.settings(&env).map_err(anyhow::Error::from).and_then(|settings| {
            let net = Net::new(&settings.network, &env)?;
            models::find(&settings, &env, &net)
        });
        let Models { driver, model, providers, secrets, .. } =
            found.map_err(|err| not_taken(&err))?;
        self.redactor.add(secrets);
        let asked = model.as_ref().and_then(|it| {
            Some((providers.iter().find(|provider| provider.name == it.provider)?, &it.model))
        });
        let Some((provider, name)) = asked else { unreachable!("it was just set") };
        let took = prove(provider, name, &self.clock)
            .await
            .map_err(|err| NotTaken { hint: Some(err.mend()), message: err.to_string() })?;
        edit.save(&env).map_err(|err| not_taken(&err))?;
        self.broker.set_providers(providers);
        Ok(Saved { answers: Answers { driver, model }, took })
    }

    /// What the environment and this machine have. Where they can't be read, each preset is offered bare.
    async fn look(&self) -> Vec<Offer> {
        let read = make::settings(&self.home, &self.serve).ok();
        let env = read.map(|it| it.1);
        // What no proxy can reach is asked without one.
        let client = reqwest::Client::builder().no_proxy().build().ok();
        let offer = async |preset: &'static Preset| {
            let is_set = |it: &&&str| env.as_ref().is_some_and(|env| env.get(it).is_some());
            let models = match &client {
                Some(client) if preset.is_local() => {
                    let asked = models_of(client, preset);
                    self.clock.timeout(LOOK_LIMIT, asked).await.ok().flatten()
                }
                _ => None,
            };
            let variable = preset.variables.iter().find(is_set).copied();
            Offer { preset, variable, models }
        };
        join_all(PRESETS.iter().map(offer)).await
    }

    /// The settings with the model in them, not yet written.
    fn edited(&self, new: &NewModel) -> anyhow::Result<(Edit, Environment)> {
        let (settings, env) = make::settings(&self.home, &self.serve)?;
        if let Some(name) = VARIABLES.iter().find(|it| env.get(it).is_some()) {
            anyhow::bail!("the variable `{name}` decides who answers; unset it to choose here");
        }
        let file = self.serve.config.clone().unwrap_or_else(|| self.home.config());
        let mut edit = Edit::open(&file)?;
        let kind = new.kind.as_str();
        let provider = new.provider.as_deref().unwrap_or(kind);
        let at = |key| ["providers", provider, key];
        edit.set(&at("kind"), kind, &env)?;
        match &new.base_url {
            Some(url) => edit.set(&at("base_url"), url, &env)?,
            None => drop(edit.remove(&at("base_url"))),
        }
        if let Some(key) = &new.api_key {
            edit.set(&at("api_key"), key.expose(), &env)?;
        }
        if let Some(auth) = &new.auth {
            edit.set(&at("auth"), auth, &env)?;
        }
        edit.set(&["agent", "model"], &format!("{provider}/{}", new.model), &env)?;
        // Whoever chose another agent keeps it.
        if settings.agent.driver == "demo" {
            edit.set(&["agent", "driver"], "auto", &env)?;
        }
        Ok((edit, env))
    }
}

/// The models that a server on this machine has; none where it is not there, or is something else.
async fn models_of(client: &reqwest::Client, preset: &Preset) -> Option<Vec<String>> {
    let (path, list, name) = match preset.kind {
        ProviderKind::Ollama => ("/api/tags", "models", "name"),
        // `base_url` ends with `/v1`.
        ProviderKind::OpenAi | ProviderKind::Anthropic => ("/models", "data", "id"),
    };
    let answer = client.get(format!("{}{path}", preset.base_url)).send().await.ok()?;
    let body: Value = answer.error_for_status().ok()?.json().await.ok()?;
    let names = body[list].as_array()?.iter().filter_map(|it| it[name].as_str());
    Some(names.take(MAX_MODELS).map(str::to_owned).collect())
}

fn not_taken(err: &anyhow::Error) -> NotTaken {
    NotTaken { message: format!("{err:#}"), hint: hint(err) }
}
