//! The plugins that are asked, in their order: those of the settings that come along, and what is installed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ngb_core::{clock::Clock, group::GroupName};
use ngb_gateway::plugins::KnownPlugin;
use ngb_plugins::{
    Config, Plugin as _,
    builtin::Builtin,
    chain::{Chain, Health, Member},
    schema,
    wasm::{Broken, Seat},
};
use serde_json::{Map, Value, json};

use crate::settings::{OwnConfig, Plugin, Settings, SettingsError};

/// What is wanted of plugins: by the settings file, and over it by what was changed since.
pub(crate) struct Wanted {
    file: BTreeMap<String, Plugin>,
    changed: RwLock<BTreeMap<String, Plugin>>,
    /// Those that come along, each made once: what it knows stays while its settings change.
    builtins: Vec<(&'static Builtin, Arc<dyn ngb_plugins::Plugin>)>,
    /// How plugins fare; a new version begins with a clean record.
    health: Mutex<HashMap<String, Arc<Health>>>,
}

/// A plugin in the chain, with its order; none where it is off or can't be used, for which there may be a reason.
#[derive(Default)]
struct Seated {
    member: Option<(i64, Member)>,
    error: Option<String>,
}

/// A plugin as its settings are held against it.
enum Kind<'a> {
    Builtin(&'static Builtin),
    Installed(&'a Seat),
    /// One that can't be used says nothing about settings.
    Unknown,
}

impl Kind<'_> {
    fn required(&self) -> bool {
        match self {
            Self::Builtin(it) => it.required,
            Self::Installed(it) => it.is_required(),
            Self::Unknown => false,
        }
    }

    fn defaults(&self) -> Map<String, Value> {
        match self {
            Self::Installed(it) => match it.default_config().value() {
                Value::Object(it) => it.clone(),
                _ => Map::new(),
            },
            Self::Builtin(_) | Self::Unknown => Map::new(),
        }
    }

    fn check(&self, config: &Value) -> Result<(), String> {
        match self {
            Self::Builtin(it) => it.check(config),
            Self::Installed(it) => schema::check(it.schema(), config),
            Self::Unknown => Ok(()),
        }
    }
}

impl Wanted {
    /// # Errors
    ///
    /// When the settings of one that comes along are wrong.
    pub(crate) fn read(settings: &Settings, clock: &Clock) -> Result<Self, SettingsError> {
        let file = settings.plugins.clone();
        let builtins: Vec<_> = Builtin::ALL.iter().map(|it| (it, it.make(clock))).collect();
        for (it, _) in &builtins {
            if let Some(wanted) = file.get(it.name) {
                configs(wanted, &Kind::Builtin(it)).map_err(|why| bad(it.name, &why))?;
            }
        }
        let (changed, health) = (RwLock::default(), Mutex::default());
        Ok(Self { file, changed, builtins, health })
    }

    /// Refuses settings of the file for a plugin that neither comes along nor is in `installed`, or that are wrong for one that
    /// is in `seats`.
    pub(crate) fn check_file(
        &self,
        installed: &[String],
        seats: &[Arc<Seat>],
    ) -> Result<(), SettingsError> {
        let known = || {
            let builtins = Builtin::ALL.iter().map(|it| it.name);
            builtins.chain(installed.iter().map(String::as_str))
        };
        let unknown = self.file.keys().find(|name| !known().any(|it| it == name.as_str()));
        if let Some(name) = unknown {
            let near = known().min_by_key(|it| strsim::damerau_levenshtein(it, name));
            return Err(SettingsError::UnknownKey {
                from: "plugins".to_owned(),
                key: name.clone(),
                nearest: near.map(ToOwned::to_owned),
            });
        }
        for seat in seats {
            if let Some(wanted) = self.file.get(seat.name()) {
                let kind = Kind::Installed(seat);
                configs(wanted, &kind).map_err(|why| bad(seat.name(), &why))?;
            }
        }
        Ok(())
    }

    /// Whether `settings` may be those of a plugin that comes along or is in `seats`.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn check(
        &self,
        name: &str,
        settings: &Value,
        seats: &[Arc<Seat>],
    ) -> Result<(), String> {
        let wanted = serde_json::from_value(settings.clone()).map_err(|err| err.to_string())?;
        let seat = seats.iter().find(|it| it.name() == name);
        let kind = match (Builtin::find(name), seat) {
            (Some(it), _) => Kind::Builtin(it),
            (None, Some(it)) => Kind::Installed(it),
            (None, None) => Kind::Unknown,
        };
        configs(&wanted, &kind).map(drop)
    }

