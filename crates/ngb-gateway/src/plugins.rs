//! Plugins in the gateway: which are asked, and what becomes of what they say.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ngb_core::{
    decision::Decision,
    group::GroupName,
    id::{GroupId, JobId, MessageId, PassageId, RunId},
    message::{Happening, Outbound},
    text::split,
};
use ngb_plugins::{
    chain::{Chain, End, Note, Passage as Passed},
    hook::{self, Event, Hook},
};
use ngb_store::{NewDecision, NewOutbox, Passage, Way};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    end::NO_PROFILE_LIMIT,
    handle::{Gateway, HandleError, Shared},
};

/// How often plugins that want it are told that time passes.
const TICK: Duration = Duration::from_secs(60);

/// The plugins that a gateway starts with.
#[derive(Default)]
pub struct Given {
    pub chain: Chain,
    /// Installed ones that can't be used, and why.
    pub broken: BTreeMap<String, String>,
    /// Changes them while the gateway runs; none where they stay as they are.
    pub keeper: Option<Arc<dyn Keeper>>,
}

/// The plugins that are in force, and a bell for what they are to be asked about.
pub(crate) struct Plugins {
    chain: watch::Sender<Arc<Chain>>,
    /// What plugins count, by plugin and name, since the start.
    counts: Mutex<BTreeMap<String, BTreeMap<String, f64>>>,
    /// Why an installed plugin, or its new version, can't be used.
    broken: Mutex<BTreeMap<String, String>>,
    /// None in a gateway whose plugins stay as they are.
    keeper: Option<Arc<dyn Keeper>>,
    changing: tokio::sync::Mutex<()>,
    /// Something waits to be asked about.
    pub(crate) arrived: Notify,
}

impl Plugins {
    pub(crate) fn new(given: Given) -> Self {
        let Given { chain, broken, keeper } = given;
        let chain = watch::Sender::new(Arc::new(chain));
        let (counts, broken) = (Mutex::default(), Mutex::new(broken));
        let (changing, arrived) = (tokio::sync::Mutex::default(), Notify::new());
        Self { chain, counts, broken, keeper, changing, arrived }
    }

    pub(crate) fn count(&self, plugin: &str, name: &str, by: f64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_plugin = counts.entry(plugin.to_owned()).or_default();
        *of_plugin.entry(name.to_owned()).or_default() += by;
    }

    fn counted(&self, plugin: &str) -> BTreeMap<String, f64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(plugin).cloned().unwrap_or_default()
    }

    pub(crate) fn chain(&self) -> Arc<Chain> {
        self.chain.borrow().clone()
    }
}

/// Of what a plugin said something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Of {
    pub(crate) message: Option<MessageId>,
    pub(crate) job: Option<JobId>,
    pub(crate) run: Option<RunId>,
}

impl Shared {
    /// Asks the plugins, and keeps for `why` what they said.
    pub(crate) async fn ask_plugins(&self, event: Event, after: Option<&str>, of: Of) -> Passed {
        let hook = event.hook();
        let passed = self.plugins.chain().pass(event, after, &self.clock).await;
        self.note_plugins(hook, &passed.notes, of).await;
        passed
    }

    async fn note_plugins(&self, hook: Hook, notes: &[Note], of: Of) {
        let row = |it: &Note| NewDecision {
            message: of.message,
            job: of.job,
            run: of.run,
            kind: Decision::Plugin,
            detail: format!("`{}` at {}: {}", it.plugin, hook.as_str(), it.what),
        };
        if notes.is_empty() {
            return;
        }
        self.store.note(notes.iter().map(row).collect());
        for it in notes.iter().filter(|it| it.what.starts_with("failed")) {
            warn!("plugin `{}` at {}: {}", it.plugin, hook.as_str(), it.what);
        }
        for it in notes.iter().filter(|it| it.switched_off) {
            error!("plugin `{}` failed too often in a row and is switched off", it.plugin);
            let said = self.store.audit("gateway", "plugin switched off", &it.plugin).await;
            if let Err(err) = said {
                error!("could not write the audit log: {:#}", anyhow::Error::from(err));
            }
        }
    }

    pub(crate) fn wants(&self, hook: Hook, group: &GroupName) -> bool {
        let chain = self.plugins.chain();
        !chain.is_empty() && chain.wants(hook, Some(group))
    }
}

/// Tells plugins once a minute that time passes, until the end.
pub(crate) async fn tick(gateway: Gateway, stop: CancellationToken) -> anyhow::Result<()> {
    let shared = &gateway.0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = shared.clock.sleep(TICK) => (),
        }
        if shared.plugins.chain().wants(Hook::Tick, None) {
            shared.ask_plugins(Event::Tick, None, Of::default()).await;
        }
    }
}

