//! Arrivals: event, message, lane, job and decision of a whole batch, with statements whose number does not grow with it.

mod follow;
mod passages;
mod rows;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use ngb_core::{
    address::Jid,
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId, PassageId},
    message::{ALBUM_WAIT, ChatKind, Content, Happening, Inbound},
    queue::Mode,
};

use follow::follow;
pub(crate) use passages::write_content;
pub(crate) use rows::{INSERT_MESSAGES, lanes_of, message_row, platform_id, wake_lanes};

use crate::{
    Accept, AcceptDone, AnsweredAsk, Arrival, Claim, NewDecision, Plan, Queued, Recorded,
    StoreError,
    claims::{self, Wanted},
    db::Tx,
    fullness::{self, Full},
    sql::{Value, row, sql, thread},
    work,
};

/// How exactly a chat's last sign of life is kept, in milliseconds.
const SEEN_EXACT_MS: i64 = 60_000;

/// An arrival on its way through the batch.
struct Item<'a> {
    arrival: &'a Arrival,
    plan: &'a Plan,
    /// Where plugins were asked: the passage, and the message that is here already.
    asked: Option<(PassageId, Option<MessageId>)>,
    now: Timestamp,
    fresh: bool,
    lane: Option<LaneId>,
    message: Option<MessageId>,
    job: Option<JobId>,
    /// Its lane holds as many messages as it may.
    full: Option<Full>,
    said: Vec<Queued>,
    answered: Option<AnsweredAsk>,
}

impl<'a> Item<'a> {
    fn inbound(&self) -> &'a Inbound {
        &self.arrival.inbound
    }

    /// What a new message says.
    fn content(&self) -> Option<&'a Content> {
        match &self.inbound().what {
            Happening::Message(it) | Happening::Reacted(it) if self.fresh => Some(it),
            _ => None,
        }
    }

    fn lane_key(&self) -> Option<(GroupId, &'a String)> {
        match self.plan {
            Plan::Engage { group, lane_key, .. } | Plan::Keep { group, lane_key, .. }
                if self.fresh =>
            {
                Some((*group, lane_key))
            }
            _ => None,
        }
    }

    fn decide(&self, tx: &mut Tx, kind: Decision, detail: &str) {
        let (message, job, run) = (self.message, self.job, None);
        tx.decide_at(self.now, NewDecision { message, job, run, kind, detail: detail.to_owned() });
    }
}

/// Stores all arrivals of several callers at once.
pub(crate) async fn accept_all(
    tx: &mut Tx,
    all: &[&Accept],
) -> Result<Vec<AcceptDone>, StoreError> {
    let mut items = Vec::new();
    for accept in all {
        items.extend(accept.arrivals.iter().map(|arrival| Item {
            arrival,
            plan: arrival.plan.now(),
            asked: match &arrival.plan {
                Plan::Asked { passage, message, .. } => Some((*passage, *message)),
                _ => None,
            },
            now: accept.now,
            fresh: false,
            lane: None,
            message: None,
            job: None,
            full: None,
            said: Vec::new(),
            answered: None,
        }));
    }
    if !items.is_empty() {
        passages::take(tx, &mut items).await?;
        events(tx, &mut items).await?;
        chats(tx, &items).await?;
        lanes(tx, &mut items).await?;
        refuse(tx, &mut items).await?;
        messages(tx, &mut items).await?;
    }
    let free = jobs(tx, &mut items).await?;
    for item in items.iter_mut().filter(|it| it.fresh) {
        follow(tx, item).await?;
    }
    repeats(tx, &mut items).await?;
    let mut opened = claim(tx, all, free).await?;
    let mut work = work::read_all(tx, &opened).await?;

    let mut items = items.into_iter();
    let mut res = Vec::new();
    for accept in all {
        let mine: Vec<Item<'_>> = items.by_ref().take(accept.arrivals.len()).collect();
        let lanes: HashSet<LaneId> = mine.iter().filter_map(|it| it.lane).collect();
        // First those of its own lanes; whatever is left over goes to whoever has permits left.
        let (own, rest): (Vec<Claim>, Vec<Claim>) =
            opened.into_iter().partition(|it| lanes.contains(&it.lane));
        let (mut claims, spare) = split(own, accept.permits);
        opened = rest;
        opened.extend(spare);
        claims.shrink_to_fit();
        let recorded = mine.into_iter().map(recorded).collect();
        res.push(AcceptDone { recorded, claims, work: HashMap::new() });
    }
    for (done, accept) in res.iter_mut().zip(all) {
        let room = accept.permits.saturating_sub(done.claims.len());
        let (more, rest) = split(opened, room);
        done.claims.extend(more);
        opened = rest;
        done.work.extend(done.claims.iter().filter_map(|it| work.remove_entry(&it.run)));
    }
    Ok(res)
}

