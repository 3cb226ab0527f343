//! Parts of an album come as messages of their own. The first waits a little for the others, and so does whatever is
//! written behind it, so that the order of a lane holds.

use std::collections::HashMap;

use ngb_core::{clock::Timestamp, id::LaneId, message::ALBUM_WAIT};

/// Until when lanes wait for the rest of an album. In memory only: after a restart the parts that came are there, and
/// those that come later are a prompt of their own.
#[derive(Debug, Default)]
pub(crate) struct Albums(HashMap<LaneId, Timestamp>);

impl Albums {
    /// When a job that comes `now` is due.
    pub(crate) fn run_at(&mut self, lane: LaneId, is_part: bool, now: Timestamp) -> Timestamp {
        if let Some(until) = self.0.get(&lane).copied().filter(|it| now < *it) {
            return until;
        }
        if !is_part {
            return now;
        }
        self.0.retain(|_, until| now < *until);
        let until = now + ALBUM_WAIT;
        self.0.insert(lane, until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_at_table() {
        let mut albums = Albums::default();
        #[rustfmt::skip]
        let table = [
            // lane, part of an album, comes at, due at
            (1, false,     0,     0),
            (1, true,    100, 1_100),
            (1, true,    900, 1_100),
            (1, false,   950, 1_100),
            (2, false,   950,   950),
            (1, false, 1_100, 1_100),
            (1, true,  1_100, 2_100),
        ];
        for (lane, is_part, now, want) in table {
            let got = albums.run_at(LaneId(lane), is_part, Timestamp(now));
            assert_eq!(got, Timestamp(want), "lane {lane} at {now}");
        }
        assert_eq!(albums.0.len(), 1, "what is over is forgotten");
    }
}
