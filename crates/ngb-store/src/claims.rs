//! Which run comes next: the group that was served longest ago, in it the lane that waits longest.
//!
//! Dispatch reads lanes, never jobs: a lane's `due_at` is the time of its oldest waiting job while no run holds it. So
//! 20,000 jobs that wait in one lane cost another lane nothing.

use std::collections::{BTreeSet, HashMap};

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId, RunId},
    queue::Mode,
};

use crate::{
    Claim, DayUse, NewDecision, Opened, Store, StoreError, Work,
    db::Tx,
    dialect::Dialect,
    runs,
    sql::{Row, Value, row, sql},
    work,
};

/// Most jobs in one prompt.
const MAX_RUN_JOBS: i64 = 50;

/// Most text in one prompt, in bytes; a quarter of the longest frame to an agent, which also carries context.
const MAX_RUN_BYTES: i64 = 256 * 1024;

/// Lanes whose jobs one statement reads on PostgreSQL, where each is a round trip. On SQLite it is one, so that the text
/// stays prepared.
const LANES_A_READ: usize = 100;

/// What a claimer may take.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) permits: usize,
    pub(crate) now: Timestamp,
    pub(crate) lease_until: Timestamp,
    /// Only these lanes, with their groups.
    pub(crate) only: Option<Vec<(LaneId, GroupId)>>,
}

/// Opens runs, one lane of a group in each round, so that no group has its second before the others their first.
pub(crate) async fn claim(tx: &mut Tx, wanted: &Wanted) -> Result<Vec<Claim>, StoreError> {
    let mut res: Vec<Claim> = Vec::new();
    let most = wanted.only.as_ref().map_or(wanted.permits, |it| it.len().min(wanted.permits));
    while res.len() < most {
        let opened = open_runs(tx, wanted, most - res.len()).await?;
        if opened.is_empty() {
            break;
        }
        take_lanes(tx, &opened).await?;
        // Lanes that are named were free when their message came: nobody waited, so nobody was overtaken.
        if wanted.only.is_none() {
            note_served(tx, &opened).await?;
        }
        res.extend(opened);
    }
    for it in &res {
        work::count(tx, it.group, wanted.now, DayUse { runs: 1, ..DayUse::default() });
    }
    let lanes_a_read = match tx.dialect() {
        Dialect::Sqlite => 1,
        Dialect::Postgres => LANES_A_READ,
    };
    for part in res.chunks(lanes_a_read) {
        take_jobs(tx, part, wanted.now).await?;
    }
    Ok(res)
}

async fn open(tx: &mut Tx, wanted: &Wanted) -> Result<Opened, StoreError> {
    let claims = claim(tx, wanted).await?;
    let work = work::read_all(tx, &claims).await?;
    Ok(Opened { claims, work })
}

/// The statement that dispatches; `only` limits it to some lanes and groups.
pub(crate) fn dispatch_text(only: bool) -> String {
    let (lanes, groups) =
        if only { ("AND x.id IN ({list})", "AND g.id IN ({list})") } else { ("", "") };
    // On PostgreSQL two nodes may choose the same lane or slot: the indexes let one of them have it.
    format!(
        "INSERT INTO runs (group_id, lane_id, slot, node, epoch, lease_until, state, started_at)
         SELECT g.id, l.id, (SELECT min(s.n) FROM slots s WHERE s.n < g.max_parallel AND NOT EXISTS (
                     SELECT 1 FROM runs r WHERE r.group_id = g.id AND r.slot = s.n AND r.state = 'running')),
             $1, l.epoch + 1, $2, 'running', $3
         FROM groups g JOIN lanes l ON l.id = (
             SELECT x.id FROM lanes x WHERE x.group_id = g.id AND x.due_at <= $3 {lanes}
             ORDER BY x.due_at, x.id LIMIT 1)
         WHERE g.removed_at IS NULL AND g.paused_at IS NULL {groups} AND EXISTS (
             SELECT 1 FROM slots s WHERE s.n < g.max_parallel AND NOT EXISTS (
                 SELECT 1 FROM runs r WHERE r.group_id = g.id AND r.slot = s.n AND r.state = 'running'))
         ORDER BY g.served, g.id LIMIT $4 {{skip_locked}}
         ON CONFLICT DO NOTHING
         RETURNING id, lane_id, group_id, epoch"
    )
}

