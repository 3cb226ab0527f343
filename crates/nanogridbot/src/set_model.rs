//! A model of the page's form: proved, written into the settings, and asked from the next message on.

use ngb_broker::{Broker, prove};
use ngb_core::{clock::Clock, frame::ProviderKind, secret::Redactor};
use ngb_gateway::answers::{Answers, NewModel, NotTaken, Saved, SetModel};

use crate::{
    cli,
    hint::hint,
    home::Home,
    make,
    models::{self, Models},
    net::Net,
    settings::Edit,
};

/// The variables that would win over what is written.
const VARIABLES: &[&str] = &["NGB_AGENT__MODEL", "NGB_AGENT__DRIVER"];

/// Where the settings are.
pub(crate) struct Place {
    pub(crate) home: Home,
    pub(crate) serve: cli::Serve,
}

impl Place {
    /// What the gateway calls when somebody sets a model. Nothing is written before the model has answered.
    pub(crate) fn setter(self, broker: Broker, redactor: Redactor, clock: Clock) -> Box<SetModel> {
        let place = std::sync::Arc::new(self);
        Box::new(move |new| {
            let (place, broker) = (std::sync::Arc::clone(&place), broker.clone());
            let (redactor, clock) = (redactor.clone(), clock.clone());
            Box::pin(async move { place.set(new, &broker, &redactor, &clock).await })
        })
    }

    async fn set(
        &self,
        new: NewModel,
        broker: &Broker,
        redactor: &Redactor,
        clock: &Clock,
    ) -> Result<Saved, NotTaken> {
        redactor.add(new.api_key.clone());
        let (edit, env) = self.edited(&new).map_err(|err| not_taken(&err))?;
        let found = edit.settings(&env).map_err(anyhow::Error::from).and_then(|settings| {
            let net = Net::new(&settings.network, &env)?;
            models::find(&settings, &env, &net)
        });
        let Models { driver, model, providers, .. } = found.map_err(|err| not_taken(&err))?;
        let asked = model.as_ref().and_then(|it| {
            Some((providers.iter().find(|provider| provider.name == it.provider)?, &it.model))
        });
        let Some((provider, name)) = asked else { unreachable!("it was just set") };
        let took = prove(provider, name, clock)
            .await
            .map_err(|err| NotTaken { hint: Some(err.mend()), message: err.to_string() })?;
        edit.save(&env).map_err(|err| not_taken(&err))?;
        broker.set_providers(providers);
        Ok(Saved { answers: Answers { driver, model }, took })
    }

    /// The settings with the model in them, not yet written.
    fn edited(&self, new: &NewModel) -> anyhow::Result<(Edit, crate::settings::Environment)> {
        let (settings, env) = make::settings(&self.home, &self.serve)?;
        if let Some(name) = VARIABLES.iter().find(|it| env.get(it).is_some()) {
            anyhow::bail!("the variable `{name}` decides who answers; unset it to choose here");
        }
        let file = self.serve.config.clone().unwrap_or_else(|| self.home.config());
        let mut edit = Edit::open(&file)?;
        let provider = match new.kind {
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::OpenAi => "openai",
            ProviderKind::Ollama => "ollama",
        };
        let at = |key| ["providers", provider, key];
        edit.set(&at("kind"), provider, &env)?;
        match &new.base_url {
            Some(url) => edit.set(&at("base_url"), url, &env)?,
            None => drop(edit.remove(&at("base_url"))),
        }
        if let Some(key) = &new.api_key {
            edit.set(&at("api_key"), key.expose(), &env)?;
        }
        edit.set(&["agent", "model"], &format!("{provider}/{}", new.model), &env)?;
        // Whoever chose another agent keeps it.
        if settings.agent.driver == "demo" {
            edit.set(&["agent", "driver"], "auto", &env)?;
        }
        Ok((edit, env))
    }
}

fn not_taken(err: &anyhow::Error) -> NotTaken {
    NotTaken { message: format!("{err:#}"), hint: hint(err) }
}
