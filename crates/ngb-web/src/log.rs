//! What is logged: the newest lines, and changing how much while the gateway runs.

use std::{
    collections::{BTreeMap, VecDeque},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, filter::Targets, reload};

use crate::{
    App,
    door::Who,
    error::ApiError,
    input::{Input, Query},
};

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

/// The log of the running program: its filter, and its newest lines.
#[derive(Clone, Debug)]
pub struct LogFilter {
    filter: reload::Handle<Targets, Registry>,
    lines: Arc<LogLines>,
}

impl LogFilter {
    /// A layer for the program's subscriber that lets through what `levels` name, and the handle that changes it.
    pub fn new(levels: &Levels) -> (reload::Layer<Targets, Registry>, Self) {
        let (layer, filter) = reload::Layer::new(levels.into());
        (layer, Self { filter, lines: Arc::default() })
    }

    /// Where the program's lines are to go as well, once no secret is in them.
    pub fn lines(&self) -> Arc<LogLines> {
        self.lines.clone()
    }

    fn levels(&self) -> Result<Levels, ApiError> {
        let read = |it: &Targets| Levels {
            all: it.default_level().unwrap_or(LevelFilter::OFF),
            targets: it.iter().map(|(name, level)| (name.to_owned(), level)).collect(),
        };
        self.filter.with_current(read).map_err(|err| ApiError::internal(anyhow::Error::from(err)))
    }

    fn set(&self, levels: &Levels) -> Result<(), ApiError> {
        self.filter.reload(levels).map_err(|err| ApiError::internal(anyhow::Error::from(err)))
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

/// Lines that are kept, and bytes of them; the newest stay.
const MAX_LINES: usize = 2_000;
const MAX_BYTES: usize = 512 * 1024;

/// The newest lines of the log.
#[derive(Debug, Default)]
pub struct LogLines {
    kept: Mutex<Kept>,
    /// The number of the last.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(u64, String)>,
    bytes: usize,
}

impl LogLines {
    /// Keeps a line.
    pub fn push(&self, line: &str) {
        let line = line.trim_end().to_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.last.borrow() + 1;
        kept.bytes += line.len();
        kept.lines.push_back((number, line));
        while MAX_LINES < kept.lines.len() || (MAX_BYTES < kept.bytes && 1 < kept.lines.len()) {
            let Some((_, gone)) = kept.lines.pop_front() else { break };
            kept.bytes -= gone.len();
        }
        drop(kept);
        self.last.send_replace(number);
    }

    fn after(&self, after: u64) -> Vec<LineView> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = kept.lines.iter().filter(|it| after < it.0);
        new.map(|(number, text)| LineView {
            number: *number,
            level: level_of(text),
            text: text.clone(),
        })
        .collect()
    }
}

/// The level that a line names among its first words, or as JSON; none for a further line of what was said before.
fn level_of(line: &str) -> Option<&'static str> {
    let named = match line.starts_with('{') {
        true => serde_json::from_str::<serde_json::Value>(line)
            .ok()
            .and_then(|it| it["level"].as_str().map(str::to_lowercase)),
        false => line.split_whitespace().nth(1).map(str::to_lowercase),
    }?;
    LEVELS.iter().copied().find(|it| *it == named)
}

/// A line of the log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LogLine")]
pub(crate) struct LineView {
    /// Grows by one with each line since the start.
    number: u64,
    level: Option<&'static str>,
    text: String,
}

/// Longest that somebody waits for the next line.
const MAX_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "WhichLogLines")]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLines {
    /// Behind the line with this number.
    #[serde(default)]
    after: u64,
    /// Where there is none yet, the answer comes with the first, or after so many seconds; 60 at most.
    #[serde(default)]
    wait_s: u64,
}

/// The newest lines, the oldest first.
pub(crate) async fn lines(
    State(app): State<App>,
    Query(which): Query<WhichLines>,
) -> Result<Json<Vec<LineView>>, ApiError> {
    let log = filter(&app)?.lines();
    let mut last = log.last.subscribe();
    let wait = Duration::from_secs(which.wait_s).min(MAX_WAIT);
    // Of an earlier start, whose lines are in the file, the number is of no use.
    let after = if *last.borrow() < which.after { 0 } else { which.after };
    let next = last.wait_for(|it| after < *it);
    if !wait.is_zero() && app.gateway.clock().timeout(wait, next).await.is_err() {
        return Ok(Json(Vec::new()));
    }
    Ok(Json(log.after(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept() {
        let log = LogLines::default();
        for n in 0..2_100 {
            log.push(&format!("2026-11-23T10:00:00Z  WARN line {n}\n"));
        }
        let lines = log.after(0);
        assert_eq!((lines.len(), lines[0].number, lines[0].level), (2_000, 101, Some("warn")));
        assert_eq!(log.after(2_099).len(), 1);
        log.push(&"x".repeat(600 * 1024));
        assert_eq!(log.after(0).len(), 1, "one that is too long is kept alone");
        assert_eq!(level_of(r#"{"timestamp":"x","level":"ERROR"}"#), Some("error"));
        assert_eq!(level_of("  further"), None);
    }

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