async fn open_runs(tx: &mut Tx, it: &Wanted, limit: usize) -> Result<Vec<Claim>, StoreError> {
    let mut query = sql("claim lanes", dispatch_text(it.only.is_some()))
        .bind(&*tx.node.clone())
        .bind(it.lease_until)
        .bind(it.now)
        .bind(limit);
    if let Some(only) = &it.only {
        let groups: BTreeSet<GroupId> = only.iter().map(|it| it.1).collect();
        query = query.list(only.iter().map(|it| it.0)).list(groups);
    }
    let mut res = Vec::new();
    for row in tx.rows(query).await? {
        res.push(Claim {
            run: RunId(row.int("id")?),
            epoch: row.int("epoch")?,
            lane: LaneId(row.int("lane_id")?),
            group: GroupId(row.int("group_id")?),
        });
    }
    res.sort_by_key(|it| it.run);
    Ok(res)
}

async fn take_lanes(tx: &mut Tx, claims: &[Claim]) -> Result<(), StoreError> {
    let lanes = claims.iter().map(|it| row![it.lane, it.run, it.epoch, tx.now]).collect();
    let text = "WITH c (lane, run, epoch, at) AS (VALUES {values})
                UPDATE lanes SET run_id = c.run, epoch = c.epoch, due_at = NULL, served_at = c.at
                FROM c WHERE lanes.id = c.lane";
    tx.run_many(sql("take lanes", text), lanes).await
}

/// Puts the groups that got a run behind those that wait.
async fn note_served(tx: &mut Tx, claims: &[Claim]) -> Result<(), StoreError> {
    let groups = claims.iter().map(|it| row![it.group, it.run]).collect();
    let text = "WITH c (grp, run) AS (VALUES {values})
                UPDATE groups SET served = c.run FROM c WHERE groups.id = c.grp";
    tx.run_many(sql("note who was served", text), groups).await
}

/// The statement that reads the head of a lane's queue: what the clock asks first, then the oldest.
pub(crate) fn waiting_text(lanes: usize) -> String {
    let columns = "id, lane_id, message_id, kind, mode, jid, thread, role, size_bytes";
    let one = |i: usize| {
        let n = i + 3;
        format!(
            "SELECT * FROM (SELECT CAST(0 AS BIGINT) AS turn, {columns} FROM jobs WHERE lane_id = ${n} AND state = 'queued'
                 AND kind <> 'message' AND run_at <= $1 ORDER BY run_at, id LIMIT 1) AS c{i}
             UNION ALL
             SELECT * FROM (SELECT CAST(1 AS BIGINT) AS turn, {columns} FROM jobs
                 WHERE lane_id = ${n} AND state = 'queued' AND run_at <= $1 ORDER BY run_at, id LIMIT $2) AS q{i}"
        )
    };
    (0..lanes).map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Gives each run the jobs of its prompt.
async fn take_jobs(tx: &mut Tx, claims: &[Claim], now: Timestamp) -> Result<(), StoreError> {
    if claims.is_empty() {
        return Ok(());
    }
    let mut query =
        sql("read waiting jobs", waiting_text(claims.len())).bind(now).bind(MAX_RUN_JOBS);
    for claim in claims {
        query = query.bind(claim.lane);
    }
    let mut waiting: HashMap<LaneId, Vec<Row>> = HashMap::new();
    for row in tx.rows(query).await? {
        let jobs = waiting.entry(LaneId(row.int("lane_id")?)).or_default();
        match row.int("turn")? {
            0 => jobs.insert(0, row),
            _ => jobs.push(row),
        }
    }
    let mut taken = Vec::new();
    for claim in claims {
        for (job, message) in prompt(waiting.get(&claim.lane).map_or(&[], Vec::as_slice))? {
            taken.push(row![job, claim.run]);
            let run = Some(claim.run);
            let kind = Decision::Claimed;
            tx.decide(NewDecision { message, job: Some(job), run, kind, detail: String::new() });
        }
    }
    take(tx, taken).await
}

async fn take(tx: &mut Tx, jobs: Vec<Vec<Value>>) -> Result<(), StoreError> {
    let text = "WITH t (id, run) AS (VALUES {values})
                UPDATE jobs SET state = 'running', run_id = t.run FROM t WHERE jobs.id = t.id";
    tx.run_many(sql("take jobs", text), jobs).await
}

/// Which of the waiting jobs, the oldest first, make one prompt: those like the first, as far as they fit; only the first
/// where each is to be a prompt of its own.
fn prompt(waiting: &[Row]) -> Result<Vec<(JobId, Option<MessageId>)>, StoreError> {
    let like = |it: &Row| -> Result<_, StoreError> {
        Ok((it.text("kind")?, it.text("jid")?, it.text("thread")?, it.text("role")?))
    };
    let mut res = Vec::new();
    let Some(first) = waiting.first() else { return Ok(res) };
    let alone = |it: &Row| it.word("mode", Mode::parse).map(|it| it == Mode::Followup);
    let only_one = first.text("kind")? != "message" || alone(first)?;
    let first = like(first)?;
    let mut bytes = 0;
    for it in waiting {
        bytes += it.int("size_bytes")?;
        let full = MAX_RUN_BYTES < bytes || only_one || first != like(it)? || alone(it)?;
        if full && !res.is_empty() {
            break;
        }
        res.push((JobId(it.int("id")?), it.opt_int("message_id")?.map(MessageId)));
    }
    Ok(res)
}

