//! Tests of `schedule`.

use super::*;

fn at(text: &str) -> Timestamp {
    Zone::utc().instant(text).unwrap()
}

/// The next fires of a cron expression, in UTC without the year's and the milliseconds' noise.
fn fires(expression: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let after = at(after);
    let schedule = Schedule::cron(expression, zone.parse().unwrap(), after).unwrap();
    schedule.fires_after(after).take(n).map(|it| it.to_string()[..16].to_owned()).collect()
}

#[test]
fn cron_table() {
    let now = "2026-11-22T12:00:00Z";
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        ("0 9 * * *",        "UTC",              &["2026-11-23T09:00", "2026-11-24T09:00"]),
        ("0 9 * * MON-FRI",  "UTC",              &["2026-11-23T09:00", "2026-11-24T09:00"]),
        ("30 0 9 * * *",     "UTC",              &["2026-11-23T09:00", "2026-11-24T09:00"]),
        ("0 9 L * *",        "UTC",              &["2026-11-30T09:00", "2026-12-31T09:00"]),
        ("0 9 * * MON#1",    "UTC",              &["2026-12-07T09:00", "2027-01-04T09:00"]),
        ("0 9 29 2 *",       "UTC",              &["2028-02-29T09:00", "2032-02-29T09:00"]),
        ("0 9 * * *",        "Asia/Shanghai",    &["2026-11-23T01:00", "2026-11-24T01:00"]),
        ("0 9 1 JAN *",      "America/New_York", &["2027-01-01T14:00", "2028-01-01T14:00"]),
        ("*/30 * * * *",     "UTC",              &["2026-11-22T12:30", "2026-11-22T13:00"]),
    ];
    for (expression, zone, want) in table {
        assert_eq!(fires(expression, zone, now, want.len()), *want, "{expression} in {zone}");
    }
}