    /// Takes what was changed since, by plugin. What can't be read counts as not there.
    pub(crate) fn take(&self, changed: BTreeMap<String, Value>) {
        let read = |(name, it)| match serde_json::from_value(it) {
            Ok(it) => Some((name, it)),
            Err(err) => {
                tracing::error!("the changed settings of plugin `{name}` don't count: {err}");
                None
            }
        };
        let changed = changed.into_iter().filter_map(read).collect();
        *self.changed.write().unwrap_or_else(PoisonError::into_inner) = changed;
    }

    /// The settings that count; none where nobody said anything about a plugin. Also whether they were changed since.
    fn of(&self, name: &str) -> (Option<Plugin>, bool) {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        match changed.get(name) {
            Some(it) => (Some(it.clone()), true),
            None => (self.file.get(name).cloned(), false),
        }
    }

    /// A clean record for a plugin that is new, or of a new version.
    pub(crate) fn begin_anew(&self, name: &str) {
        self.health().remove(name);
    }

    fn health(&self) -> MutexGuard<'_, HashMap<String, Arc<Health>>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain: by `order`, then those that come along, then the installed by name. One of `broken`, or whose settings don't
    /// fit, holds what it would be asked about where it must not be left out. Also why each such one can't be used.
    pub(crate) fn chain(
        &self,
        seats: &[Arc<Seat>],
        broken: Vec<Broken>,
    ) -> (Chain, BTreeMap<String, String>) {
        let mut errors: BTreeMap<String, String> =
            broken.iter().map(|it| (it.name.clone(), it.why.clone())).collect();
        let mut members = Vec::new();
        let mut take = |name: &str, seated: Seated| {
            members.extend(seated.member);
            // Why it is broken comes before what that means for its settings.
            if let Some(why) = seated.error {
                errors.entry(name.to_owned()).or_insert(why);
            }
        };
        for (it, plugin) in &self.builtins {
            if let (Some(wanted), _) = self.of(it.name) {
                take(it.name, self.seat(plugin.clone(), &wanted, &Kind::Builtin(it)));
            }
        }
        for it in seats {
            let wanted = self.of(it.name()).0.unwrap_or_default();
            take(it.name(), self.seat(it.clone(), &wanted, &Kind::Installed(it)));
        }
        for it in broken {
            let wanted = self.of(&it.name).0.unwrap_or_default();
            if wanted.required.unwrap_or(it.required) {
                let wanted = Plugin { required: Some(true), ..wanted };
                let name = it.name.clone();
                take(&name, self.seat(Arc::new(it), &wanted, &Kind::Unknown));
            }
        }
        // Stable: those of one order stay as they are.
        members.sort_by_key(|it| it.0);
        (Chain::new(members.into_iter().map(|it| it.1).collect()), errors)
    }

    /// The place of one in the chain.
    fn seat(
        &self,
        plugin: Arc<dyn ngb_plugins::Plugin>,
        wanted: &Plugin,
        kind: &Kind<'_>,
    ) -> Seated {
        let name = plugin.name().to_owned();
        if !wanted.enabled {
            // Switched on again, it begins with a clean record.
            self.begin_anew(&name);
            return Seated::default();
        }
        let required = wanted.required.unwrap_or(kind.required());
        let (plugin, (config, by_group), error) = match configs(wanted, kind) {
            Ok(configs) => (plugin, configs, None),
            Err(why) => {
                let why = format!("its settings: {why}");
                let error = Some(why.clone());
                if !required {
                    return Seated { member: None, error };
                }
                let broken: Arc<dyn ngb_plugins::Plugin> =
                    Arc::new(Broken { name: name.clone(), why, required });
                (broken, (Arc::new(Config::new(Value::Null)), HashMap::new()), error)
            }
        };
        let health = self.health().entry(name).or_default().clone();
        let member = Member { plugin, required, config, by_group, health };
        Seated { member: Some((wanted.order, member)), error }
    }

