//! When a task fires: a function of its schedule, the instant it is asked for, and nothing else.
//!
//! All instants are UTC; a cron expression is read in its task's own zone. **Daylight saving**: a wall-clock time that a
//! clock change leaves out fires at the first instant after the change; one that comes twice fires the first time only. An
//! expression whose seconds, minutes or hours are `*` or a step (`*/15`) means "so often" and not "at that time": it fires in
//! both hours of an autumn night, and in none of the missing one.

use std::{fmt, str::FromStr, time::Duration};

use croner::parser::{CronParser, Seconds};
use jiff::{civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Shortest time between two fires. More often is a loop, not a schedule.
pub const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Longest interval: a hundred years are a mistake in the unit.
pub const MAX_INTERVAL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Missed fires that [`Misfire::All`] makes up for at most.
pub const MAX_CATCH_UP: usize = 10;

/// How late a missed fire may still be made up for by [`Misfire::Once`].
pub const MISFIRE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How late a fire may be and still count as on time: a busy second is no misfire.
const ON_TIME: Duration = Duration::from_secs(60);

/// Missed fires that are looked at to tell how many there were; a gateway that was off for a year doesn't count seconds.
const MAX_MISSED: usize = 10_000;

/// When a task fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Five fields (minute, hour, day, month, weekday), or six with seconds first; names, `L`, `#`, `W` as in croner.
    Cron { expression: String, zone: Zone },
    /// Every so often, counted from the fire before.
    Every(Duration),
    /// At one instant.
    Once(Timestamp),
}

/// An IANA time zone, such as `Europe/Berlin`. To have one is to know that it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// What a schedule can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("`{0}` is no cron expression: {1}")]
    Cron(String, String),
    #[error("`{0}` never fires")]
    Never(String),
    #[error("`{0}` fires more often than every {MIN_INTERVAL:?}")]
    TooOften(String),
    #[error("`{0}` is no time zone; name one such as `Europe/Berlin`")]
    Zone(String),
    #[error("an interval is {MIN_INTERVAL:?} at least and a year at most, and this is {0:?}")]
    Interval(Duration),
    #[error("`{0}` has passed")]
    Past(Timestamp),
    #[error(
        "`{0}` is neither an instant such as `2026-12-24T18:00:00Z` nor a time such as `2026-12-24 18:00`"
    )]
    At(String),
    #[error("`{0}` is no kind of schedule; there are cron, interval and once")]
    Kind(String),
    #[error("`{0}` is no interval; write it as `90s`, `15m`, `2h` or `1d`")]
    Every(String),
}

/// What becomes of fires whose time passed while nobody looked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Misfire {
    /// They are left out.
    Skip,
    /// The latest of them is made up for, when it is no older than [`MISFIRE_GRACE`].
    #[default]
    Once,
    /// Each is made up for, [`MAX_CATCH_UP`] at most, the latest ones.
    All,
}

/// What happens when a fire finds the one before still at work.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits.
    Queue,
    /// It takes the place of the one before, which is ended.
    Replace,
}

/// What a look at a task says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The instants that are to be fired now, the oldest first; each names its fire for ever.
    pub slots: Vec<Timestamp>,
    /// Fires that are left out by the misfire policy.
    pub missed: usize,
    /// When to look again; none when it never fires any more.
    pub next: Option<Timestamp>,
}

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// `at` as people there write it, e.g. `2026-03-29 03:00:00 CEST`.
    pub fn show(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(it) => it.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
            Err(_) => at.to_string(),
        }
    }

    /// The instant that `text` names: RFC 3339 with an offset, or a local date and time in this zone. A local time that a
    /// clock change leaves out is moved behind the change, one that comes twice is the first.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::At`] when it is neither.
    pub fn instant(&self, text: &str) -> Result<Timestamp, ScheduleError> {
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Timestamp(at.as_millisecond()));
        }
        let local = text.parse::<civil::DateTime>().ok();
        let zoned = local.and_then(|it| it.to_zoned(self.0.clone()).ok());
        let zoned = zoned.ok_or_else(|| ScheduleError::At(text.to_owned()))?;
        Ok(Timestamp(zoned.timestamp().as_millisecond()))
    }
}

impl FromStr for Zone {
    type Err = ScheduleError;

