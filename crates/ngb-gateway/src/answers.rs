//! Who answers: the driver and its model, which may change while the gateway runs.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use ngb_core::{
    driver::{Driver, ModelName},
    frame::{ModelSpec, ProviderKind},
    group::{Group, Limits},
    preset::Preset,
    secret::Secret,
};

use crate::{
    handle::{Gateway, HandleError, Shared},
    start::RunLimits,
};

/// The driver of agents, and the model that it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    pub driver: Driver,
    pub model: Option<ModelSpec>,
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{} with {}/{}", self.driver, model.provider, model.model),
            None => self.driver.fmt(f),
        }
    }
}

impl Answers {
    /// Who answers in a group with these limits.
    ///
    /// # Errors
    ///
    /// Why nobody can: there is no such provider, or the driver can't ask it.
    pub(crate) fn of(&self, limits: &Limits, shared: &Shared) -> Result<Self, String> {
        if limits.model.is_none() && limits.driver.is_none() {
            return Ok(self.clone());
        }
        let model = match &limits.model {
            Some(ModelName { provider, model }) => {
                let Some(kind) = shared.broker.kind_of(provider) else {
                    return Err(format!("there is no `[providers.{provider}]` in the settings"));
                };
                let RunLimits { window_tokens, max_output_tokens, .. } = shared.limits;
                let (provider, model) = (provider.clone(), model.clone());
                Some(ModelSpec { provider, kind, model, window_tokens, max_output_tokens })
            }
            None => self.model.clone(),
        };
        let driver = match (limits.driver, self.driver) {
            (Some(driver), _) => driver,
            // A model was given to be asked.
            (None, Driver::Demo) => Driver::Builtin,
            (None, driver) => driver,
        };
        driver.check(model.as_ref().map(|it| it.kind))?;
        Ok(Self { driver, model })
    }
}

/// A model that somebody wants to answer.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// The provider's name in the settings; none is that of its kind.
    pub provider: Option<String>,
    pub kind: ProviderKind,
    /// By its name at the provider.
    pub model: String,
    /// None is the provider's own address.
    pub base_url: Option<String>,
    /// A key, or where it is found (`env:NAME`, `file:PATH`). None keeps the one that is set, if any.
    pub api_key: Option<Secret>,
    /// How the provider wants it, as the setting `auth` says; none is as its kind usually does.
    pub auth: Option<String>,
}

/// A provider, and what of it is here already.
#[derive(Clone, Debug)]
pub struct Offer {
    pub preset: &'static Preset,
    /// The variable of the gateway's environment that holds a key for it.
    pub variable: Option<&'static str>,
    /// The models that a server on this machine has; none where none answers.
    pub models: Option<Vec<String>>,
}

/// A model that was proved and saved.
#[derive(Clone, Debug)]
pub struct Saved {
    pub answers: Answers,
    /// How long its first answer took.
    pub took: Duration,
}

/// Why a model or an account was not taken: a sentence, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotTaken {
    pub message: String,
    pub hint: Option<String>,
}

/// The models of the settings.
pub trait ModelBook: Send + Sync {
    /// Proves a model by one completion and writes it into the settings.
    fn set(&self, new: NewModel) -> BoxFuture<'_, Result<Saved, NotTaken>>;

    /// Where models are to be had, and what of it is found here.
    fn offers(&self) -> BoxFuture<'_, Vec<Offer>>;
}

/// What answers now. A run keeps what it began with.
pub(crate) struct Current {
    now: RwLock<Arc<Answers>>,
    book: Option<Box<dyn ModelBook>>,
    /// One change of the settings at a time: each reads and writes the same file.
    changing: tokio::sync::Mutex<()>,
}

impl Current {
    pub(crate) fn new(answers: Answers, book: Option<Box<dyn ModelBook>>) -> Self {
        Self { now: RwLock::new(Arc::new(answers)), book, changing: tokio::sync::Mutex::default() }
    }

    /// Held while the settings are written.
    pub(crate) async fn changing_settings(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    pub(crate) fn get(&self) -> Arc<Answers> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gateway {
    /// Who answers, from the next run on, where a group says nothing else.
    pub fn answers(&self) -> Arc<Answers> {
        self.0.answers.get()
    }

    /// Who answers in `group`, in words.
    pub fn answers_in(&self, group: &Group) -> String {
        match self.0.answers.get().of(&group.limits, &self.0) {
            Ok(answers) => answers.to_string(),
            Err(why) => format!("nobody: {why}"),
        }
    }

    /// Has another model answer from the next run on, once it has shown that it does and is in the settings.
    ///
    /// # Errors
    ///
    /// [`HandleError::Model`] when it doesn't answer or can't be saved; then nothing changes.
    pub async fn set_model(&self, new: NewModel) -> Result<Saved, HandleError> {
        let current = &self.0.answers;
        let Some(book) = &current.book else {
            let message = "this gateway has no settings to write";
            return Err(NotTaken { message: message.to_owned(), hint: None }.into());
        };
        let _alone = current.changing_settings().await;
        let saved = book.set(new).await?;
        let answers = Arc::new(saved.answers.clone());
        *current.now.write().unwrap_or_else(PoisonError::into_inner) = answers;
        tracing::info!("from now on {} answers", saved.answers);
        Ok(saved)
    }

    /// Where models are to be had.
    pub async fn model_offers(&self) -> Vec<Offer> {
        match &self.0.answers.book {
            Some(book) => book.offers().await,
            None => Vec::new(),
        }
    }
}
