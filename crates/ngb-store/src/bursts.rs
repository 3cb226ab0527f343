//! Bursts: the first message of one waits a little for the others, and so does whatever is written behind it, so that the
//! order of a lane holds. An album is a burst; what else is one, the binding says.

use std::{collections::HashMap, time::Duration};

use ngb_core::{clock::Timestamp, id::LaneId};

/// Until when lanes wait for the rest of a burst. In memory only: after a restart the parts that came are there, and
/// those that come later are a prompt of their own.
#[derive(Debug, Default)]
pub(crate) struct Bursts(HashMap<LaneId, Timestamp>);

impl Bursts {
    /// When a job that comes `now` is due, if it waits so long for others.
    pub(crate) fn run_at(&mut self, lane: LaneId, wait: Duration, now: Timestamp) -> Timestamp {
        if let Some(until) = self.0.get(&lane).copied().filter(|it| now < *it) {
            return until;
        }
        if wait.is_zero() {
            return now;
        }
        self.0.retain(|_, until| now < *until);
        let until = now + wait;
        self.0.insert(lane, until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_at_table() {
        let mut bursts = Bursts::default();
        #[rustfmt::skip]
        let table = [
            // lane, waits, comes at, due at
            (1,     0,     0,     0),
            (1, 1_000,   100, 1_100),
            (1, 1_000,   900, 1_100),
            (1,     0,   950, 1_100),
            (2,     0,   950,   950),
            (1,     0, 1_100, 1_100),
            (1, 1_000, 1_100, 2_100),
        ];
        for (lane, wait, now, want) in table {
            let got = bursts.run_at(LaneId(lane), Duration::from_millis(wait), Timestamp(now));
            assert_eq!(got, Timestamp(want), "lane {lane} at {now}");
        }
        assert_eq!(bursts.0.len(), 1, "what is over is forgotten");
    }
}