/// A plugin that comes along or is installed, whether it is on or not.
#[derive(Clone, Debug)]
pub struct KnownPlugin {
    pub name: String,
    pub about: String,
    pub version: String,
    pub is_installed: bool,
    /// The settings that count: `enabled`, `order`, `required`, `config`, `groups`.
    pub settings: Value,
    /// Whether they were changed while the gateway ran, and are not those of the file.
    pub is_changed: bool,
    /// What `config` is where nobody says otherwise.
    pub defaults: Value,
    /// What `config` may be, as a JSON schema.
    pub schema: Value,
}

/// Who knows all plugins, and puts them in a row.
#[async_trait]
pub trait Keeper: Send + Sync {
    /// Those that come along, then those that are installed.
    fn known(&self) -> Vec<KnownPlugin>;

    /// Whether `settings` may be those of the plugin `name`.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    fn check(&self, name: &str, settings: &Value) -> Result<(), String>;

    /// Takes these settings, by plugin, over those of the file; the chain as it is then, and what can't be used.
    fn take(&self, changed: BTreeMap<String, Value>) -> (Chain, BTreeMap<String, String>);

    /// Reads the files of an installed plugin anew; the chain as it is then, and what can't be used.
    ///
    /// # Errors
    ///
    /// Why it goes on as it was.
    async fn reload(&self, name: &str) -> Result<(Chain, BTreeMap<String, String>), String>;
}

/// How a plugin fares, for those who look after the gateway.
#[derive(Clone, Debug)]
pub struct PluginState {
    pub name: String,
    pub version: String,
    pub hooks: Vec<Hook>,
    pub required: bool,
    /// Whether it failed so often that it is asked no more.
    pub off: bool,
    pub calls: u64,
    pub failures: u64,
    /// What it counts itself.
    pub metrics: BTreeMap<String, f64>,
    /// Why what is installed can't be used; an older version may go on.
    pub error: Option<String>,
}

impl PluginState {
    fn unused(name: String, why: String) -> Self {
        let (version, hooks, metrics) = (String::new(), Vec::new(), BTreeMap::new());
        let (required, off, calls, failures) = (false, false, 0, 0);
        Self { name, version, hooks, required, off, calls, failures, metrics, error: Some(why) }
    }
}

impl Gateway {
    /// The plugins that are on, in their order, and those that can't be used.
    pub fn plugins(&self) -> Vec<PluginState> {
        let chain = self.0.plugins.chain();
        let mut broken =
            self.0.plugins.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = |it: &ngb_plugins::chain::Member| PluginState {
            name: it.plugin.name().to_owned(),
            version: it.plugin.version().to_owned(),
            hooks: it.plugin.hooks().to_vec(),
            required: it.required,
            off: it.health.is_off(),
            calls: it.health.calls(),
            failures: it.health.failures(),
            metrics: self.0.plugins.counted(it.plugin.name()),
            error: broken.remove(it.plugin.name()),
        };
        let mut states: Vec<PluginState> = chain.members().iter().map(state).collect();
        states.extend(broken.into_iter().map(|(name, why)| PluginState::unused(name, why)));
        states
    }

    /// All plugins that there are.
    pub fn known_plugins(&self) -> Vec<KnownPlugin> {
        self.0.plugins.keeper.as_ref().map(|it| it.known()).unwrap_or_default()
    }

    fn known_plugin(&self, name: &str) -> Result<(&dyn Keeper, KnownPlugin), HandleError> {
        let keeper = self.0.plugins.keeper.as_deref();
        let keeper = keeper.ok_or_else(|| HandleError::NoPlugin(name.to_owned()))?;
        let found = keeper.known().into_iter().find(|it| it.name == name);
        Ok((keeper, found.ok_or_else(|| HandleError::NoPlugin(name.to_owned()))?))
    }

    /// Has other settings of a plugin count from the next event on, also after a start; with none those of the file.
    ///
    /// # Errors
    ///
    /// When there is no such plugin, or what is wrong with the settings.
    pub async fn set_plugin(
        &self,
        name: &str,
        who: &str,
        settings: Option<Value>,
    ) -> Result<(), HandleError> {
        // One change after the other, so that the last in the database is the last in force.
        let _one = self.0.plugins.changing.lock().await;
        let (keeper, _) = self.known_plugin(name)?;
        if let Some(settings) = &settings {
            keeper.check(name, settings).map_err(HandleError::BadPlugin)?;
        }
        let detail = format!(
            "{name}: {}",
            settings.as_ref().map_or("as in the file".to_owned(), Value::to_string)
        );
        self.0.store.set_plugin_settings(name, who, settings).await?;
        self.0.store.audit(who, "plugin changed", &detail).await?;
        let (chain, broken) = keeper.take(self.0.store.plugin_settings().await?);
        self.set_plugins(chain, broken);
        Ok(())
    }