    fn from_str(s: &str) -> Result<Self, ScheduleError> {
        TimeZone::get(s).map(Self).map_err(|_| ScheduleError::Zone(s.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Schedule {
    /// A cron expression in `zone`.
    ///
    /// # Errors
    ///
    /// When it can't be read, never fires after `now`, or fires more often than [`MIN_INTERVAL`].
    pub fn cron(expression: &str, zone: Zone, now: Timestamp) -> Result<Self, ScheduleError> {
        let expression = expression.trim().to_owned();
        parse(&expression).map_err(|why| ScheduleError::Cron(expression.clone(), why))?;
        let it = Self::Cron { expression: expression.clone(), zone };
        let first = it.next_after(now).ok_or_else(|| ScheduleError::Never(expression.clone()))?;
        // Fires may come in clusters, such as `0,1,2 0 9 * * *`.
        let mut before = first;
        for at in it.fires_after(first).take(120) {
            if at.since(before) < MIN_INTERVAL {
                return Err(ScheduleError::TooOften(expression));
            }
            before = at;
        }
        Ok(it)
    }

    /// Every so often.
    ///
    /// # Errors
    ///
    /// When it is shorter than [`MIN_INTERVAL`] or longer than [`MAX_INTERVAL`].
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        if (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            Ok(Self::Every(interval))
        } else {
            Err(ScheduleError::Interval(interval))
        }
    }

    /// Once, at an instant that is still to come.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Past`] when it is not.
    pub fn once(at: Timestamp, now: Timestamp) -> Result<Self, ScheduleError> {
        if at < now { Err(ScheduleError::Past(at)) } else { Ok(Self::Once(at)) }
    }

    /// The word for its kind, as the original has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cron { .. } => "cron",
            Self::Every(_) => "interval",
            Self::Once(_) => "once",
        }
    }

    /// What stands beside the kind: the expression, the interval (`90s`), the instant.
    pub fn value(&self) -> String {
        match self {
            Self::Cron { expression, .. } => expression.clone(),
            Self::Every(it) => interval(*it),
            Self::Once(at) => at.to_string(),
        }
    }

    /// The zone that its expression is read in.
    pub fn zone(&self) -> Zone {
        match self {
            Self::Cron { zone, .. } => zone.clone(),
            Self::Every(_) | Self::Once(_) => Zone::utc(),
        }
    }

    /// A schedule that was stored; unlike a new one it may lie in the past.
    ///
    /// # Errors
    ///
    /// When the words are not those of [`Schedule::kind`] and [`Schedule::value`].
    pub fn stored(kind: &str, value: &str, zone: &str) -> Result<Self, ScheduleError> {
        match kind {
            "cron" => {
                parse(value).map_err(|why| ScheduleError::Cron(value.to_owned(), why))?;
                Ok(Self::Cron { expression: value.to_owned(), zone: zone.parse()? })
            }
            "interval" => Ok(Self::Every(parse_interval(value)?)),
            "once" => Ok(Self::Once(Zone::utc().instant(value)?)),
            other => Err(ScheduleError::Kind(other.to_owned())),
        }
    }

    /// The first fire after `at`. An interval counts from `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { expression, zone } => {
                let from = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.0.clone());
                let next = parse(expression).ok()?.find_next_occurrence(&from, false).ok()?;
                Some(Timestamp(next.timestamp().as_millisecond()))
            }
            Self::Every(interval) => Some(at + *interval),
            Self::Once(once) => (at < *once).then_some(*once),
        }
    }

    /// The fires after `at`, in their order.
    pub fn fires_after(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(at), |before| self.next_after(*before))
    }

    /// What is to be fired at `now` by a task whose next fire was to be at `next`.
    ///
    /// An interval keeps its beat: after a gap it goes on at the multiples of what went before.
    pub fn due(&self, next: Timestamp, now: Timestamp, misfire: Misfire) -> Due {
        if now < next {
            return Due { slots: Vec::new(), missed: 0, next: Some(next) };
        }
        let mut passed: Vec<Timestamp> = std::iter::once(next)
            .chain(self.fires_after(next))
            .take_while(|at| *at <= now)
            .take(MAX_MISSED)
            .collect();
        let last = passed[passed.len() - 1];
        let next = match self.next_after(last) {
            // There were more of them than anybody counts.
            Some(at) if at <= now => self.next_after(now),
            other => other,
        };
        let all = passed.len();
        let keep = |late: Duration| move |at: &Timestamp| now.since(*at) <= late;
        let slots: Vec<Timestamp> = match misfire {
            Misfire::Skip => passed.split_off(all - 1).into_iter().filter(keep(ON_TIME)).collect(),
            Misfire::Once => {
                passed.split_off(all - 1).into_iter().filter(keep(MISFIRE_GRACE)).collect()
            }
            Misfire::All => passed.split_off(all.saturating_sub(MAX_CATCH_UP)),
        };
        Due { missed: all - slots.len(), slots, next }
    }
}

fn parse(expression: &str) -> Result<croner::Cron, String> {
    // `@daily` and its like are understood; a year would make seven fields.
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    parser.parse(expression).map_err(|err| err.to_string())
}

/// `90s`, `15m`, `2h`, `1d`: in the largest unit that leaves no rest.
fn interval(it: Duration) -> String {
    let seconds = it.as_secs();
    match [(86_400, "d"), (3_600, "h"), (60, "m")]
        .iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// An interval as the original writes it: a number with `s`, `m`, `h` or `d`; a bare number is seconds.
///
/// # Errors
///
/// [`ScheduleError::Every`] when it is none.
pub fn parse_interval(text: &str) -> Result<Duration, ScheduleError> {
    let text = text.trim();
    let bad = || ScheduleError::Every(text.to_owned());
    let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let n: u64 = digits.parse().map_err(|_| bad())?;
    n.checked_mul(unit).map(Duration::from_secs).ok_or_else(bad)
}

macro_rules! words {
    ($kind:ident { $($variant:ident => $word:literal),+ }) => {
        impl $kind {
            /// The word it is stored and written under.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $kind {
            type Err = UnknownWord;

            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                match s {
                    $($word => Ok(Self::$variant),)+
                    other => Err(UnknownWord { word: other.to_owned(), known: &[$($word),+] }),
                }
            }
        }
    };
}

words!(Misfire { Skip => "skip", Once => "once", All => "all" });
words!(Overlap { Skip => "skip", Queue => "queue", Replace => "replace" });

/// A word that is none of those there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown word `{word}`; known: {}", known.join(", "))]
pub struct UnknownWord {
    word: String,
    known: &'static [&'static str],
}

#[cfg(test)]
mod tests;
