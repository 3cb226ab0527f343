//! What is logged, and changing it while the gateway runs.

use std::{collections::BTreeMap, str::FromStr};

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, filter::Targets, reload};

use crate::{App, door::Who, error::ApiError, input::Input};

/// The words for levels, the fewest lines first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Text that names no level.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadLevel {
    #[error("`{0}` is no level; known: off, error, warn, info, debug, trace")]
    Level(String),
    #[error(
        "`{0}` is no part of the program; write one like `ngb_broker` or `ngb_channels::telegram`"
    )]
    Target(String),
}

/// A level for everything, and others for parts of the program: `info`, `info,ngb_broker=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    all: LevelFilter,
    targets: BTreeMap<String, LevelFilter>,
}

impl FromStr for Levels {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Self, BadLevel> {
        let mut res = Self { all: LevelFilter::INFO, targets: BTreeMap::new() };
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => res.all = level(part)?,
                Some((target, word)) => {
                    res.targets.insert(self::target(target.trim())?, level(word.trim())?);
                }
            }
        }
        Ok(res)
    }
}

fn level(word: &str) -> Result<LevelFilter, BadLevel> {
    let word = word.to_lowercase();
    let known = LEVELS.contains(&word.as_str()).then(|| word.parse().ok()).flatten();
    known.ok_or(BadLevel::Level(word))
}

fn target(name: &str) -> Result<String, BadLevel> {
    let part = |it: &str| {
        !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-'))
    };
    match name.split("::").all(part) {
        true => Ok(name.to_owned()),
        false => Err(BadLevel::Target(name.to_owned())),
    }
}

impl From<&Levels> for Targets {
    fn from(levels: &Levels) -> Self {
        Self::new().with_default(levels.all).with_targets(levels.targets.clone())
    }
}

/// The filter of the running program.
#[derive(Clone, Debug)]
pub struct LogFilter(reload::Handle<Targets, Registry>);

impl LogFilter {
    /// A layer for the program's subscriber that lets through what `levels` name, and the handle that changes it.
    pub fn new(levels: &Levels) -> (reload::Layer<Targets, Registry>, Self) {
        let (layer, handle) = reload::Layer::new(levels.into());
        (layer, Self(handle))
    }

    fn levels(&self) -> Result<Levels, ApiError> {
        let read = |it: &Targets| Levels {
            all: it.default_level().unwrap_or(LevelFilter::OFF),
            targets: it.iter().map(|(name, level)| (name.to_owned(), level)).collect(),
        };
        self.0.with_current(read).map_err(|err| ApiError::internal(anyhow::Error::from(err)))
    }

    fn set(&self, levels: &Levels) -> Result<(), ApiError> {
        self.0.reload(levels).map_err(|err| ApiError::internal(anyhow::Error::from(err)))
    }
}

fn filter(app: &App) -> Result<&LogFilter, ApiError> {
    let missing = || ApiError::not_found("log: this gateway lives for one command only");
    app.settings.log.as_ref().ok_or_else(missing)
}

/// The levels that hold now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogLevels")]
pub(crate) struct LevelsView {
    level: String,
    /// Of parts of the program.
    targets: BTreeMap<String, String>,
}

fn shown(levels: &Levels) -> LevelsView {
    let of = |it: &LevelFilter| it.to_string();
    let targets = levels.targets.iter().map(|(name, level)| (name.clone(), of(level))).collect();
    LevelsView { level: of(&levels.all), targets }
}

/// The levels that hold now.
pub(crate) async fn show(State(app): State<App>) -> Result<Json<LevelsView>, ApiError> {
    Ok(Json(shown(&filter(&app)?.levels()?)))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "LogChange")]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    level: String,
    /// Only this part of the program; else everything, and what was said of parts is forgotten.
    target: Option<String>,
}

/// Changes the levels until the gateway ends.
pub(crate) async fn change(
    State(app): State<App>,
    who: Who,
    Input(change): Input<Change>,
) -> Result<Json<LevelsView>, ApiError> {
    let filter = filter(&app)?;
    let levels = match change.target {
        None => change.level.parse()?,
        Some(name) => {
            let mut levels = filter.levels()?;
            levels.targets.insert(target(&name)?, level(&change.level)?);
            levels
        }
    };
    filter.set(&levels)?;
    let shown = shown(&levels);
    let detail = format!("{}, {:?}", shown.level, shown.targets);
    app.gateway.store().audit(&who.name, "log level set", &detail).await?;
    Ok(Json(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_strictly() {
        #[rustfmt::skip]
        let table = [
            ("info",                         Ok("info")),
            ("WARN",                         Ok("warn")),
            ("off",                          Ok("off")),
            ("ngb_broker=debug",             Ok("info,ngb_broker=debug")),
            ("debug, ngb_web::door=trace",   Ok("debug,ngb_web::door=trace")),
            ("loud",                         Err("`loud` is no level")),
            ("",                             Err("`` is no level")),
            ("info,",                        Err("`` is no level")),
            ("2",                            Err("`2` is no level")),
            ("ngb_broker=loud",              Err("`loud` is no level")),
            ("a b=info",                     Err("`a b` is no part of the program")),
            ("=info",                        Err("`` is no part of the program")),
        ];
        for (text, want) in table {
            let got = text.parse::<Levels>();
            match want {
                Ok(want) => assert_eq!(got, want.parse::<Levels>(), "{text}"),
                Err(needle) => {
                    let err = got.expect_err(text).to_string();
                    assert!(err.starts_with(needle), "{text}: {err}");
                }
            }
        }
    }
}
