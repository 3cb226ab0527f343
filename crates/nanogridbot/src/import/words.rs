//! The other programs' words for chats, people, times and triggers, in ours.

use std::time::Duration;

use ngb_core::{
    address::Jid,
    clock::Timestamp,
    group::{Engage, FolderName},
    schedule::{Schedule, Zone, parse_interval},
};
use serde_json::{Map, Value};

use super::NOTE;
use crate::declare::{Binding, Task};

/// A row of a database of theirs.
pub(super) type Row = Map<String, Value>;

/// The text of a column, or nothing.
pub(super) fn text<'a>(row: &'a Row, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a column is set: 1, or a number that is not 0.
pub(super) fn is_set(row: &Row, key: &str) -> bool {
    row.get(key).and_then(Value::as_i64).is_some_and(|it| it != 0)
}

/// Their folder as ours: all in small letters.
pub(super) fn folder(theirs: &str) -> String {
    let small = theirs.to_lowercase();
    small.parse().unwrap_or_else(|_| FolderName::like(theirs)).to_string()
}

/// A chat of theirs.
///
/// # Errors
///
/// Why there is none of ours.
pub(super) fn chat(theirs: &str) -> Result<String, String> {
    let (channel, id) = match theirs.split_once(':') {
        Some((channel, id)) => (channel, id),
        None if theirs.ends_with("@g.us") => {
            return Err("WhatsApp's Cloud API, which is used here, has no groups".to_owned());
        }
        None => match theirs.strip_suffix("@s.whatsapp.net") {
            Some(number) => ("whatsapp", number),
            None => return Err("it is not known on which platform it is".to_owned()),
        },
    };
    let id = id.trim_end_matches("@s.whatsapp.net");
    let jid = match channel {
        "tg" | "telegram" => format!("telegram@main:{id}"),
        // `channel:ID`, or the server before it.
        "dc" | "discord" => format!("discord@main:{}", id.rsplit(':').next().unwrap_or(id)),
        "whatsapp" | "phone" if id.ends_with("@g.us") => {
            return Err("WhatsApp's Cloud API, which is used here, has no groups".to_owned());
        }
        "whatsapp" | "phone" => format!("whatsapp@main:+{}", id.trim_start_matches('+')),
        "slack" | "feishu" | "wecom" | "dingtalk" | "qq" => format!("{channel}@main:{id}"),
        other => return Err(format!("the platform `{other}` is not known here")),
    };
    jid.parse::<Jid>().map(|it| it.to_string()).map_err(|err| err.to_string())
}

/// A person of theirs, as `<channel>@<account>#<id>`.
pub(super) fn person(theirs: &str) -> Result<String, String> {
    // A person's id is written like a chat with them.
    let jid = chat(theirs)?;
    jid.split_once(':')
        .map(|(account, id)| format!("{account}#{id}"))
        .ok_or_else(|| "it has no id".to_owned())
}

/// When a bound chat engages, by their pattern; what they write like `@Andy` is said at the beginning, in any case.
pub(super) fn engage(pattern: &str, binding: &mut Binding) -> Result<(), String> {
    let plain = pattern.strip_prefix('@').filter(|it| it.chars().all(char::is_alphanumeric));
    let regex = plain.map_or_else(|| pattern.to_owned(), |name| format!(r"(?i)^@{name}\b"));
    Engage::from_parts("trigger", Some(&regex)).map_err(|err| err.to_string())?;
    binding.engage = "trigger".to_owned();
    binding.pattern = Some(regex);
    Ok(())
}

/// An instant of theirs: with a zone, or in that of the machine that it was written on.
pub(super) fn instant(theirs: &str, zone: &Zone) -> Option<Timestamp> {
    zone.instant(theirs).or_else(|_| zone.instant(&theirs.replacen(' ', "T", 1))).ok()
}

/// The unit of an interval that is only a number.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

