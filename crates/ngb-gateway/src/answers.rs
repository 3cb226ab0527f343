//! Who answers: the driver and its model, which may change while the gateway runs.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use ngb_core::{
    frame::{ModelSpec, ProviderKind},
    secret::Secret,
};

use crate::{
    handle::{Gateway, HandleError},
    start::Driver,
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

/// A model that somebody wants to answer.
#[derive(Clone, Debug)]
pub struct NewModel {
    pub kind: ProviderKind,
    /// By its name at the provider.
    pub model: String,
    /// None is the provider's own address.
    pub base_url: Option<String>,
    /// None keeps the one that is set, if any.
    pub api_key: Option<Secret>,
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

/// Proves a model by one completion and writes it into the settings.
pub type SetModel = dyn Fn(NewModel) -> BoxFuture<'static, Result<Saved, NotTaken>> + Send + Sync;

/// What answers now. A run keeps what it began with.
pub(crate) struct Current {
    now: RwLock<Arc<Answers>>,
    set: Option<Box<SetModel>>,
    /// One change of the settings at a time: each reads and writes the same file.
    changing: tokio::sync::Mutex<()>,
}

impl Current {
    pub(crate) fn new(answers: Answers, set: Option<Box<SetModel>>) -> Self {
        Self { now: RwLock::new(Arc::new(answers)), set, changing: tokio::sync::Mutex::default() }
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
    /// Who answers, from the next run on.
    pub fn answers(&self) -> Arc<Answers> {
        self.0.answers.get()
    }

    /// Has another model answer from the next run on, once it has shown that it does and is in the settings.
    ///
    /// # Errors
    ///
    /// [`HandleError::Model`] when it doesn't answer or can't be saved; then nothing changes.
    pub async fn set_model(&self, new: NewModel) -> Result<Saved, HandleError> {
        let current = &self.0.answers;
        let Some(set) = &current.set else {
            let message = "this gateway lives only for one command and has no settings to write";
            return Err(NotTaken { message: message.to_owned(), hint: None }.into());
        };
        let _alone = current.changing_settings().await;
        let saved = set(new).await?;
        let answers = Arc::new(saved.answers.clone());
        *current.now.write().unwrap_or_else(PoisonError::into_inner) = answers;
        tracing::info!("from now on {} answers", saved.answers);
        Ok(saved)
    }
}
