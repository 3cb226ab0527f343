//! How plugins fare: what they count, what they log, and which were switched off.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use ngb_core::{alert::Found, clock::Timestamp};
use ngb_plugins::hook::Hook;
use tokio::sync::watch;

use crate::{alerts::found, handle::Gateway};

/// Lines of plugins that are kept, the newest; all of them are in the gateway's own log.
const MAX_LINES: usize = 1_000;

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

/// Something that a plugin wrote to its log, or that it failed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLine {
    /// Grows by one with each line of any plugin, since the start.
    pub number: u64,
    pub at: Timestamp,
    pub plugin: String,
    /// `debug`, `info`, `warn` or `error`
    pub level: &'static str,
    pub text: String,
}

/// The newest lines of all plugins.
#[derive(Debug)]
pub(crate) struct PluginLog {
    lines: Mutex<VecDeque<PluginLine>>,
    /// The number of the last.
    last: watch::Sender<u64>,
}

impl PluginLog {
    pub(crate) fn new() -> Self {
        Self { lines: Mutex::default(), last: watch::Sender::new(0) }
    }

    pub(crate) fn write(&self, at: Timestamp, plugin: &str, level: &'static str, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.last.borrow() + 1;
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        let (plugin, text) = (plugin.to_owned(), text.to_owned());
        lines.push_back(PluginLine { number, at, plugin, level, text });
        drop(lines);
        self.last.send_replace(number);
    }

    fn after(&self, after: u64, plugin: Option<&str>) -> Vec<PluginLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted =
            |it: &&PluginLine| after < it.number && plugin.is_none_or(|plugin| plugin == it.plugin);
        lines.iter().filter(wanted).cloned().collect()
    }
}

impl Gateway {
    /// The plugins that are on, in their order, and those that can't be used.
    pub fn plugins(&self) -> Vec<PluginState> {
        let plugins = &self.0.plugins;
        let mut broken = plugins.broken();
        let state = |it: &ngb_plugins::chain::Member| PluginState {
            name: it.plugin.name().to_owned(),
            version: it.plugin.version().to_owned(),
            hooks: it.plugin.hooks().to_vec(),
            required: it.required,
            off: it.health.is_off(),
            calls: it.health.calls(),
            failures: it.health.failures(),
            metrics: plugins.counted(it.plugin.name()),
            error: broken.remove(it.plugin.name()),
        };
        let mut states: Vec<PluginState> = plugins.chain().members().iter().map(state).collect();
        states.extend(broken.into_iter().map(|(name, why)| PluginState::unused(name, why)));
        states
    }

    /// The kept lines of plugins, or of one, behind the one with the number `after`, the oldest first.
    pub fn plugin_lines(&self, after: u64, plugin: Option<&str>) -> Vec<PluginLine> {
        self.0.plugins.log.after(after, plugin)
    }

    /// Waits until there is such a line.
    pub async fn next_plugin_line(&self, after: u64, plugin: Option<&str>) {
        let mut last = self.0.plugins.log.last.subscribe();
        while self.plugin_lines(after, plugin).is_empty() {
            // The sender is in the gateway that `self` holds.
            let _ = last.changed().await;
        }
    }
}

/// Plugins that failed so often that they are asked no more, and those that can't be used.
pub(crate) fn alerts(gateway: &Gateway) -> Vec<Found> {
    let mut all = Vec::new();
    for it in gateway.plugins() {
        let name = &it.name;
        if it.off {
            let says = format!("Plugin `{name}` failed too often in a row and is asked no more.");
            let remedy = format!(
                "`nanogridbot plugin logs {name}` says why; `nanogridbot plugin disable {name}`, then `enable`, has it asked again."
            );
            all.push(found(format!("plugin-off:{name}"), says, &remedy));
        }
        if let Some(why) = &it.error {
            let says = format!("Plugin `{name}` can't be used: {why}.");
            let remedy =
                format!("Install it anew, or take it away: `nanogridbot plugin remove {name}`.");
            all.push(found(format!("plugin-broken:{name}"), says, &remedy));
        }
    }
    all
}