/// A task of theirs, paused; `kind` and `value` are their schedule, `unit` that of their intervals.
///
/// # Errors
///
/// Why it can't be one of ours.
pub(super) fn task(
    group: String,
    prompt: &str,
    (kind, value, unit): (&str, &str, Unit),
    zone: &Zone,
) -> Result<Task, String> {
    let now = ngb_core::clock::Clock::System.now();
    let schedule = match (kind, value.parse::<u64>(), unit) {
        ("interval", Ok(ms), Unit::Milliseconds) => Schedule::every(Duration::from_millis(ms)),
        ("interval", ..) => parse_interval(value).and_then(Schedule::every),
        ("cron", ..) => Schedule::cron(value, zone.clone(), now),
        ("once", ..) => {
            let at = instant(value, zone).ok_or_else(|| format!("`{value}` is no time"))?;
            Schedule::once(at, now)
        }
        (other, ..) => return Err(format!("its schedule is `{other}`")),
    };
    let schedule = schedule.map_err(|err| err.to_string())?;
    if prompt.trim().is_empty() {
        return Err("it says nothing".to_owned());
    }
    Ok(Task {
        group,
        prompt: prompt.to_owned(),
        schedule_type: schedule.kind().to_owned(),
        schedule_value: schedule.value(),
        zone: Some(schedule.zone().name().to_owned()),
        does: "think".to_owned(),
        context_mode: "group".to_owned(),
        chat: None,
        thread: None,
        misfire: ngb_core::schedule::Misfire::default(),
        overlap: ngb_core::schedule::Overlap::default(),
        jitter_s: 0,
        role: ngb_core::role::Role::Member,
        paused: true,
        note: Some(NOTE.to_owned()),
    })
}

/// The zone that their times are in: `TZ` of their `.env`, else this machine's.
pub(super) fn zone(env: &str) -> Zone {
    let set = env
        .lines()
        .find_map(|it| it.trim().strip_prefix("TZ="))
        .map(|it| it.trim_matches(['"', '\'', ' ']));
    let named = set.and_then(|it| it.parse().ok());
    let system = || jiff::tz::TimeZone::system().iana_name().and_then(|it| it.parse().ok());
    named.or_else(system).unwrap_or_else(Zone::utc)
}

/// What of their settings is a secret that must be given anew: only its name is said.
pub(super) fn tokens(env: &str) -> Vec<String> {
    let is_secret =
        |name: &str| ["TOKEN", "SECRET", "KEY", "PASSWORD"].iter().any(|it| name.ends_with(it));
    let names = env
        .lines()
        .filter_map(|it| it.split_once('='))
        .map(|it| it.0.trim().trim_start_matches("export "));
    names.filter(|it| !it.starts_with('#') && is_secret(it)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_chats() {
        let table = [
            ("tg:-100123", Ok("telegram@main:-100123")),
            ("telegram:42", Ok("telegram@main:42")),
            ("dc:99", Ok("discord@main:99")),
            ("discord:channel:99", Ok("discord@main:99")),
            ("slack:C123", Ok("slack@main:C123")),
            ("4915112345@s.whatsapp.net", Ok("whatsapp@main:+4915112345")),
            ("whatsapp:+4915112345", Ok("whatsapp@main:+4915112345")),
            ("12036@g.us", Err("has no groups")),
            ("signal:1", Err("`signal` is not known")),
            ("x", Err("not known on which platform")),
        ];
        for (theirs, want) in table {
            match (chat(theirs), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{theirs}: {got}"),
                (got, _) => panic!("{theirs}: {got:?}"),
            }
        }
        assert_eq!(person("telegram:7").as_deref(), Ok("telegram@main#7"));
    }

    #[test]
    fn their_schedules() {
        let of = |kind, value, unit| {
            let task =
                task("g".into(), "x", (kind, value, unit), &"Europe/Berlin".parse().unwrap());
            task.map(|it| (it.schedule_value, it.zone.unwrap_or_default()))
        };
        let is = |value: &str, zone: &str| Ok((value.to_owned(), zone.to_owned()));
        assert_eq!(of("interval", "3600000", Unit::Milliseconds), is("1h", "UTC"));
        assert_eq!(of("interval", "3600", Unit::Seconds), is("1h", "UTC"));
        assert_eq!(of("interval", "2h", Unit::Seconds), is("2h", "UTC"));
        assert_eq!(of("cron", "0 9 * * *", Unit::Seconds), is("0 9 * * *", "Europe/Berlin"));
        let once = of("once", "2099-07-01 09:00:00", Unit::Seconds).unwrap().0;
        assert!(once.starts_with("2099-07-01T07:00:00"), "{once}");
        assert!(of("interval", "soon", Unit::Seconds).is_err());
    }
}