fn split(mut claims: Vec<Claim>, at: usize) -> (Vec<Claim>, Vec<Claim>) {
    let rest = claims.split_off(at.min(claims.len()));
    (claims, rest)
}

fn recorded(item: Item<'_>) -> Recorded {
    let Item { fresh, lane, message, job, said, answered, .. } = item;
    if fresh {
        Recorded::New { message, job, lane, said, answered }
    } else {
        Recorded::Repeat { message }
    }
}

/// An event whose key the account had is a repeat.
async fn events(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut first = HashMap::new();
    let mut rows = Vec::new();
    for (i, item) in items.iter().enumerate().filter(|(_, it)| it.asked.is_none()) {
        let it = item.inbound();
        let account = it.place.jid.account().to_string();
        // Of several with one key the first counts.
        let Entry::Vacant(new) = first.entry((account.clone(), it.event_key.clone())) else {
            continue;
        };
        new.insert(i);
        rows.push(row![account, &it.event_key, kind(&it.what), item.now]);
    }
    let text = "INSERT INTO events (account, event_key, kind, at) VALUES {values}
                ON CONFLICT DO NOTHING RETURNING account, event_key";
    for row in tx.rows_many(sql("store events", text), rows).await? {
        if let Some(i) = first.get(&(row.text("account")?, row.text("event_key")?)) {
            items[*i].fresh = true;
        }
    }
    Ok(())
}

fn kind(what: &Happening) -> &'static str {
    match what {
        Happening::Message(_) => "message",
        Happening::Edit(_) => "edit",
        Happening::Delete { .. } => "delete",
        Happening::Moved { .. } => "moved",
        Happening::Pressed { .. } => "pressed",
        Happening::Reacted(_) => "reacted",
        Happening::Undelivered { .. } => "undelivered",
        Happening::Unknown { .. } => "unknown",
    }
}

async fn chats(tx: &mut Tx, items: &[Item<'_>]) -> Result<(), StoreError> {
    let mut rows: HashMap<String, Vec<Value>> = HashMap::new();
    for item in items.iter().filter(|it| it.fresh) {
        let it = item.inbound();
        // Of these platforms tell less than of a message, not whom the chat is with, say; it is known from before.
        if let Happening::Reacted(_) | Happening::Delete { .. } = &it.what {
            continue;
        }
        let jid = it.place.jid.to_string();
        let known = tx.cache.chats.get(&jid).is_some_and(|(title, seen)| {
            *title == it.chat.title && item.now.0 - seen.0 < SEEN_EXACT_MS
        });
        if known {
            continue;
        }
        tx.cache.chats.insert(jid.clone(), (it.chat.title.clone(), item.now));
        let is_direct = it.chat.kind == ChatKind::Direct;
        rows.insert(jid.clone(), row![jid, &it.chat.title, is_direct, item.now]);
    }
    let text = "INSERT INTO chats (jid, title, is_direct, last_seen_at) VALUES {values}
                ON CONFLICT (jid) DO UPDATE SET title = excluded.title, is_direct = excluded.is_direct,
                    last_seen_at = excluded.last_seen_at";
    tx.run_many(sql("store chats", text), rows.into_values().collect()).await
}

async fn lanes(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let now = tx.now;
    let wanted =
        items.iter().filter_map(|it| it.lane_key().map(|(group, key)| (group, key.clone())));
    let lanes = lanes_of(tx, wanted.collect(), now).await?;
    for item in items {
        if let Some((group, key)) = item.lane_key() {
            item.lane = lanes.get(&(group, key.clone())).copied();
        }
    }
    Ok(())
}

/// Marks the messages for which there is no room in their lane.
async fn refuse(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut unwritten: HashMap<LaneId, u32> = HashMap::new();
    for item in items {
        let (Some(lane), Plan::Engage { queue, .. }) = (item.lane, item.plan) else {
            continue;
        };
        let before = unwritten.entry(lane).or_default();
        item.full = fullness::one_more(tx, lane, *before, queue.max_waiting, item.now).await?;
        if item.full.is_none() {
            *before += 1;
        }
    }
    Ok(())
}

/// A message whose id the chat had is a repeat, also under another event key.
async fn messages(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    let mut first = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        let Some(content) = item.content() else { continue };
        let to = match item.plan {
            Plan::Engage { group, role, .. } => (Some(*group), item.lane, Some(*role)),
            Plan::Keep { group, .. } => (Some(*group), item.lane, None),
            _ => (None, None, None),
        };
        let state = match item.plan {
            Plan::Engage { .. } if item.full.is_some() => "refused",
            Plan::Engage { .. } => "queued",
            Plan::Keep { .. } => "context-kept",
            Plan::Drop { .. } | Plan::OfferPairing { .. } => "dropped",
            Plan::AskPlugins => "unseen",
            _ => "received",
        };
        let it = item.inbound();
        let row = message_row(it, content, to, state, item.now)?;
        if let Some((_, Some(message))) = item.asked {
            passages::plan_message(tx, message, content, to, state).await?;
            continue;
        }
        first.entry((it.place.jid.to_string(), platform_id(it, content))).or_insert(i);
        rows.push(row);
    }
    let mut new = HashMap::new();
    for row in tx.rows_many(sql("store messages", INSERT_MESSAGES), rows).await? {
        if let Some(i) = first.get(&(row.text("jid")?, row.text("platform_id")?)) {
            new.insert(*i, MessageId(row.int("id")?));
        }
    }
    for (i, item) in items.iter_mut().enumerate() {
        if item.content().is_some() {
            item.message = item.asked.map_or_else(|| new.get(&i).copied(), |it| it.1);
            item.fresh = item.message.is_some();
        }
    }
    Ok(())
}

