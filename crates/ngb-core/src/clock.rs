//! The one place for time. Nothing else reads the machine's clock or sleeps.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A day without leap seconds, in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Timestamp {
    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// When its day began, in UTC.
    pub fn day_start(self) -> Self {
        Self(self.0.div_euclid(DAY_MS) * DAY_MS)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds; an instant outside the years 1 to 9999 is shown as its number.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(it) => write!(f, "{it:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Where "now" comes from: the machine, or a test.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual(watch::Receiver<Timestamp>),
}

/// The time that was given ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {0:?}")]
pub struct TimedOut(pub Duration);

impl Clock {
    /// A clock that moves only when the returned sender moves it.
    pub fn manual(start: Timestamp) -> (watch::Sender<Timestamp>, Self) {
        let (hand, face) = watch::channel(start);
        (hand, Self::Manual(face))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::default() + since
            }
            Self::Manual(face) => *face.borrow(),
        }
    }

    /// Returns once `wait` has passed on this clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub async fn sleep(&self, wait: Duration) {
        match self {
            Self::System => tokio::time::sleep(wait).await,
            Self::Manual(face) => {
                let at = self.now() + wait;
                // An error means the test dropped the hand: time has stopped.
                if face.clone().wait_for(|now| at <= *now).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Returns once `now() >= at`; at once if that is already so.
    ///
    /// A long wait is taken in steps of a minute at most, so that a clock that is set, or a machine that slept, delays
    /// nothing by more than that.
    pub async fn sleep_until(&self, at: Timestamp) {
        const STEP: Duration = Duration::from_secs(60);
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            self.sleep(left.min(STEP)).await;
        }
    }

    /// What `work` returns, unless `limit` passes first.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, TimedOut> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.sleep(limit) => Err(TimedOut(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_wakes_sleepers_when_moved() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let mut nap = tokio_test::task::spawn(clock.sleep_until(Timestamp(60_000)));
        assert!(nap.poll().is_pending());
        hand.send_modify(|now| *now = *now + Duration::from_secs(60));
        assert!(nap.is_woken());
        assert!(nap.poll().is_ready());
        assert_eq!(clock.now(), Timestamp(60_000));
    }

    #[test]
    fn a_timeout_ends_with_the_clock() {
        let (hand, clock) = Clock::manual(Timestamp(0));
        let limit = Duration::from_secs(1);
        let mut slow = tokio_test::task::spawn(clock.timeout(limit, std::future::pending::<()>()));
        assert!(slow.poll().is_pending());
        hand.send_modify(|now| *now = *now + limit);
        assert_eq!(slow.poll(), std::task::Poll::Ready(Err(TimedOut(limit))));
    }

    #[test]
    fn shown_in_utc() {
        #[rustfmt::skip]
        let table = [
            (0,                    "1970-01-01T00:00:00.000Z"),
            (1_795_365_000_042,    "2026-11-22T16:30:00.042Z"),
            (i64::MAX,             "9223372036854775807 ms"),
        ];
        for (ms, want) in table {
            assert_eq!(Timestamp(ms).to_string(), want);
        }
    }
}
