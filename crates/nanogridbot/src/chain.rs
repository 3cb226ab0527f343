//! The plugins of the settings, in the order in which they are asked.

use std::{collections::HashMap, sync::Arc};

use ngb_core::{clock::Clock, group::GroupName};
use ngb_plugins::{
    Config,
    builtin::Builtin,
    chain::{Chain, Member},
};
use serde_json::{Map, Value};

use crate::settings::{OwnConfig, Plugin, Settings, SettingsError};

/// Makes the chain.
///
/// # Errors
///
/// When a plugin is not there, or its settings are wrong.
pub(crate) fn chain(settings: &Settings, clock: &Clock) -> Result<Chain, SettingsError> {
    let mut members = Vec::new();
    for (name, wanted) in &settings.plugins {
        let place = Builtin::ALL.iter().position(|it| it.name == *name);
        let Some(place) = place else { return Err(unknown(name)) };
        let member = member(&Builtin::ALL[place], wanted, clock);
        let member = member.map_err(|why| bad(name, &why))?;
        if wanted.enabled {
            members.push((wanted.order, place, member));
        }
    }
    members.sort_by_key(|it| (it.0, it.1));
    Ok(Chain::new(members.into_iter().map(|it| it.2).collect()))
}

fn unknown(name: &str) -> SettingsError {
    let near = Builtin::ALL.iter().map(|it| it.name);
    let near = near.min_by_key(|it| strsim::damerau_levenshtein(it, name));
    SettingsError::UnknownKey {
        from: "plugins".to_owned(),
        key: name.to_owned(),
        nearest: near.map(ToOwned::to_owned),
    }
}

fn bad(name: &str, why: &str) -> SettingsError {
    SettingsError::BadValue { from: format!("plugins.{name}"), why: why.to_owned() }
}

fn member(builtin: &Builtin, wanted: &Plugin, clock: &Clock) -> Result<Member, String> {
    let config = |own: &Map<String, Value>| {
        let mut all = wanted.config.clone();
        all.extend(own.clone());
        let config = Value::Object(all);
        builtin.check(&config)?;
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
    Ok(Member {
        plugin: builtin.make(clock),
        required: wanted.required.unwrap_or(builtin.required),
        config: config(&Map::new())?,
        by_group,
        health: Arc::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Vec<String>, String> {
        let settings: Settings = toml::from_str(text).map_err(|err| err.to_string())?;
        let chain = chain(&settings, &Clock::System).map_err(|err| err.to_string())?;
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