    /// Reads the files of an installed plugin anew.
    ///
    /// # Errors
    ///
    /// When there is no such plugin, or why it goes on as it was.
    pub async fn reload_plugin(&self, name: &str) -> Result<(), HandleError> {
        let (keeper, known) = self.known_plugin(name)?;
        if !known.is_installed {
            let why = format!("`{name}` comes along and has no files");
            return Err(HandleError::BadPlugin(why));
        }
        let (chain, broken) = keeper.reload(name).await.map_err(HandleError::BadPlugin)?;
        self.set_plugins(chain, broken);
        Ok(())
    }

    /// Puts other plugins in force: from the next event on. Who was asked before is heard out. `broken` says which installed
    /// ones can't be used, and why.
    pub fn set_plugins(&self, chain: Chain, broken: BTreeMap<String, String>) {
        *self.0.plugins.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
        self.0.plugins.chain.send_replace(Arc::new(chain));
    }

    /// Lets something go that a plugin held: those behind it are asked, then it takes its way.
    ///
    /// # Errors
    ///
    /// When there is no such thing, or it is not held.
    pub async fn release(&self, id: PassageId) -> Result<(), HandleError> {
        let passage = self.held(id).await?;
        let of = Of { message: passage.message, ..Of::default() };
        let by = passage.held.as_ref().map(|it| it.0.clone());
        self.0.store.note(vec![NewDecision {
            message: of.message,
            job: None,
            run: None,
            kind: Decision::Plugin,
            detail: "somebody let it go".to_owned(),
        }]);
        match &passage.way {
            Way::In(_) => crate::screen::screen(self, passage, by.as_deref()).await?,
            Way::Out { group, job, text } => {
                let Some(name) = self.group_name(*group) else {
                    return Err(HandleError::NoGroup(group.to_string()));
                };
                let sending = hook::Sending {
                    place: passage.place.clone(),
                    group: name,
                    about: passage.message,
                    text: text.clone(),
                };
                let event = Event::MessageSending(sending);
                let passed = self.0.ask_plugins(event, by.as_deref(), of).await;
                let text = passed.event.text().unwrap_or_default().to_owned();
                match passed.end {
                    End::Passed | End::Answered(_) => {
                        self.say_released(&passage, *job, &text).await?;
                    }
                    // Those behind the one that held it have their say.
                    End::Dropped { .. } => {
                        self.0.store.end_passage(id).await?;
                    }
                    End::Held { by, why } => {
                        self.0.store.withhold_again(id, text, by, why).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Throws something away that a plugin held.
    ///
    /// # Errors
    ///
    /// When there is no such thing, or it is not held.
    pub async fn throw_away(&self, id: PassageId) -> Result<(), HandleError> {
        let passage = self.held(id).await?;
        let why = "somebody threw it away";
        if let Way::In(inbound) = passage.way {
            let plan = ngb_store::Plan::Drop { why: why.to_owned() };
            self.0.posts.seen(*inbound, id, passage.message, Some(plan)).await?;
        } else if self.0.store.end_passage(id).await? {
            self.0.store.note(vec![NewDecision {
                message: passage.message,
                job: None,
                run: None,
                kind: Decision::Plugin,
                detail: why.to_owned(),
            }]);
        }
        Ok(())
    }

    async fn held(&self, id: PassageId) -> Result<Passage, HandleError> {
        let passage = self.0.store.passage(id).await?;
        if passage.held.is_none() {
            return Err(HandleError::NotHeld(id));
        }
        Ok(passage)
    }

    pub(crate) fn group_name(&self, group: GroupId) -> Option<GroupName> {
        self.0.directory.snapshot().group(group).map(|it| it.name.clone())
    }

    async fn say_released(
        &self,
        passage: &Passage,
        job: JobId,
        text: &str,
    ) -> Result<(), HandleError> {
        let channel = self.0.accounts.of(&passage.place);
        let limit = channel.map_or(NO_PROFILE_LIMIT, |it| it.profile().text_limit);
        let row = |text| NewOutbox {
            place: passage.place.clone(),
            item: Outbound::Text { text, reply_to: None, buttons: Vec::new() },
            about: passage.message,
            job: Some(job),
            live: false,
        };
        let rows = split(text, limit).into_iter().map(row).collect();
        let said = self.0.store.end_passage_saying(passage.id, rows).await?;
        self.0.outboxes.hand(said);
        Ok(())
    }
}

/// The group whose agent would answer in the place of an event, for the settings that count.
pub(crate) fn group_of(shared: &Shared, inbound: &ngb_core::message::Inbound) -> Option<GroupName> {
    let snapshot = shared.directory.snapshot();
    let text = match &inbound.what {
        Happening::Message(content) | Happening::Edit(content) => content.text.as_str(),
        _ => "",
    };
    let binding = snapshot.about(&inbound.place, text)?;
    snapshot.group(binding.group).map(|it| it.name.clone())
}
