//! The plugins that are asked, in their order: those of the settings that come along, and what is installed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use ngb_core::{clock::Clock, group::GroupName};
use ngb_plugins::{
    Config,
    builtin::Builtin,
    chain::{Chain, Health, Member},
    wasm::{Broken, Seat},
};
use serde_json::{Map, Value};

use crate::settings::{OwnConfig, Plugin, Settings, SettingsError};

/// `[plugins]`, read.
pub(crate) struct Wanted {
    /// Those that come along and are on, with their order.
    builtins: Vec<(i64, Member)>,
    settings: BTreeMap<String, Plugin>,
    /// How installed plugins fare; a new version begins with a clean record.
    health: Mutex<HashMap<String, Arc<Health>>>,
}

impl Wanted {
    /// # Errors
    ///
    /// When the settings of a plugin are wrong.
    pub(crate) fn read(settings: &Settings, clock: &Clock) -> Result<Self, SettingsError> {
        let mut builtins = Vec::new();
        for builtin in Builtin::ALL {
            let Some(wanted) = settings.plugins.get(builtin.name) else { continue };
            let check = |it: &Value| builtin.check(it);
            let made =
                configs(wanted, &Map::new(), check).map_err(|why| bad(builtin.name, &why))?;
            if wanted.enabled {
                let member = Member {
                    plugin: builtin.make(clock),
                    required: wanted.required.unwrap_or(builtin.required),
                    config: made.0,
                    by_group: made.1,
                    health: Arc::default(),
                };
                builtins.push((wanted.order, member));
            }
        }
        Ok(Self { builtins, settings: settings.plugins.clone(), health: Mutex::default() })
    }

    /// Refuses settings of a plugin that neither comes along nor is `installed`.
    pub(crate) fn check_names(&self, installed: &[String]) -> Result<(), SettingsError> {
        let known = || {
            let builtins = Builtin::ALL.iter().map(|it| it.name);
            builtins.chain(installed.iter().map(String::as_str))
        };
        let unknown = self.settings.keys().find(|name| !known().any(|it| it == name.as_str()));
        let Some(name) = unknown else { return Ok(()) };
        let near = known().min_by_key(|it| strsim::damerau_levenshtein(it, name));
        Err(SettingsError::UnknownKey {
            from: "plugins".to_owned(),
            key: name.clone(),
            nearest: near.map(ToOwned::to_owned),
        })
    }

    /// A clean record for a plugin that is new, or of a new version.
    pub(crate) fn begin_anew(&self, name: &str) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The chain: by `order`, then those that come along, then the installed by name. Of `broken` ones, which can't be used,
    /// those that must not be left out hold what they would be asked about.
    ///
    /// # Errors
    ///
    /// When the settings of an installed plugin are wrong.
    pub(crate) fn chain(
        &self,
        seats: Vec<Arc<Seat>>,
        broken: Vec<Broken>,
    ) -> Result<Chain, SettingsError> {
        let mut members = self.builtins.clone();
        for seat in seats {
            let (required, base) = (seat.is_required(), seat.default_config());
            members.extend(self.member(seat, required, &base)?);
        }
        for it in broken {
            let required = it.required;
            let member = self.member(Arc::new(it), required, &Config::new(Value::Null))?;
            members.extend(member.filter(|it| it.1.required));
        }
        // Stable: those of one order stay as they are.
        members.sort_by_key(|it| it.0);
        Ok(Chain::new(members.into_iter().map(|it| it.1).collect()))
    }

    /// One that is installed; none where the settings have it off.
    fn member(
        &self,
        plugin: Arc<dyn ngb_plugins::Plugin>,
        required: bool,
        base: &Config,
    ) -> Result<Option<(i64, Member)>, SettingsError> {
        let name = plugin.name().to_owned();
        let wanted = self.settings.get(&name).cloned().unwrap_or_default();
        let empty = Map::new();
        let base = base.value().as_object().unwrap_or(&empty);
        let (config, by_group) =
            configs(&wanted, base, |_| Ok(())).map_err(|why| bad(&name, &why))?;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let health = health.entry(name).or_default().clone();
        let required = wanted.required.unwrap_or(required);
        let member = Member { plugin, required, config, by_group, health };
        Ok(wanted.enabled.then_some((wanted.order, member)))
    }
}

fn bad(name: &str, why: &str) -> SettingsError {
    SettingsError::BadValue { from: format!("plugins.{name}"), why: why.to_owned() }
}

/// A plugin's settings, and those of groups that have others; none where it is off in that group.
type Configs = (Arc<Config>, HashMap<GroupName, Option<Arc<Config>>>);

fn configs(
    wanted: &Plugin,
    base: &Map<String, Value>,
    check: impl Fn(&Value) -> Result<(), String>,
) -> Result<Configs, String> {
    let config = |own: &Map<String, Value>| {
        let mut all = base.clone();
        all.extend(wanted.config.clone());
        all.extend(own.clone());
        let config = Value::Object(all);
        check(&config)?;
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
        wanted.check_names(&["gate".to_owned()]).map_err(|err| err.to_string())?;
        let gate = |required| Broken { name: "gate".into(), why: "torn".into(), required };
        let chain = wanted.chain(Vec::new(), vec![gate(text.contains("torn"))]);
        let chain = chain.map_err(|err| err.to_string())?;
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