/// Gives a run that is under way the messages that came since and want that: those of its own place and role, as far as
/// they stand at the head of the queue. They are the run's own from then on; what its `Done` doesn't name is queued again.
async fn attach(tx: &mut Tx, claim: &Claim) -> Result<Option<Work>, StoreError> {
    runs::guard(tx, claim).await?;
    let text = "SELECT jid, thread, role FROM jobs WHERE run_id = $1 AND state = 'running'
                ORDER BY run_at, id LIMIT 1";
    let Some(of) = tx.row(sql("read a run's place", text).bind(claim.run)).await? else {
        return Ok(None);
    };
    // One that waits for the rest of a burst is taken as well, one that waits for its next try is not.
    let text = "SELECT id, message_id, kind, mode, jid, thread, role, size_bytes FROM jobs
                WHERE lane_id = $1 AND state = 'queued' AND failures = 0 ORDER BY run_at, id LIMIT $2";
    let query = sql("read what came meanwhile", text).bind(claim.lane).bind(MAX_RUN_JOBS);
    let mut taken = Vec::new();
    let mut bytes = 0;
    for it in tx.rows(query).await? {
        bytes += it.int("size_bytes")?;
        let same = it.text("jid")? == of.text("jid")?
            && it.text("thread")? == of.text("thread")?
            && it.text("role")? == of.text("role")?;
        let steers = it.text("kind")? == "message" && it.word("mode", Mode::parse)? == Mode::Steer;
        if !same || !steers || MAX_RUN_BYTES < bytes {
            break;
        }
        let (job, message) = (JobId(it.int("id")?), it.opt_int("message_id")?.map(MessageId));
        taken.push(row![job, claim.run]);
        let detail = "for the agent that is at work already".to_owned();
        let (job, run, kind) = (Some(job), Some(claim.run), Decision::Claimed);
        tx.decide(NewDecision { message, job, run, kind, detail });
    }
    if taken.is_empty() {
        return Ok(None);
    }
    take(tx, taken).await?;
    work::of_one(tx, claim).await.map(Some)
}

struct Renewal {
    claims: Vec<Claim>,
    lease_until: Timestamp,
}

async fn renew(tx: &mut Tx, it: &Renewal) -> Result<Vec<Claim>, StoreError> {
    let text = "WITH c (run, epoch, until) AS (VALUES {values})
                UPDATE runs SET lease_until = c.until FROM c
                WHERE runs.id = c.run AND runs.epoch = c.epoch AND runs.state = 'running'
                RETURNING runs.id";
    let rows = it.claims.iter().map(|c| row![c.run, c.epoch, it.lease_until]).collect();
    let mut kept = BTreeSet::new();
    for row in tx.rows_many(sql("renew leases", text), rows).await? {
        kept.insert(RunId(row.int("id")?));
    }
    Ok(it.claims.iter().copied().filter(|c| !kept.contains(&c.run)).collect())
}

impl Store {
    /// Opens runs for up to `permits` lanes that have due jobs and are free.
    pub async fn claim(
        &self,
        permits: usize,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Opened, StoreError> {
        let wanted = Wanted { permits, now, lease_until, only: None };
        self.write(wanted, |tx, it| Box::pin(open(tx, it))).await
    }

    /// Gives a run what came since and is to steer it; all of its work, if there was any.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane.
    pub async fn attach(&self, claim: &Claim) -> Result<Option<Work>, StoreError> {
        self.write(*claim, |tx, it| Box::pin(attach(tx, it))).await
    }

    /// Renews the leases of runs; returns those that were lost and must end.
    pub async fn renew(
        &self,
        claims: &[Claim],
        lease_until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        let it = Renewal { claims: claims.to_vec(), lease_until };
        self.write(it, |tx, it| Box::pin(renew(tx, it))).await
    }

    /// The earliest time after `now` at which a job or an item falls due.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT (SELECT min(run_at) FROM jobs WHERE state = 'queued' AND run_at > $1) AS job,
                        (SELECT min(next_at) FROM outbox WHERE state = 'pending' AND next_at > $1) AS item";
        let Some(row) = self.row(sql("look for what is next", text).bind(now)).await? else {
            return Ok(None);
        };
        let both = [row.opt_int("job")?, row.opt_int("item")?];
        Ok(both.into_iter().flatten().min().map(Timestamp))
    }
}
