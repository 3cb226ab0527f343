//! How full lanes are, so that one that holds as many messages as it may refuses the next.

use std::collections::HashMap;

use ngb_core::{clock::Timestamp, id::LaneId};

use crate::{StoreError, db::Tx, sql::sql};

/// How often a chat is told that its lane is full, in milliseconds: a flood must not be answered by another.
const TELL_EVERY_MS: i64 = 60_000;

/// Messages that came into lanes since somebody counted what waits there. What was there before this process came is
/// found at the first count, so a lane may hold twice its cap once after a restart.
#[derive(Debug, Default)]
pub(crate) struct Fullness {
    since: HashMap<LaneId, u32>,
    told: HashMap<LaneId, Timestamp>,
}

/// A message that finds its lane full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) waiting: u32,
    /// Whether the chat is to be told.
    pub(crate) tell: bool,
}

impl Fullness {
    pub(crate) fn trim(&mut self, max: usize) {
        if max < self.since.len() {
            self.since.clear();
        }
        if max < self.told.len() {
            self.told.clear();
        }
    }

    fn tell(&mut self, lane: LaneId, now: Timestamp) -> bool {
        let told = self.told.get(&lane).is_some_and(|it| now.0 - it.0 < TELL_EVERY_MS);
        if !told {
            self.told.insert(lane, now);
        }
        !told
    }
}

/// Takes note of one more message in a lane that may hold `max`; says so when it is full. It counts only when as many
/// came as would fill it. `unwritten` of its messages are on their way and not in the table yet.
pub(crate) async fn one_more(
    tx: &mut Tx,
    lane: LaneId,
    unwritten: u32,
    max: u32,
    now: Timestamp,
) -> Result<Option<Full>, StoreError> {
    let since = tx.cache.fullness.since.entry(lane).or_default();
    *since = since.saturating_add(1);
    if *since <= max {
        return Ok(None);
    }
    let text = "SELECT count(*) AS n FROM (SELECT id FROM jobs
                    WHERE lane_id = $1 AND state = 'queued' AND kind = 'message' LIMIT $2) AS w";
    let row = tx.row(sql("count what waits in a lane", text).bind(lane).bind(max)).await?;
    let waiting = unwritten + row.map_or(Ok(0), |it| it.small("n"))?;
    if waiting < max {
        tx.cache.fullness.since.insert(lane, waiting + 1);
        return Ok(None);
    }
    let tell = tx.cache.fullness.tell(lane, now);
    Ok(Some(Full { waiting, tell }))
}
