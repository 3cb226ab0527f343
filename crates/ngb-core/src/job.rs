//! The life of a job, as data. Every rule here is a function of its arguments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Retries that a job gets after a passing failure, before it is given up.
pub const MAX_RETRIES: u32 = 5;

/// How often the gateway may die while a job runs, before the job is given up.
pub const MAX_GATEWAY_DEATHS: u32 = 10;

/// Wait before the first retry, unless the settings say another; it doubles for each one after, up to [`MAX_BACKOFF`].
pub const BASE_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// ```text
/// Queued ──claim──▶ Running ──ok──▶ Done
///    ▲                 │
///    └──retry / death──┤
///                      └──gave up──▶ Dead
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    Queued { run_at: Timestamp },
    Running,
    Done,
    Dead { reason: String },
    Cancelled,
}

impl JobState {
    /// The word it is stored under.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead { .. } => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How one run ended, for the jobs that it carried and that it did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "reason", rename_all = "snake_case")]
pub enum RunEnd {
    /// It answered.
    Ok,
    /// Somebody stopped it.
    Interrupted,
    /// Worth another try: the sandbox died, the network was down.
    Passing(String),
    /// Trying again can't help: the key was refused, the prompt is too large.
    Permanent(String),
    /// The gateway died, which is no failure of the job.
    GatewayDied,
}

/// How often a job has failed so far, and by whose fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    pub failures: u32,
    pub gateway_deaths: u32,
}

/// What follows from the end of a run: the job's next state and its new count.
///
/// `base` is the first wait ([`BASE_BACKOFF`] unless set).
pub fn after_run(tries: Tries, end: RunEnd, now: Timestamp, base: Duration) -> (JobState, Tries) {
    match end {
        RunEnd::Ok => (JobState::Done, tries),
        RunEnd::Interrupted => (JobState::Cancelled, tries),
        RunEnd::Permanent(reason) => (JobState::Dead { reason }, tries),
        RunEnd::Passing(reason) => {
            let failures = tries.failures.saturating_add(1);
            let state = if MAX_RETRIES < failures {
                JobState::Dead { reason: format!("gave up after {MAX_RETRIES} retries: {reason}") }
            } else {
                JobState::Queued { run_at: now + backoff(failures, base) }
            };
            (state, Tries { failures, ..tries })
        }
        RunEnd::GatewayDied => {
            let gateway_deaths = tries.gateway_deaths.saturating_add(1);
            let state = if MAX_GATEWAY_DEATHS <= gateway_deaths {
                let reason = format!("the gateway died {gateway_deaths} times while this ran");
                JobState::Dead { reason }
            } else {
                JobState::Queued { run_at: now }
            };
            (state, Tries { gateway_deaths, ..tries })
        }
    }
}

/// `base`, twice that, four times … at most ten minutes.
pub fn backoff(failures: u32, base: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    base.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_run_table() {
        let now = Timestamp(1_000);
        let flaky = || RunEnd::Passing("sandbox died".into());
        let tries = |failures, gateway_deaths| Tries { failures, gateway_deaths };
        let dead = |reason: &str| JobState::Dead { reason: reason.into() };
        let queued = |ms| JobState::Queued { run_at: Timestamp(ms) };
        #[rustfmt::skip]
        let table = [
            (tries(0, 0), RunEnd::Ok,                           JobState::Done,      tries(0, 0)),
            (tries(0, 0), RunEnd::Interrupted,                  JobState::Cancelled, tries(0, 0)),
            (tries(0, 0), flaky(),                              queued(6_000),       tries(1, 0)),
            (tries(2, 0), flaky(),                              queued(21_000),      tries(3, 0)),
            (tries(4, 0), flaky(),                              queued(81_000),      tries(5, 0)),
            (tries(5, 0), flaky(),                              dead("gave up after 5 retries: sandbox died"), tries(6, 0)),
            (tries(0, 0), RunEnd::Permanent("no key".into()),   dead("no key"),      tries(0, 0)),
            (tries(3, 4), RunEnd::GatewayDied,                  queued(1_000),       tries(3, 5)),
            (tries(0, 9), RunEnd::GatewayDied,                  dead("the gateway died 10 times while this ran"), tries(0, 10)),
        ];
        for (before, end, want, after) in table {
            let got = after_run(before, end.clone(), now, BASE_BACKOFF);
            assert_eq!(got, (want, after), "{before:?}, {end:?}");
        }
    }

    #[test]
    fn backoff_is_capped() {
        assert_eq!(backoff(u32::MAX, BASE_BACKOFF), MAX_BACKOFF);
    }
}
