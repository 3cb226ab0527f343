//! How things look in JSON: the original's field names, and ours beside them.

use ngb_core::{
    address::Jid,
    clock::Timestamp,
    decision::Decision,
    group::{Binding, Engage, Exceptions, Group, Limits, Scope, Senders},
    id::{BindingId, GroupId, JobId, LaneId, MessageId, OutboxId, RunId},
    message::Author,
    queue::Queue,
    role::Role,
};
use ngb_gateway::{
    registry::Snapshot,
    store::{
        ChatRow, DecisionRow, JobRow, OutboxRow, Pairing, StoredMessage, ThreadRow, Usage, Why,
    },
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// An instant as people and programs read it: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "In UTC." })
    }
}

/// What was asked for is done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    ok: bool,
}

pub(crate) const DONE: Done = Done { ok: true };

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Message")]
pub(crate) struct MessageView {
    id: MessageId,
    jid: Jid,
    chat_jid: Jid,
    thread: Option<String>,
    sender: String,
    sender_id: String,
    sender_name: String,
    sender_role: Option<Role>,
    role: Author,
    is_from_me: bool,
    content: String,
    text: String,
    /// Names of the files that came with it.
    files: Vec<String>,
    timestamp: Instant,
    received_at: Instant,
    in_reply_to: Option<MessageId>,
    group: Option<GroupId>,
    lane: Option<LaneId>,
    run: Option<RunId>,
    state: String,
}

pub(crate) fn message(it: &StoredMessage) -> MessageView {
    MessageView {
        id: it.id,
        jid: it.place.jid.clone(),
        chat_jid: it.place.jid.clone(),
        thread: it.place.thread.as_deref().map(str::to_owned),
        sender: it.sender_name.clone(),
        sender_id: it.sender_id.clone(),
        sender_name: it.sender_name.clone(),
        sender_role: it.role,
        role: it.author,
        is_from_me: it.author != Author::User,
        content: it.content.text.clone(),
        text: it.content.text.clone(),
        files: it.content.media.iter().map(|it| it.name.clone()).collect(),
        timestamp: Instant(it.sent_at),
        received_at: Instant(it.received_at),
        in_reply_to: it.in_reply_to,
        group: it.group,
        lane: it.lane,
        run: it.run,
        state: it.state.clone(),
    }
}

/// The path of a message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Why")]
pub(crate) struct WhyView {
    /// The whole in one sentence.
    sentence: String,
    message: MessageView,
    decisions: Vec<DecisionView>,
    jobs: Vec<JobView>,
    outbox: Vec<OutboxView>,
    /// What the run that answered it used.
    usage: Vec<UsageView>,
}

/// What a run used of a model.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
struct UsageView {
    provider: String,
    model: String,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    /// Whether the tokens were only reckoned.
    estimated: bool,
    /// None when nobody knows it.
    cost: Option<f64>,
}

fn usage(it: &Usage) -> UsageView {
    UsageView {
        provider: it.provider.clone(),
        model: it.model.clone(),
        input_tokens: it.input_tokens,
        output_tokens: it.output_tokens,
        cached_tokens: it.cached_tokens,
        estimated: it.is_estimated,
        cost: it.cost_micros.map(money),
    }
}

