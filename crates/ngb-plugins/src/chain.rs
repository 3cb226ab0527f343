//! Plugins in their order: each gets what the one before left.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use ngb_core::{clock::Clock, group::GroupName};

use crate::{
    Plugin,
    hook::{Event, Hook, Part, Verdict},
    plugin::{Config, PluginError},
};

/// How long a plugin may take for one event. What a WebAssembly component may use is less.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);

/// So many failures in a row switch a plugin off that is not required.
pub const MAX_FAILURES: u32 = 3;

/// How a plugin fares.
#[derive(Debug, Default)]
pub struct Health {
    calls: AtomicU64,
    failures: AtomicU64,
    in_a_row: AtomicU32,
    off: AtomicBool,
}

impl Health {
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether it failed too often, and is asked no more until it is switched on again.
    pub fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// True when this is the failure that switches it off.
    fn failed(&self, required: bool) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        MAX_FAILURES <= in_a_row && !required && !self.off.swap(true, Ordering::Relaxed)
    }
}

/// A plugin with what the operator wants of it.
#[derive(Clone)]
pub struct Member {
    pub plugin: Arc<dyn Plugin>,
    /// Where it fails, what it was asked about is held.
    pub required: bool,
    pub config: Arc<Config>,
    /// Groups with other settings; none where it is off in that group.
    pub by_group: HashMap<GroupName, Option<Arc<Config>>>,
    pub health: Arc<Health>,
}

impl Member {
    fn config(&self, group: Option<&GroupName>) -> Option<&Arc<Config>> {
        match group.and_then(|it| self.by_group.get(it)) {
            Some(own) => own.as_ref(),
            None => Some(&self.config),
        }
    }

    fn wants(&self, hook: Hook, group: Option<&GroupName>) -> bool {
        !self.health.is_off() && self.plugin.hooks().contains(&hook) && self.config(group).is_some()
    }
}

/// All plugins that are on, in their order.
#[derive(Clone, Default)]
pub struct Chain {
    members: Vec<Member>,
}

/// What became of an event.
#[derive(Debug)]
pub struct Passage {
    /// As the plugins left it.
    pub event: Event,
    pub end: End,
    /// Every verdict that was no plain pass, and every failure, in their order.
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Passed,
    Answered(String),
    Dropped { by: String, why: String },
    Held { by: String, why: String },
}

/// What a plugin said or failed to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub plugin: String,
    /// For `why`: `change`, `drop: spam`, `failed: ...`.
    pub what: String,
    /// Whether this failure switched it off.
    pub switched_off: bool,
}

impl Chain {
    pub fn new(members: Vec<Member>) -> Self {
        Self { members }
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether anybody is to be asked.
    pub fn wants(&self, hook: Hook, group: Option<&GroupName>) -> bool {
        self.members.iter().any(|it| it.wants(hook, group))
    }

    /// Asks all that want it, or only those behind `after`.
    pub async fn pass(&self, mut event: Event, after: Option<&str>, clock: &Clock) -> Passage {
        let hook = event.hook();
        let group = event.group().cloned();
        let mut notes = Vec::new();
        // Where that one is gone, all are asked again.
        let first =
            after.and_then(|name| self.members.iter().position(|it| it.plugin.name() == name));
        for member in self.members.iter().skip(first.map_or(0, |it| it + 1)) {
            let is_quote = matches!(&event, Event::MessageReceived(it) if it.part == Part::Quote);
            if !member.wants(hook, group.as_ref()) || (is_quote && !member.plugin.masks()) {
                continue;
            }
            let Some(config) = member.config(group.as_ref()) else { continue };
            let name = member.plugin.name();
            let note =
                |what: String, switched_off| Note { plugin: name.to_owned(), what, switched_off };
            match ask(member, &event, config, clock).await {
                Ok(Verdict::Pass) => (),
                Ok(Verdict::Change(text)) if event.text() == Some(&text) => (),
                Ok(Verdict::Change(text)) => {
                    event.change(text);
                    notes.push(note("change".to_owned(), false));
                }
                Ok(Verdict::Meant(why)) => {
                    event.mean();
                    notes.push(note(format!("meant: {why}"), false));
                }
                Ok(Verdict::Note(what)) => notes.push(note(format!("note: {what}"), false)),
                Ok(Verdict::Answer(text)) => {
                    notes.push(note("answer".to_owned(), false));
                    return Passage { event, end: End::Answered(text), notes };
                }
                Ok(Verdict::Drop(why)) => {
                    notes.push(note(format!("drop: {why}"), false));
                    return Passage {
                        event,
                        end: End::Dropped { by: name.to_owned(), why },
                        notes,
                    };
                }
                Ok(Verdict::Hold(why)) => {
                    notes.push(note(format!("hold: {why}"), false));
                    return Passage { event, end: End::Held { by: name.to_owned(), why }, notes };
                }
                Err(err) => {
                    let switched_off = member.health.failed(member.required);
                    notes.push(note(format!("failed: {err}"), switched_off));
                    if member.required && hook.holds() {
                        let why = format!("it failed: {err}");
                        return Passage {
                            event,
                            end: End::Held { by: name.to_owned(), why },
                            notes,
                        };
                    }
                    if member.required && hook == Hook::RunStarting {
                        let why = format!("it failed: {err}");
                        return Passage {
                            event,
                            end: End::Dropped { by: name.to_owned(), why },
                            notes,
                        };
                    }
                }
            }
        }
        Passage { event, end: End::Passed, notes }
    }
}

async fn ask(
    member: &Member,
    event: &Event,
    config: &Config,
    clock: &Clock,
) -> Result<Verdict, PluginError> {
    member.health.calls.fetch_add(1, Ordering::Relaxed);
    let asked = clock.timeout(CALL_LIMIT, member.plugin.ask(event, config)).await;
    let verdict = asked.map_err(|_| PluginError::TooSlow(CALL_LIMIT))??;
    if !verdict.fits(event) {
        return Err(PluginError::Unfit { verdict: verdict.as_str(), hook: event.hook().as_str() });
    }
    member.health.in_a_row.store(0, Ordering::Relaxed);
    Ok(verdict)
}

#[cfg(test)]
mod tests;
