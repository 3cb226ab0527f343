//! Plugins in the gateway: which are asked, and what becomes of what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ngb_core::{
    decision::Decision,
    group::GroupName,
    id::{GroupId, JobId, MessageId, PassageId, RunId},
    message::Happening,
};
use ngb_plugins::{
    chain::{Chain, End, Note, Passage as Passed},
    hook::{self, Event, Hook},
    wasm::Grant,
};
use ngb_store::{NewDecision, Passage, Way};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    handle::{Gateway, HandleError, Shared},
    plugin_state::PluginLog,
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
    /// Held while a chain is made and put in force, so that one that was made earlier never takes the place of a later one.
    renewing: Mutex<()>,
    /// What plugins write, and what they fail at.
    pub(crate) log: Arc<PluginLog>,
    /// Something waits to be asked about.
    pub(crate) arrived: Notify,
}

impl Plugins {
    pub(crate) fn new(given: Given, log: Arc<PluginLog>) -> Self {
        let Given { chain, broken, keeper } = given;
        let chain = watch::Sender::new(Arc::new(chain));
        let (counts, broken) = (Mutex::default(), Mutex::new(broken));
        let (changing, arrived) = (tokio::sync::Mutex::default(), Notify::new());
        let renewing = Mutex::default();
        Self { chain, counts, broken, keeper, changing, renewing, log, arrived }
    }

    pub(crate) fn count(&self, plugin: &str, name: &str, by: f64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_plugin = counts.entry(plugin.to_owned()).or_default();
        *of_plugin.entry(name.to_owned()).or_default() += by;
    }

    pub(crate) fn counted(&self, plugin: &str) -> BTreeMap<String, f64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(plugin).cloned().unwrap_or_default()
    }

    pub(crate) fn chain(&self) -> Arc<Chain> {
        self.chain.borrow().clone()
    }

    /// Why installed ones can't be used.
    pub(crate) fn broken(&self) -> BTreeMap<String, String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let tell = |it: &Note, level, text: &str| {
            self.plugins.log.write(self.clock.now(), &it.plugin, level, text);
        };
        for it in notes.iter().filter(|it| it.what.starts_with("failed")) {
            warn!("plugin `{}` at {}: {}", it.plugin, hook.as_str(), it.what);
            tell(it, "warn", &format!("at {}: {}", hook.as_str(), it.what));
        }
        for it in notes.iter().filter(|it| it.switched_off) {
            error!("plugin `{}` failed too often in a row and is switched off", it.plugin);
            tell(it, "error", "it failed too often in a row and is asked no more");
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
    /// What it may do and what it was refused; empty for one that comes along.
    pub grants: Vec<Grant>,
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

    /// Takes these settings, by plugin, over those of the file.
    fn take(&self, changed: BTreeMap<String, Value>);

    /// The chain as it is at this moment, and why something of it can't be used.
    fn chain(&self) -> (Chain, BTreeMap<String, String>);

    /// Reads the files of an installed plugin anew.
    ///
    /// # Errors
    ///
    /// Why it goes on as it was.
    async fn reload(&self, name: &str) -> Result<(), String>;
}

impl Gateway {
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
        let (keeper, known) = self.known_plugin(name)?;
        if let Some(settings) = &settings {
            keeper.check(name, settings).map_err(HandleError::BadPlugin)?;
        }
        // Names only: what they are set to may be a secret.
        let what = match &settings {
            Some(settings) => different(&known.settings, settings).join(", "),
            None => "as in the file".to_owned(),
        };
        let detail = format!("{name}: {what}");
        self.0.store.set_plugin_settings(name, who, settings).await?;
        self.0.store.audit(who, "plugin changed", &detail).await?;
        keeper.take(self.0.store.plugin_settings().await?);
        self.renew_plugins();
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
        keeper.reload(name).await.map_err(HandleError::BadPlugin)?;
        self.renew_plugins();
        Ok(())
    }

    /// Puts the plugins in force as they are at this moment: from the next event on. Who was asked before is heard out.
    pub fn renew_plugins(&self) {
        let plugins = &self.0.plugins;
        let Some(keeper) = &plugins.keeper else { return };
        let _one = plugins.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let (chain, broken) = keeper.chain();
        *plugins.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
        plugins.chain.send_replace(Arc::new(chain));
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
        let rows = self.0.rows_of(&passage.place, text, passage.message, Some(job));
        let said = self.0.store.end_passage_saying(passage.id, rows).await?;
        self.0.outboxes.hand(said);
        Ok(())
    }
}

/// Which settings of a plugin are others now: `enabled`, `config.words`.
fn different(before: &Value, now: &Value) -> Vec<String> {
    let is_set = |it: &Value, key: &str| it.get(key).cloned().unwrap_or(Value::Null);
    let names = |it: &Value| it.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect();
    let either = |a: &Value, b: &Value| -> BTreeSet<String> {
        let (mut all, more): (BTreeSet<String>, BTreeSet<String>) = (names(a), names(b));
        all.extend(more);
        all
    };
    let mut found = Vec::new();
    for key in either(before, now) {
        let (a, b) = (is_set(before, &key), is_set(now, &key));
        if a == b {
            continue;
        }
        let inner = either(&a, &b);
        let inner = inner.iter().filter(|it| is_set(&a, it) != is_set(&b, it));
        let inner: Vec<String> = inner.map(|it| format!("{key}.{it}")).collect();
        found.extend(if inner.is_empty() { vec![key] } else { inner });
    }
    found
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn different_table() {
        let of =
            |config: Value| json!({"enabled": true, "order": 0, "config": config, "groups": {}});
        #[rustfmt::skip]
        let table: [(Value, Value, &[&str]); 4] = [
            (of(json!({"key": "a secret"})), of(json!({"key": "another"})),            &["config.key"]),
            (of(json!({"key": "a secret"})), of(json!({})),                            &["config.key"]),
            (of(json!({})),                  json!({"enabled": false, "config": {}}),  &["enabled", "groups", "order"]),
            (of(json!({})),                  of(json!({})),                            &[]),
        ];
        for (before, now, want) in table {
            assert_eq!(different(&before, &now), want, "{before} {now}");
        }
    }
}