/// Millionths of a currency's unit, in units.
pub(crate) fn money(micros: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nine billion units are exact to the millionth")]
    let micros = micros as f64;
    micros / 1e6
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DecisionMade")]
struct DecisionView {
    at: Instant,
    /// Milliseconds since 1970 in UTC.
    at_ms: i64,
    /// Milliseconds after the first decision.
    after_ms: u64,
    kind: Decision,
    detail: String,
    job: Option<JobId>,
    run: Option<RunId>,
}

pub(crate) fn why(it: &Why) -> WhyView {
    let first = it.decisions.first().map_or(it.message.received_at, |it| it.at);
    let decision = |row: &DecisionRow| DecisionView {
        at: Instant(row.at),
        at_ms: row.at.0,
        after_ms: u64::try_from(row.at.since(first).as_millis()).unwrap_or(u64::MAX),
        kind: row.kind,
        detail: row.detail.clone(),
        job: row.job,
        run: row.run,
    };
    WhyView {
        sentence: ngb_gateway::sentence::of(it).clone(),
        message: message(&it.message),
        decisions: it.decisions.iter().map(decision).collect(),
        jobs: it.jobs.iter().map(job).collect(),
        outbox: it.outbox.iter().map(outbox).collect(),
        usage: it.usage.iter().map(usage).collect(),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(crate) struct JobView {
    id: JobId,
    group: GroupId,
    lane: LaneId,
    message: Option<MessageId>,
    jid: Jid,
    /// The chat, and the thread where there is one.
    place: String,
    state: String,
    run_at: Instant,
    failures: u32,
    gateway_deaths: u32,
    error: Option<String>,
    created_at: Instant,
}

pub(crate) fn job(it: &JobRow) -> JobView {
    JobView {
        id: it.id,
        group: it.group,
        lane: it.lane,
        message: it.message,
        jid: it.place.jid.clone(),
        place: it.place.to_string(),
        state: it.state.clone(),
        run_at: Instant(it.run_at),
        failures: it.tries.failures,
        gateway_deaths: it.tries.gateway_deaths,
        error: it.error.clone(),
        created_at: Instant(it.created_at),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outgoing")]
struct OutboxView {
    id: OutboxId,
    jid: Jid,
    place: String,
    state: String,
    attempt: u32,
    platform_id: Option<String>,
    error: Option<String>,
    created_at: Instant,
    sent_at: Option<Instant>,
}

fn outbox(it: &OutboxRow) -> OutboxView {
    OutboxView {
        id: it.id,
        jid: it.place.jid.clone(),
        place: it.place.to_string(),
        state: it.state.clone(),
        attempt: it.attempt,
        platform_id: it.platform_id.clone(),
        error: it.error.clone(),
        created_at: Instant(it.created_at),
        sent_at: it.sent_at.map(Instant),
    }
}

/// A chat or a person that asks to be let in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pairing")]
pub(crate) struct PairingView {
    code: String,
    jid: Jid,
    place: String,
    chat_title: String,
    is_direct: bool,
    sender_id: String,
    sender_name: String,
    offered_at: Instant,
    expires_at: Instant,
}

pub(crate) fn pairing(it: &Pairing) -> PairingView {
    PairingView {
        code: it.code.clone(),
        jid: it.place.jid.clone(),
        place: it.place.to_string(),
        chat_title: it.chat_title.clone(),
        is_direct: it.is_direct,
        sender_id: it.sender_id.clone(),
        sender_name: it.sender_name.clone(),
        offered_at: Instant(it.offered_at),
        expires_at: Instant(it.expires_at),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Chat")]
pub(crate) struct ChatView {
    jid: Jid,
    title: String,
    is_direct: bool,
    /// What was decided about it.
    access: &'static str,
    last_seen_at: Instant,
}

pub(crate) fn chat(it: &ChatRow) -> ChatView {
    ChatView {
        jid: it.jid.clone(),
        title: it.title.clone(),
        is_direct: it.is_direct,
        access: it.access.as_str(),
        last_seen_at: Instant(it.last_seen_at),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Thread")]
pub(crate) struct ThreadView {
    thread: String,
    last_message: MessageId,
    last_at: Instant,
}

pub(crate) fn thread(it: &ThreadRow) -> ThreadView {
    ThreadView { thread: it.thread.clone(), last_message: it.last, last_at: Instant(it.last_at) }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Binding")]
pub(crate) struct BindingView {
    id: BindingId,
    jid: Jid,
    thread: Option<String>,
    place: String,
    engage: &'static str,
    /// The pattern of `trigger`.
    pattern: Option<String>,
    scope: Scope,
    senders: Senders,
    queue: Queue,
    exceptions: Exceptions,
}

fn binding(it: &Binding) -> BindingView {
    let (engage, pattern) = it.engage.as_parts();
    BindingView {
        id: it.id,
        jid: it.place.jid.clone(),
        thread: it.place.thread.as_deref().map(str::to_owned),
        place: it.place.to_string(),
        engage,
        pattern: pattern.map(str::to_owned),
        scope: it.scope,
        senders: it.senders,
        queue: it.queue,
        exceptions: it.exceptions.clone(),
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub(crate) struct GroupView {
    id: GroupId,
    /// Its chat on the page.
    jid: Jid,
    name: String,
    folder: String,
    is_main: bool,
    /// Whether an agent works for it now.
    active: bool,
    paused: bool,
    trigger_pattern: Option<String>,
    requires_trigger: bool,
    limits: Limits,
    bindings: Vec<BindingView>,
}

/// A group, with `active` when an agent works for it now.
pub(crate) fn group(it: &Group, directory: &Snapshot, active: bool) -> GroupView {
    let mut bindings: Vec<&Binding> = directory.bindings_of(it.id).collect();
    bindings.sort_by_key(|it| it.id);
    let pattern = bindings.iter().find_map(|it| match &it.engage {
        Engage::Trigger(trigger) => Some(trigger.as_str().to_owned()),
        Engage::Mention | Engage::Always | Engage::Never => None,
    });
    GroupView {
        id: it.id,
        jid: crate::groups::page_jid(it),
        name: it.name.to_string(),
        folder: it.folder.to_string(),
        is_main: it.is_main,
        active,
        paused: it.paused,
        trigger_pattern: pattern,
        requires_trigger: bindings.iter().any(|it| it.engage != Engage::Always),
        limits: it.limits.clone(),
        bindings: bindings.into_iter().map(binding).collect(),
    }
}
