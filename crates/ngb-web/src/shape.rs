//! How things look in JSON: the original's field names, and ours beside them.

use ngb_core::{
    clock::Timestamp,
    group::{Binding, Engage, Group},
    message::Author,
};
use ngb_gateway::{
    registry::Snapshot,
    store::{ChatRow, JobRow, OutboxRow, Pairing, StoredMessage, ThreadRow, Usage, Why},
};
use serde_json::{Value, json};

/// An instant as people and programs read it.
pub(crate) fn iso(at: Timestamp) -> String {
    at.to_string()
}

pub(crate) fn message(it: &StoredMessage) -> Value {
    json!({
        "id": it.id,
        "jid": it.place.jid,
        "chat_jid": it.place.jid,
        "thread": it.place.thread,
        "sender": it.sender_name,
        "sender_id": it.sender_id,
        "sender_name": it.sender_name,
        "sender_role": it.role,
        "role": it.author,
        "is_from_me": it.author != Author::User,
        "content": it.content.text,
        "text": it.content.text,
        "files": it.content.media.iter().map(|it| &it.name).collect::<Vec<_>>(),
        "timestamp": iso(it.sent_at),
        "received_at": iso(it.received_at),
        "in_reply_to": it.in_reply_to,
        "group": it.group,
        "lane": it.lane,
        "run": it.run,
        "state": it.state,
    })
}

pub(crate) fn why(it: &Why) -> Value {
    let first = it.decisions.first().map_or(it.message.received_at, |it| it.at);
    let decisions = it.decisions.iter().map(|row| {
        json!({
            "at": iso(row.at),
            "at_ms": row.at.0,
            "after_ms": u64::try_from(row.at.since(first).as_millis()).unwrap_or(u64::MAX),
            "kind": row.kind,
            "detail": row.detail,
            "job": row.job,
            "run": row.run,
        })
    });
    json!({
        "sentence": ngb_gateway::sentence::of(it),
        "message": message(&it.message),
        "decisions": decisions.collect::<Vec<_>>(),
        "jobs": it.jobs.iter().map(job).collect::<Vec<_>>(),
        "outbox": it.outbox.iter().map(outbox).collect::<Vec<_>>(),
        "usage": it.usage.iter().map(usage).collect::<Vec<_>>(),
    })
}

/// What a run used of a model; a cost that nobody knows is null.
fn usage(it: &Usage) -> Value {
    json!({
        "provider": it.provider,
        "model": it.model,
        "input_tokens": it.input_tokens,
        "output_tokens": it.output_tokens,
        "cached_tokens": it.cached_tokens,
        "estimated": it.is_estimated,
        "cost": it.cost_micros.map(money),
    })
}

/// Millionths of a currency's unit, in units.
pub(crate) fn money(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nine billion units are exact to the millionth")]
    let micros = micros as f64;
    micros / 1e6
}

pub(crate) fn job(it: &JobRow) -> Value {
    json!({
        "id": it.id,
        "group": it.group,
        "lane": it.lane,
        "message": it.message,
        "jid": it.place.jid,
        "place": it.place.to_string(),
        "state": it.state,
        "run_at": iso(it.run_at),
        "failures": it.tries.failures,
        "gateway_deaths": it.tries.gateway_deaths,
        "error": it.error,
        "created_at": iso(it.created_at),
    })
}

fn outbox(it: &OutboxRow) -> Value {
    json!({
        "id": it.id,
        "jid": it.place.jid,
        "place": it.place.to_string(),
        "state": it.state,
        "attempt": it.attempt,
        "platform_id": it.platform_id,
        "error": it.error,
        "created_at": iso(it.created_at),
        "sent_at": it.sent_at.map(iso),
    })
}

pub(crate) fn pairing(it: &Pairing) -> Value {
    json!({
        "code": it.code,
        "jid": it.place.jid,
        "place": it.place.to_string(),
        "chat_title": it.chat_title,
        "is_direct": it.is_direct,
        "sender_id": it.sender_id,
        "sender_name": it.sender_name,
        "offered_at": iso(it.offered_at),
        "expires_at": iso(it.expires_at),
    })
}

pub(crate) fn chat(it: &ChatRow) -> Value {
    json!({
        "jid": it.jid,
        "title": it.title,
        "is_direct": it.is_direct,
        "access": it.access.as_str(),
        "last_seen_at": iso(it.last_seen_at),
    })
}

pub(crate) fn thread(it: &ThreadRow) -> Value {
    json!({ "thread": it.thread, "last_message": it.last, "last_at": iso(it.last_at) })
}

pub(crate) fn binding(it: &Binding) -> Value {
    let (engage, pattern) = it.engage.as_parts();
    json!({
        "id": it.id,
        "jid": it.place.jid,
        "thread": it.place.thread,
        "place": it.place.to_string(),
        "engage": engage,
        "pattern": pattern,
        "scope": it.scope,
        "senders": it.senders,
        "queue": it.queue,
        "exceptions": it.exceptions,
    })
}

/// A group, with `active` when an agent works for it now.
pub(crate) fn group(it: &Group, directory: &Snapshot, active: bool) -> Value {
    let mut bindings: Vec<&Binding> = directory.bindings_of(it.id).collect();
    bindings.sort_by_key(|it| it.id);
    let pattern = bindings.iter().find_map(|it| match &it.engage {
        Engage::Trigger(trigger) => Some(trigger.as_str()),
        Engage::Mention | Engage::Always | Engage::Never => None,
    });
    json!({
        "id": it.id,
        "jid": crate::groups::page_jid(it),
        "name": it.name,
        "folder": it.folder,
        "is_main": it.is_main,
        "active": active,
        "paused": it.paused,
        "trigger_pattern": pattern,
        "requires_trigger": bindings.iter().any(|it| it.engage != Engage::Always),
        "limits": it.limits,
        "bindings": bindings.into_iter().map(binding).collect::<Vec<_>>(),
    })
}