/// Both changes, in both hemispheres.
#[test]
fn daylight_saving_table() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, &[&str])] = &[
        // Berlin, 2026-03-29: 02:00 becomes 03:00. 02:30 doesn't exist: it fires at 03:00 (01:00 UTC), once.
        ("30 2 * * *",  "Europe/Berlin",    "2026-03-28T12:00:00Z", &["2026-03-29T01:00", "2026-03-30T00:30"]),
        // Berlin, 2026-10-25: 03:00 becomes 02:00. 02:30 comes twice: it fires the first time (00:30 UTC).
        ("30 2 * * *",  "Europe/Berlin",    "2026-10-24T12:00:00Z", &["2026-10-25T00:30", "2026-10-26T01:30"]),
        // So often: in both hours, and in none of the missing one.
        ("30 * * * *",  "Europe/Berlin",    "2026-10-24T23:45:00Z", &["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        ("30 * * * *",  "Europe/Berlin",    "2026-03-29T00:00:00Z", &["2026-03-29T00:30", "2026-03-29T01:30"]),
        // Sydney, 2026-10-04: 02:00 becomes 03:00; 2026-04-05: 03:00 becomes 02:00.
        ("30 2 * * *",  "Australia/Sydney", "2026-10-03T12:00:00Z", &["2026-10-03T16:00", "2026-10-04T15:30"]),
        ("30 2 * * *",  "Australia/Sydney", "2026-04-04T12:00:00Z", &["2026-04-04T15:30", "2026-04-05T16:30"]),
    ];
    for (expression, zone, after, want) in table {
        assert_eq!(
            fires(expression, zone, after, want.len()),
            *want,
            "{expression} in {zone} after {after}"
        );
    }
}

#[test]
fn what_is_no_schedule_is_refused() {
    let now = at("2026-11-22T12:00:00Z");
    let cron = |it: &str| Schedule::cron(it, Zone::utc(), now).unwrap_err();
    assert!(matches!(cron("often"), ScheduleError::Cron(..)));
    assert!(matches!(cron("61 * * * *"), ScheduleError::Cron(..)));
    assert_eq!(cron("0 0 31 2 *"), ScheduleError::Never("0 0 31 2 *".to_owned()));
    assert_eq!(cron("* * * * * *"), ScheduleError::TooOften("* * * * * *".to_owned()));
    assert_eq!(cron("0,1 0 9 * * *"), ScheduleError::TooOften("0,1 0 9 * * *".to_owned()));
    assert!(matches!("Mars/Olympus".parse::<Zone>(), Err(ScheduleError::Zone(_))));
    assert!(Schedule::every(Duration::ZERO).is_err());
    assert!(Schedule::every(MAX_INTERVAL * 2).is_err());
    assert!(Schedule::once(at("2026-11-22T11:59:59Z"), now).is_err());
    for text in ["", "m", "5x", "-5m", "99999999999999999999s", "18446744073709551615d"] {
        assert!(parse_interval(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_stored_is_read_back() {
    let now = at("2026-11-22T12:00:00Z");
    let all = [
        Schedule::cron("0 9 * * MON", "Asia/Shanghai".parse().unwrap(), now).unwrap(),
        Schedule::every(Duration::from_secs(90)).unwrap(),
        Schedule::every(Duration::from_secs(7_200)).unwrap(),
        Schedule::once(now + Duration::from_millis(1), now).unwrap(),
    ];
    for it in all {
        let back = Schedule::stored(it.kind(), &it.value(), it.zone().name());
        assert_eq!(back, Ok(it));
    }
}

#[test]
fn due_table() {
    let minutes = |n: i64| Timestamp(n * 60_000);
    let hourly = Schedule::every(Duration::from_secs(3_600)).unwrap();
    let once = Schedule::Once(minutes(60));
    let due = |slots: &[i64], missed, next: Option<i64>| Due {
        slots: slots.iter().map(|it| minutes(*it)).collect(),
        missed,
        next: next.map(minutes),
    };
    #[rustfmt::skip]
    let table = [
        // Not yet.
        (&hourly, 60, 59,        Misfire::Once, due(&[],               0, Some(60))),
        // On time, whatever the policy.
        (&hourly, 60, 60,        Misfire::Skip, due(&[60],             0, Some(120))),
        (&hourly, 60, 60,        Misfire::Once, due(&[60],             0, Some(120))),
        // It was off for three hours: the beat stays.
        (&hourly, 60, 200,       Misfire::Skip, due(&[],               3, Some(240))),
        (&hourly, 60, 200,       Misfire::Once, due(&[180],            2, Some(240))),
        (&hourly, 60, 200,       Misfire::All,  due(&[60, 120, 180],   0, Some(240))),
        // No more than ten of a thousand.
        (&hourly, 60, 60 * 1000, Misfire::All,
            due(&[59_460, 59_520, 59_580, 59_640, 59_700, 59_760, 59_820, 59_880, 59_940, 60_000], 990, Some(60_060))),
        // A reminder that is a little late is worth it; one of two days ago isn't.
        (&once,   60, 600,       Misfire::Once, due(&[60],             0, None)),
        (&once,   60, 60 * 49,   Misfire::Once, due(&[],               1, None)),
        (&once,   60, 60 * 49,   Misfire::All,  due(&[60],             0, None)),
    ];
    for (schedule, next, now, misfire, want) in table {
        let got = schedule.due(minutes(next), minutes(now), misfire);
        assert_eq!(got, want, "{schedule:?} at {now} min, {misfire:?}");
    }
}

#[test]
fn a_year_of_missed_seconds_is_not_counted_for_ever() {
    let often = Schedule::every(MIN_INTERVAL).unwrap();
    let year = Timestamp(365 * 24 * 3_600_000);
    let got = often.due(Timestamp(0), year, Misfire::Once);
    assert!(year < got.next.unwrap());
    assert!(got.next.unwrap().since(year) <= MIN_INTERVAL);
}

#[test]
fn a_time_of_day_is_the_zones() {
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    assert_eq!(berlin.instant("2026-12-24 18:00").unwrap(), at("2026-12-24T17:00:00Z"));
    assert_eq!(berlin.instant("2026-12-24T18:00:00Z").unwrap(), at("2026-12-24T18:00:00Z"));
    assert_eq!(berlin.show(at("2026-12-24T17:00:00Z")), "2026-12-24 18:00:00 CET");
    assert!(berlin.instant("tomorrow").is_err());
}