/// Jobs, decisions, and the lanes that have something due now.
async fn jobs(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<Vec<(LaneId, GroupId)>, StoreError> {
    let mut rows = Vec::new();
    let mut due: HashMap<LaneId, (GroupId, Timestamp)> = HashMap::new();
    for item in items.iter() {
        let (Some(content), Some(lane), Some(message)) = (item.content(), item.lane, item.message)
        else {
            continue;
        };
        let Plan::Engage { group, role, queue, .. } = item.plan else { continue };
        if item.full.is_some() {
            continue;
        }
        // The parts of an album stay together.
        let (wait, mode) = match (&content.album, queue.mode) {
            (Some(_), Mode::Followup) => (ALBUM_WAIT, Mode::Collect),
            (Some(_), mode) => (ALBUM_WAIT.max(queue.debounce()), mode),
            (None, mode) => (queue.debounce(), mode),
        };
        let run_at = tx.cache.bursts.run_at(lane, wait, item.now);
        let first = due.entry(lane).or_insert((*group, run_at));
        first.1 = first.1.min(run_at);
        let place = &item.inbound().place;
        rows.push(row![
            *group,
            lane,
            message,
            "message",
            place.jid.to_string(),
            thread(place),
            role.as_str(),
            content.text.len(),
            "queued",
            mode.as_str(),
            run_at,
            item.now,
        ]);
    }
    let text = "INSERT INTO jobs (group_id, lane_id, message_id, kind, jid, thread, role, size_bytes, state, mode,
                    run_at, created_at)
                VALUES {values} RETURNING id, message_id";
    let mut made = HashMap::new();
    for row in tx.rows_many(sql("queue jobs", text), rows).await? {
        made.insert(MessageId(row.int("message_id")?), JobId(row.int("id")?));
    }
    for item in items.iter_mut().filter(|it| it.fresh) {
        item.job = item.message.and_then(|it| made.get(&it)).copied();
    }
    let rows = due.iter().map(|(lane, (_, at))| row![*lane, *at]).collect();
    let mut free = Vec::new();
    for row in wake_lanes(tx, rows).await? {
        if let Some((group, _)) = due.get(&row) {
            free.push((row, *group));
        }
    }
    Ok(free)
}

/// The messages that repeats repeat.
async fn repeats(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for item in items.iter().filter(|it| !it.fresh) {
        if let Happening::Message(content) = &item.inbound().what {
            let it = item.inbound();
            rows.push(row![it.place.jid.to_string(), platform_id(it, content)]);
        }
    }
    let text = "WITH k (jid, platform_id) AS (VALUES {values})
                SELECT m.id, m.jid, m.platform_id FROM k
                JOIN messages m ON m.jid = k.jid AND m.platform_id = k.platform_id";
    let mut known: HashMap<(String, String), MessageId> = HashMap::new();
    for row in tx.rows_many(sql("look for repeated messages", text), rows).await? {
        known.insert((row.text("jid")?, row.text("platform_id")?), MessageId(row.int("id")?));
    }
    for item in items.iter_mut().filter(|it| !it.fresh) {
        if let Happening::Message(content) = &item.arrival.inbound.what {
            let it = &item.arrival.inbound;
            let jid: &Jid = &it.place.jid;
            item.message = known.get(&(jid.to_string(), platform_id(it, content))).copied();
        }
    }
    Ok(())
}

/// Opens runs for lanes that have something to do and are free.
async fn claim(
    tx: &mut Tx,
    all: &[&Accept],
    free: Vec<(LaneId, GroupId)>,
) -> Result<Vec<Claim>, StoreError> {
    let permits: usize = all.iter().map(|it| it.permits).sum();
    let Some(newest) = all.iter().max_by_key(|it| it.now) else { return Ok(Vec::new()) };
    if permits == 0 || free.is_empty() {
        return Ok(Vec::new());
    }
    let (now, lease_until) = (newest.now, newest.lease_until);
    claims::claim(tx, &Wanted { permits, now, lease_until, only: Some(free) }).await
}