    /// All plugins that there are, for those who look after them.
    pub(crate) fn known(&self, seats: &[Arc<Seat>]) -> Vec<KnownPlugin> {
        let builtins = self.builtins.iter().map(|(it, plugin)| {
            let about = KnownPlugin {
                name: it.name.to_owned(),
                about: it.about.to_owned(),
                version: plugin.version().to_owned(),
                is_installed: false,
                grants: Vec::new(),
                settings: Value::Null,
                is_changed: false,
                defaults: json!({}),
                schema: it.schema(),
            };
            (about, it.required)
        });
        let installed = seats.iter().map(|it| {
            let about = KnownPlugin {
                name: it.name().to_owned(),
                about: it.about().to_owned(),
                version: it.version().to_owned(),
                is_installed: true,
                grants: it.grants().to_vec(),
                settings: Value::Null,
                is_changed: false,
                defaults: it.default_config().value().clone(),
                schema: it.schema().clone(),
            };
            (about, it.is_required())
        });
        let with_settings = |(it, required): (KnownPlugin, bool)| {
            let (wanted, is_changed) = self.of(&it.name);
            let enabled = wanted.as_ref().map_or(it.is_installed, |it| it.enabled);
            let wanted = wanted.unwrap_or_default();
            let settings = json!({
                "enabled": enabled,
                "order": wanted.order,
                "required": wanted.required.unwrap_or(required),
                "config": wanted.config,
                "groups": wanted.groups,
            });
            KnownPlugin { settings, is_changed, ..it }
        };
        builtins.chain(installed).map(with_settings).collect()
    }
}

fn bad(name: &str, why: &str) -> SettingsError {
    SettingsError::BadValue { from: format!("plugins.{name}"), why: why.to_owned() }
}

/// A plugin's settings, and those of groups that have others; none where it is off in that group.
type Configs = (Arc<Config>, HashMap<GroupName, Option<Arc<Config>>>);

fn configs(wanted: &Plugin, kind: &Kind<'_>) -> Result<Configs, String> {
    let config = |own: &Map<String, Value>| {
        let mut all = kind.defaults();
        all.extend(wanted.config.clone());
        all.extend(own.clone());
        let config = Value::Object(all);
        kind.check(&config)?;
        Ok::<_, String>(Arc::new(Config::new(config)))
    };
    let mut by_group = HashMap::new();
    for (group, own) in &wanted.groups {
        let name: GroupName = group.parse().map_err(|err| format!("{err}"))?;
        let own = match own {
            OwnConfig::Is(true) => continue,
            OwnConfig::Is(false) => None,
            OwnConfig::Config(own) => {
                Some(config(own).map_err(|why| format!("in group `{group}`: {why}"))?)
            }
        };
        by_group.insert(name, own);
    }
    Ok((config(&Map::new())?, by_group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Vec<String>, String> {
        let settings: Settings = toml::from_str(text).map_err(|err| err.to_string())?;
        let wanted = Wanted::read(&settings, &Clock::System).map_err(|err| err.to_string())?;
        wanted.check_file(&["gate".to_owned()], &[]).map_err(|err| err.to_string())?;
        let gate = |required| Broken { name: "gate".into(), why: "torn".into(), required };
        let (chain, _) = wanted.chain(&[], vec![gate(text.contains("torn"))]);
        let shown = |it: &Member| {
            let required = if it.required { "!" } else { "" };
            format!("{}{required}", it.plugin.name())
        };
        Ok(chain.members().iter().map(shown).collect())
    }

    #[test]
    fn chain_table() {
        #[rustfmt::skip]
        let table = [
            ("",                                                                            Ok(vec![])),
            ("[plugins.word_filter]\n[plugins.redactor]\n[plugins.auto_reply]",             Ok(vec!["redactor!", "word_filter!", "auto_reply"])),
            ("[plugins.redactor]\norder = 2\nrequired = false\n[plugins.auto_reply]\n",     Ok(vec!["auto_reply", "redactor"])),
            ("[plugins.redactor]\nenabled = false",                                         Ok(vec![])),
            ("# torn\n[plugins.redactor]",                                                  Ok(vec!["redactor!", "gate!"])),
            ("[plugins.redactor]\n[plugins.gate]\norder = -1\nrequired = true",             Ok(vec!["gate!", "redactor!"])),
            ("# torn\n[plugins.gate]\nenabled = false",                                     Ok(vec![])),
            ("[plugins.redact]",                                                            Err("unknown setting `redact`")),
            ("[plugins.redactor.config]\nmasks = 1",                                        Err("unknown field `masks`")),
            ("[plugins.redactor.groups.home]\nkinds = [\"x\"]",                             Err("in group `home`: unknown variant `x`")),
        ];
        for (text, want) in table {
            match (made(text), want) {
                (Ok(made), Ok(want)) => assert_eq!(made, want, "{text}"),
                (Err(err), Err(want)) => assert!(err.contains(want), "{text}: {err}"),
                (made, want) => panic!("{text}: {made:?}, not {want:?}"),
            }
        }
    }
}
