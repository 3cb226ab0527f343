//! Arrivals: event, message, lane, job and decision of a whole batch, with statements whose number does not grow with it.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use ngb_core::{
    address::Jid,
    clock::Timestamp,
    decision::Decision,
    id::{GroupId, JobId, LaneId, MessageId},
    message::{ALBUM_WAIT, Addressed, Author, ChatKind, Content, Happening, Inbound, Outbound},
    notice::{Lang, Notice},
    queue::Mode,
    role::Role,
};

use crate::{
    Accept, AcceptDone, AnsweredAsk, Arrival, Claim, NewDecision, NewOutbox, Plan, Queued,
    Recorded, StoreError, acts,
    claims::{self, Wanted},
    db::Tx,
    fullness::{self, Full},
    moves,
    outbox::{self, OutRow},
    pairings,
    sql::{Value, row, sql, thread, to_json},
    work,
};

/// How exactly a chat's last sign of life is kept, in milliseconds.
const SEEN_EXACT_MS: i64 = 60_000;

/// An arrival on its way through the batch.
struct Item<'a> {
    arrival: &'a Arrival,
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
            Happening::Message(it) if self.fresh => Some(it),
            _ => None,
        }
    }

    fn lane_key(&self) -> Option<(GroupId, &'a String)> {
        match &self.arrival.plan {
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

/// The platform's id of a message; where it has none, the event's key stands for it.
pub(crate) fn platform_id(inbound: &Inbound, content: &Content) -> String {
    if content.platform_id.is_empty() {
        format!("event:{}", inbound.event_key)
    } else {
        content.platform_id.clone()
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
    for (i, item) in items.iter().enumerate() {
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
        Happening::Undelivered { .. } => "undelivered",
        Happening::Unknown { .. } => "unknown",
    }
}

async fn chats(tx: &mut Tx, items: &[Item<'_>]) -> Result<(), StoreError> {
    let mut rows: HashMap<String, Vec<Value>> = HashMap::new();
    for item in items.iter().filter(|it| it.fresh) {
        let it = item.inbound();
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

/// The lanes with these keys; those that are not there are made.
pub(crate) async fn lanes_of(
    tx: &mut Tx,
    wanted: Vec<(GroupId, String)>,
    now: Timestamp,
) -> Result<HashMap<(GroupId, String), LaneId>, StoreError> {
    let mut rows = HashMap::new();
    for (group, key) in &wanted {
        let named = (group.0, key.clone());
        if !tx.cache.lanes.contains_key(&named) {
            rows.insert(named, row![*group, key, now]);
        }
    }
    // Not DO NOTHING, since that would not give the id of a lane that is there already.
    let text = "INSERT INTO lanes (group_id, lane_key, created_at) VALUES {values}
                ON CONFLICT (group_id, lane_key) DO UPDATE SET lane_key = excluded.lane_key
                RETURNING id, group_id, lane_key";
    for row in tx.rows_many(sql("store lanes", text), rows.into_values().collect()).await? {
        tx.cache.lanes.insert((row.int("group_id")?, row.text("lane_key")?), row.int("id")?);
    }
    let known = |(group, key): (GroupId, String)| {
        let lane = tx.cache.lanes.get(&(group.0, key.clone())).copied().map(LaneId)?;
        Some(((group, key), lane))
    };
    Ok(wanted.into_iter().filter_map(known).collect())
}

/// Marks the messages for which there is no room in their lane.
async fn refuse(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut unwritten: HashMap<LaneId, u32> = HashMap::new();
    for item in items {
        let (Some(lane), Plan::Engage { queue, .. }) = (item.lane, &item.arrival.plan) else {
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

/// The values of a row of `messages`, in the order of [`MESSAGE_COLUMNS`].
pub(crate) fn message_row(
    inbound: &Inbound,
    content: &Content,
    to: (Option<GroupId>, Option<LaneId>, Option<Role>),
    state: &str,
    now: Timestamp,
) -> Result<Vec<Value>, StoreError> {
    let addressed = match content.addressed {
        Addressed::No => "no",
        Addressed::Mention => "mention",
        Addressed::Reply => "reply",
        Addressed::Direct => "direct",
    };
    let (group, lane, role) = to;
    Ok(row![
        inbound.place.jid.to_string(),
        thread(&inbound.place),
        platform_id(inbound, content),
        Author::User.as_str(),
        &inbound.sender.id,
        &inbound.sender.name,
        role.map(Role::as_str),
        &content.text,
        to_json(&content.media)?,
        content.reply_to.as_deref(),
        content.quote.as_deref(),
        content.album.as_deref(),
        addressed,
        group,
        lane,
        state,
        inbound.sent_at,
        now,
    ])
}

pub(crate) const INSERT_MESSAGES: &str =
    "INSERT INTO messages (jid, thread, platform_id, author, sender_id, sender_name, role, text, media, reply_to,
        quote, album, addressed, group_id, lane_id, state, sent_at, received_at)
     VALUES {values} ON CONFLICT DO NOTHING RETURNING id, jid, platform_id";

/// A message whose id the chat had is a repeat, also under another event key.
async fn messages(tx: &mut Tx, items: &mut [Item<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    let mut first = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        let Some(content) = item.content() else { continue };
        let to = match &item.arrival.plan {
            Plan::Engage { group, role, .. } => (Some(*group), item.lane, Some(*role)),
            Plan::Keep { group, .. } => (Some(*group), item.lane, None),
            _ => (None, None, None),
        };
        let state = match &item.arrival.plan {
            Plan::Engage { .. } if item.full.is_some() => "refused",
            Plan::Engage { .. } => "queued",
            Plan::Keep { .. } => "context-kept",
            Plan::Drop { .. } | Plan::OfferPairing { .. } => "dropped",
            _ => "received",
        };
        let it = item.inbound();
        first.entry((it.place.jid.to_string(), platform_id(it, content))).or_insert(i);
        rows.push(message_row(it, content, to, state, item.now)?);
    }
    let mut new = HashMap::new();
    for row in tx.rows_many(sql("store messages", INSERT_MESSAGES), rows).await? {
        if let Some(i) = first.get(&(row.text("jid")?, row.text("platform_id")?)) {
            new.insert(*i, MessageId(row.int("id")?));
        }
    }
    for (i, item) in items.iter_mut().enumerate() {
        if item.content().is_some() {
            item.message = new.get(&i).copied();
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
        let Plan::Engage { group, role, queue, .. } = &item.arrival.plan else { continue };
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

/// Notes that lanes have jobs that are due at the given times; returns the lanes that no run holds.
pub(crate) async fn wake_lanes(
    tx: &mut Tx,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<LaneId>, StoreError> {
    let text = "WITH d (lane, due_at) AS (VALUES {values})
                UPDATE lanes SET due_at = CASE WHEN lanes.due_at < d.due_at THEN lanes.due_at ELSE d.due_at END
                FROM d WHERE lanes.id = d.lane AND lanes.run_id IS NULL RETURNING lanes.id";
    let woken = tx.rows_many(sql("wake lanes", text), rows).await?;
    woken.iter().map(|it| it.int("id").map(LaneId)).collect()
}

/// What else follows from an arrival; rare, so one by one.
async fn follow(tx: &mut Tx, item: &mut Item<'_>) -> Result<(), StoreError> {
    let inbound = item.inbound();
    if item.content().is_some() {
        item.decide(tx, Decision::Received, "");
    }
    match &item.arrival.plan {
        Plan::Engage { why, .. } => match item.full {
            None => item.decide(tx, Decision::Queued, why),
            Some(full) => {
                let detail = format!("{} messages wait in its lane already", full.waiting);
                item.decide(tx, Decision::Refused, &detail);
                if full.tell {
                    let notice = queue_full(item, full);
                    item.said = say(tx, item, &[notice]).await?;
                }
            }
        },
        Plan::Keep { why, .. } => item.decide(tx, Decision::Kept, why),
        Plan::Drop { why } => item.decide(tx, Decision::Dropped, why),
        Plan::OfferPairing { notice, .. } => {
            let offered = pairings::offer(tx, inbound, &item.arrival.plan, item.now).await?;
            if offered {
                item.decide(tx, Decision::PairingOffered, "a code was offered");
                item.said = say(tx, item, std::slice::from_ref(notice)).await?;
            } else {
                let why =
                    "nobody approved this chat, and a code was offered lately or too many wait";
                item.decide(tx, Decision::Dropped, why);
            }
        }
        Plan::Answer { decision, why, say: items } => {
            item.decide(tx, *decision, why);
            item.said = say(tx, item, items).await?;
        }
        Plan::Act { act, why, say: items } => {
            item.decide(tx, Decision::Command, why);
            item.said = say(tx, item, items).await?;
            acts::act(tx, act, item.message).await?;
        }
        Plan::Revise => item.message = moves::revise(tx, inbound, item.now).await?,
        Plan::FailSend => item.message = moves::fail_send(tx, inbound, item.now).await?,
        Plan::Move { to } => moves::move_chat(tx, &inbound.place.jid, to).await?,
        Plan::AnswerAsk { ask, value } => {
            let by = inbound.by();
            item.answered = moves::answer(tx, *ask, value, &by, item.now).await?;
            let detail = match &item.answered {
                Some(_) => "it answers a question",
                None => "it answers a question that is no longer open",
            };
            item.decide(tx, Decision::AskAnswered, detail);
        }
        Plan::NotYours(what) => moves::not_yours(tx, *what, &inbound.by(), item.now).await?,
    }
    Ok(())
}

/// What a chat is told whose lane is full.
fn queue_full(item: &Item<'_>, full: Full) -> Outbound {
    let lang = Lang::of(item.content().map_or("", |it| it.text.as_str()));
    let waiting = usize::try_from(full.waiting).unwrap_or(usize::MAX);
    let text = Notice::QueueFull { waiting }.say(lang, item.message);
    Outbound::Text { text, reply_to: None, buttons: Vec::new() }
}

async fn say(tx: &mut Tx, item: &Item<'_>, items: &[Outbound]) -> Result<Vec<Queued>, StoreError> {
    let place = &item.inbound().place;
    let new = items.iter().map(|it| NewOutbox {
        place: place.clone(),
        item: it.clone(),
        about: item.message,
        job: None,
        live: false,
    });
    let new: Vec<NewOutbox> = new.collect();
    let rows: Vec<OutRow<'_>> = new.iter().map(OutRow::from).collect();
    outbox::queue(tx, &rows).await
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
