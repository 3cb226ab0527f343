//! When a conversation begins anew by itself: a pure decision.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    clock::Timestamp,
    schedule::{Schedule, Zone, parse_interval},
};

/// Shortest idle time; less would end a conversation between a question and the next.
const MIN_IDLE: Duration = Duration::from_secs(60);

/// When the next message begins a new session. What the agent remembers stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reset {
    #[default]
    Never,
    /// Once that time of the day has passed since the last answer, in the gateway's zone.
    Daily { hour: u8, minute: u8 },
    /// Once the last answer is so old.
    Idle { minutes: u32 },
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no rule for new conversations; write `never`, `daily 04:00` or `idle 2h`")]
pub struct BadReset(String);

impl FromStr for Reset {
    type Err = BadReset;

    fn from_str(s: &str) -> Result<Self, BadReset> {
        let bad = || BadReset(s.chars().take(40).collect());
        let words: Vec<&str> = s.split_whitespace().collect();
        match words[..] {
            ["never"] => Ok(Self::Never),
            ["daily"] => Ok(Self::Daily { hour: 0, minute: 0 }),
            ["daily", at] => {
                let (hour, minute) = at.split_once(':').ok_or_else(bad)?;
                let digits = |it: &str| it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit());
                if !digits(hour) || !digits(minute) {
                    return Err(bad());
                }
                let (hour, minute): (u8, u8) =
                    (hour.parse().map_err(|_| bad())?, minute.parse().map_err(|_| bad())?);
                if 23 < hour || 59 < minute {
                    return Err(bad());
                }
                Ok(Self::Daily { hour, minute })
            }
            ["idle", after] => {
                let after = parse_interval(after).map_err(|_| bad())?;
                if after < MIN_IDLE {
                    return Err(bad());
                }
                let minutes = u32::try_from(after.as_secs().div_ceil(60)).map_err(|_| bad())?;
                Ok(Self::Idle { minutes })
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Reset {
    type Error = BadReset;

    fn try_from(s: String) -> Result<Self, BadReset> {
        s.parse()
    }
}

impl From<Reset> for String {
    fn from(it: Reset) -> Self {
        it.to_string()
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Daily { hour, minute } => write!(f, "daily {hour:02}:{minute:02}"),
            Self::Idle { minutes } if minutes % 60 == 0 => write!(f, "idle {}h", minutes / 60),
            Self::Idle { minutes } => write!(f, "idle {minutes}m"),
        }
    }
}

impl schemars::JsonSchema for Reset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Reset".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let says =
            "When a conversation begins anew by itself: `never`, `daily 04:00` or `idle 2h`.";
        schemars::json_schema!({ "type": "string", "description": says })
    }
}

impl Reset {
    /// Whether a conversation whose last answer was given at `last` is over at `now`.
    pub fn is_over(&self, last: Timestamp, now: Timestamp, zone: &Zone) -> bool {
        match self {
            Self::Never => false,
            Self::Idle { minutes } => {
                Duration::from_secs(u64::from(*minutes) * 60) <= now.since(last)
            }
            Self::Daily { hour, minute } => {
                let every_day = format!("{minute} {hour} * * *");
                let Ok(days) = Schedule::cron(&every_day, zone.clone(), last) else { return false };
                days.next_after(last).is_some_and(|it| it <= now)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_table() {
        #[rustfmt::skip]
        let table = [
            ("never",       Some("never")),
            ("daily",       Some("daily 00:00")),
            ("daily 04:30", Some("daily 04:30")),
            ("idle 90m",    Some("idle 90m")),
            ("idle 2h",     Some("idle 2h")),
            ("idle 10s",    None),
            ("idle",        None),
            ("daily 24:00", None),
            ("daily 4",     None),
            ("daily +4:00", None),
            ("always",      None),
            ("",            None),
        ];
        for (text, want) in table {
            let got = text.parse::<Reset>();
            assert_eq!(got.as_ref().ok().map(ToString::to_string).as_deref(), want, "{text}");
            if let Ok(it) = got {
                assert_eq!(it.to_string().parse(), Ok(it), "{text}");
            }
        }
    }

    #[test]
    fn over_table() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| zone.instant(text).unwrap();
        #[rustfmt::skip]
        let table = [
            ("never",       "2026-11-01 10:00", "2027-11-01 10:00", false),
            ("idle 2h",     "2026-11-23 10:00", "2026-11-23 11:59", false),
            ("idle 2h",     "2026-11-23 10:00", "2026-11-23 12:00", true),
            ("daily 04:00", "2026-11-23 10:00", "2026-11-23 23:59", false),
            ("daily 04:00", "2026-11-23 10:00", "2026-11-24 03:59", false),
            ("daily 04:00", "2026-11-23 10:00", "2026-11-24 04:00", true),
            ("daily 04:00", "2026-11-24 03:00", "2026-11-24 04:30", true),
            ("daily 04:00", "2026-11-24 04:00", "2026-11-24 04:30", false),
            // Clocks go forward and back in between.
            ("daily 02:30", "2026-03-28 12:00", "2026-03-29 12:00", true),
            ("daily 02:30", "2026-10-24 12:00", "2026-10-25 12:00", true),
        ];
        for (rule, last, now, want) in table {
            let rule: Reset = rule.parse().unwrap();
            assert_eq!(rule.is_over(at(last), at(now), &zone), want, "{rule}: {last} to {now}");
        }
    }
}
