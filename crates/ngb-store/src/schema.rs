//! The tables. A migration adds, and takes indexes away at most, so that the version before still runs on it; each is one
//! transaction.
//!
//! Times are milliseconds since 1970 in UTC, truth values 0 and 1, and nothing is ordered by text: the same on both
//! databases. Named holes are filled by [`crate::dialect`].

/// One step of the schema.
#[derive(Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) statements: &'static [&'static str],
}

/// Most lanes of a group that run at a time: rows of table `slots`.
pub(crate) const MAX_SLOTS: i64 = 64;

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, statements: V1 },
    Migration { version: 2, statements: V2 },
    Migration { version: 3, statements: V3 },
    Migration { version: 4, statements: V4 },
    Migration { version: 5, statements: V5 },
    Migration { version: 6, statements: V6 },
    Migration { version: 7, statements: V7 },
    Migration { version: 8, statements: V8 },
    Migration { version: 9, statements: V9 },
    Migration { version: 10, statements: V10 },
];

const V1: &[&str] = &[
    "CREATE TABLE groups (id {id}, name TEXT NOT NULL, folder TEXT NOT NULL, is_main BIGINT NOT NULL,
        limits TEXT NOT NULL, max_parallel BIGINT NOT NULL,
        served BIGINT NOT NULL DEFAULT 0, home_node TEXT NOT NULL, created_at BIGINT NOT NULL, removed_at BIGINT)",
    "CREATE UNIQUE INDEX groups_name ON groups (name) WHERE removed_at IS NULL",
    "CREATE UNIQUE INDEX groups_folder ON groups (folder) WHERE removed_at IS NULL",
    // Dispatch takes the least recently served first: `served` is the id of the group's latest run.
    "CREATE INDEX groups_served ON groups (served, id) WHERE removed_at IS NULL",
    "CREATE TABLE chats (jid TEXT PRIMARY KEY, title TEXT NOT NULL, is_direct BIGINT NOT NULL,
        access TEXT NOT NULL DEFAULT 'unknown', last_seen_at BIGINT NOT NULL)",
    "CREATE INDEX chats_seen ON chats (last_seen_at)",
    "CREATE TABLE bindings (id {id}, group_id BIGINT NOT NULL REFERENCES groups (id), jid TEXT NOT NULL,
        thread TEXT NOT NULL, engage TEXT NOT NULL, pattern TEXT, scope TEXT NOT NULL, senders TEXT NOT NULL,
        created_at BIGINT NOT NULL, UNIQUE (jid, thread, group_id))",
    "CREATE TABLE pairings (id {id}, code TEXT NOT NULL UNIQUE, account TEXT NOT NULL, jid TEXT NOT NULL,
        thread TEXT NOT NULL, chat_title TEXT NOT NULL, is_direct BIGINT NOT NULL, sender_id TEXT NOT NULL,
        sender_name TEXT NOT NULL, offered_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
        state TEXT NOT NULL DEFAULT 'open', decided_by TEXT, decided_at BIGINT)",
    "CREATE INDEX pairings_chat ON pairings (jid, offered_at)",
    "CREATE INDEX pairings_open ON pairings (account, expires_at) WHERE state = 'open'",
    "CREATE TABLE people (id {id}, name TEXT NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE TABLE identities (account TEXT NOT NULL, sender_id TEXT NOT NULL,
        user_id BIGINT NOT NULL REFERENCES people (id), PRIMARY KEY (account, sender_id))",
    // Group 0 is the whole gateway.
    "CREATE TABLE roles (user_id BIGINT NOT NULL REFERENCES people (id), group_id BIGINT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (user_id, group_id))",
    "CREATE TABLE events (account TEXT NOT NULL, event_key TEXT NOT NULL, kind TEXT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (account, event_key))",
    "CREATE INDEX events_at ON events (at)",
    "CREATE TABLE lanes (id {id}, group_id BIGINT NOT NULL REFERENCES groups (id), lane_key TEXT NOT NULL,
        session_id TEXT, session_entries BIGINT, due_at BIGINT, run_id BIGINT, epoch BIGINT NOT NULL DEFAULT 0,
        context_after BIGINT NOT NULL DEFAULT 0, served_at BIGINT, created_at BIGINT NOT NULL,
        UNIQUE (group_id, lane_key))",
    // A lane is here while a job waits in it and no run holds it.
    "CREATE INDEX lanes_due ON lanes (group_id, due_at, id) WHERE due_at IS NOT NULL",
    "CREATE TABLE messages (id {id}, jid TEXT NOT NULL, thread TEXT NOT NULL, platform_id TEXT, author TEXT NOT NULL,
        sender_id TEXT NOT NULL, sender_name TEXT NOT NULL, role TEXT, text TEXT NOT NULL, media TEXT NOT NULL,
        reply_to TEXT, addressed TEXT NOT NULL, in_reply_to BIGINT, group_id BIGINT, lane_id BIGINT, run_id BIGINT,
        state TEXT NOT NULL, sent_at BIGINT NOT NULL, received_at BIGINT NOT NULL, UNIQUE (jid, platform_id))",
    "CREATE INDEX messages_chat ON messages (jid, id)",
    "CREATE INDEX messages_group ON messages (group_id, id) WHERE group_id IS NOT NULL",
    "CREATE INDEX messages_lane ON messages (lane_id, id) WHERE lane_id IS NOT NULL",
    "CREATE INDEX messages_context ON messages (lane_id, id) WHERE state = 'context-kept'",
    "CREATE INDEX messages_answer ON messages (in_reply_to) WHERE in_reply_to IS NOT NULL",
    "CREATE INDEX messages_received ON messages (received_at)",
    "CREATE TABLE revisions (message_id BIGINT NOT NULL REFERENCES messages (id) ON DELETE CASCADE, n BIGINT NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (message_id, n))",
    // `jobs` and `runs` don't REFERENCE lanes: SQLite would look through all of them for each new lane.
    "CREATE TABLE jobs (id {id}, group_id BIGINT NOT NULL, lane_id BIGINT NOT NULL,
        message_id BIGINT, run_id BIGINT, kind TEXT NOT NULL, jid TEXT NOT NULL, thread TEXT NOT NULL,
        role TEXT NOT NULL, text TEXT, size_bytes BIGINT NOT NULL, state TEXT NOT NULL, run_at BIGINT NOT NULL,
        failures BIGINT NOT NULL DEFAULT 0, gateway_deaths BIGINT NOT NULL DEFAULT 0,
        had_effect BIGINT NOT NULL DEFAULT 0, told_waiting BIGINT NOT NULL DEFAULT 0, live_outbox_id BIGINT, error TEXT,
        created_at BIGINT NOT NULL, ended_at BIGINT)",
    "CREATE INDEX jobs_waiting ON jobs (lane_id, run_at, id) WHERE state = 'queued'",
    "CREATE INDEX jobs_due ON jobs (run_at) WHERE state = 'queued'",
    "CREATE INDEX jobs_run ON jobs (run_id) WHERE run_id IS NOT NULL",
    "CREATE INDEX jobs_message ON jobs (message_id) WHERE message_id IS NOT NULL",
    "CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running'",
    "CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead'",
    "CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE TABLE runs (id {id}, group_id BIGINT NOT NULL, lane_id BIGINT NOT NULL,
        slot BIGINT NOT NULL, node TEXT NOT NULL, epoch BIGINT NOT NULL, lease_until BIGINT NOT NULL,
        state TEXT NOT NULL, error TEXT, started_at BIGINT NOT NULL, ended_at BIGINT)",
    // One run a lane: two agents in one conversation overwrite each other.
    "CREATE UNIQUE INDEX one_run_a_lane ON runs (lane_id) WHERE state = 'running'",
    "CREATE UNIQUE INDEX one_run_a_slot ON runs (group_id, slot) WHERE state = 'running'",
    "CREATE INDEX runs_running ON runs (id) WHERE state = 'running'",
    "CREATE INDEX runs_group ON runs (group_id, started_at)",
    "CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE TABLE slots (n BIGINT PRIMARY KEY)",
    // As many as `MAX_SLOTS`.
    "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 63) INSERT INTO slots (n) SELECT n FROM s",
    "CREATE TABLE asks (id {id}, job_id BIGINT NOT NULL, run_id BIGINT NOT NULL, jid TEXT NOT NULL,
        thread TEXT NOT NULL, outbox_id BIGINT NOT NULL, options TEXT NOT NULL, expires_at BIGINT NOT NULL,
        created_at BIGINT NOT NULL, answer TEXT, answered_by TEXT, answered_at BIGINT)",
    "CREATE INDEX asks_open ON asks (jid, id) WHERE answer IS NULL",
    "CREATE INDEX asks_job ON asks (job_id)",
    // The key of a host call: the same call again gets the stored result.
    "CREATE TABLE calls (job_id BIGINT NOT NULL, name TEXT NOT NULL, arguments_hash TEXT NOT NULL, n BIGINT NOT NULL,
        result TEXT NOT NULL, ask_id BIGINT, at BIGINT NOT NULL, PRIMARY KEY (job_id, name, arguments_hash, n))",
    "CREATE TABLE outbox (id {id}, account TEXT NOT NULL, jid TEXT NOT NULL, thread TEXT NOT NULL, item TEXT NOT NULL,
        about BIGINT, answer_id BIGINT, is_first BIGINT NOT NULL, job_id BIGINT, run_id BIGINT, live BIGINT NOT NULL,
        state TEXT NOT NULL, attempt BIGINT NOT NULL DEFAULT 0, in_doubt BIGINT NOT NULL DEFAULT 0,
        next_at BIGINT NOT NULL, node TEXT, platform_id TEXT, error TEXT, created_at BIGINT NOT NULL, taken_at BIGINT,
        sent_at BIGINT)",
    "CREATE UNIQUE INDEX one_sending_a_place ON outbox (jid, thread) WHERE state = 'sending'",
    "CREATE INDEX outbox_open ON outbox (jid, thread, id) WHERE state IN ('pending', 'sending')",
    "CREATE INDEX outbox_due ON outbox (account, next_at, id) WHERE state = 'pending'",
    "CREATE INDEX outbox_next ON outbox (next_at) WHERE state = 'pending'",
    "CREATE INDEX outbox_about ON outbox (about) WHERE about IS NOT NULL",
    "CREATE INDEX outbox_answer ON outbox (answer_id) WHERE answer_id IS NOT NULL",
    "CREATE INDEX outbox_platform ON outbox (jid, platform_id) WHERE platform_id IS NOT NULL",
    "CREATE INDEX outbox_job ON outbox (job_id) WHERE job_id IS NOT NULL",
    "CREATE INDEX outbox_created ON outbox (created_at)",
    "CREATE TABLE decisions (id {id}, at BIGINT NOT NULL, message_id BIGINT, job_id BIGINT, run_id BIGINT,
        kind TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE INDEX decisions_message ON decisions (message_id, id) WHERE message_id IS NOT NULL",
    "CREATE INDEX decisions_job ON decisions (job_id, id) WHERE job_id IS NOT NULL",
    "CREATE INDEX decisions_run ON decisions (run_id, id) WHERE run_id IS NOT NULL",
    "CREATE INDEX decisions_at ON decisions (at)",
    "CREATE TABLE usage_counts (id {id}, run_id BIGINT NOT NULL, group_id BIGINT NOT NULL, at BIGINT NOT NULL,
        provider TEXT NOT NULL, model TEXT NOT NULL, input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL)",
    "CREATE INDEX usage_group ON usage_counts (group_id, at)",
    "CREATE TABLE kv (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE login_codes (hash TEXT PRIMARY KEY, expires_at BIGINT NOT NULL, used_at BIGINT)",
    "CREATE TABLE sessions (hash TEXT PRIMARY KEY, user_id BIGINT NOT NULL REFERENCES people (id),
        created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
    "CREATE TABLE media_files (message_id BIGINT NOT NULL REFERENCES messages (id) ON DELETE CASCADE, n BIGINT NOT NULL,
        path TEXT NOT NULL, PRIMARY KEY (message_id, n))",
    // Only ever added to.
    "CREATE TABLE audit (id {id}, at BIGINT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL)",
];

/// What a message quotes and which album it is of; who may answer a question.
const V2: &[&str] = &[
    "ALTER TABLE messages ADD COLUMN quote TEXT",
    "ALTER TABLE messages ADD COLUMN album TEXT",
    "ALTER TABLE asks ADD COLUMN audience TEXT",
    "ALTER TABLE asks ADD COLUMN numbered BIGINT NOT NULL DEFAULT 0",
];

/// Whom a login code lets in; threads of a chat.
const V3: &[&str] = &[
    // Whom the code lets in. One that an earlier version made has nobody, and is good for ten minutes only.
    "ALTER TABLE login_codes ADD COLUMN user_id BIGINT",
    "CREATE INDEX messages_thread ON messages (jid, thread, id) WHERE thread <> ''",
];

/// Tasks and their fires.
const V4: &[&str] = &[
    "CREATE TABLE tasks (id {id}, group_id BIGINT NOT NULL REFERENCES groups (id), does TEXT NOT NULL, text TEXT NOT NULL,
        schedule TEXT NOT NULL, value TEXT NOT NULL, zone TEXT NOT NULL, misfire TEXT NOT NULL, overlap TEXT NOT NULL,
        jitter_ms BIGINT NOT NULL, jid TEXT NOT NULL, thread TEXT NOT NULL, lane_key TEXT, role TEXT NOT NULL,
        made_by TEXT NOT NULL, state TEXT NOT NULL, note TEXT, next_at BIGINT, last_at BIGINT,
        missed BIGINT NOT NULL DEFAULT 0, active_since BIGINT NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE INDEX tasks_due ON tasks (next_at, id) WHERE state = 'active'",
    "CREATE INDEX tasks_group ON tasks (group_id, id)",
    // One fire of a task and slot, whoever looks and however often.
    "CREATE TABLE fires (id {id}, task_id BIGINT NOT NULL REFERENCES tasks (id), slot_at BIGINT NOT NULL,
        fired_at BIGINT NOT NULL, skipped TEXT, UNIQUE (task_id, slot_at))",
    "CREATE INDEX fires_at ON fires (fired_at)",
    "ALTER TABLE jobs ADD COLUMN task_id BIGINT",
    "ALTER TABLE jobs ADD COLUMN slot_at BIGINT",
    "CREATE INDEX jobs_task ON jobs (task_id, id) WHERE task_id IS NOT NULL",
];

/// Groups that rest; conversations that were begun anew while a run was under way.
const V5: &[&str] = &[
    "ALTER TABLE groups ADD COLUMN paused_at BIGINT",
    // The run that was the latest when somebody wanted a new conversation: what it says of its session comes too late.
    "ALTER TABLE lanes ADD COLUMN fresh_after BIGINT NOT NULL DEFAULT 0",
];

/// How messages wait for their agent.
const V6: &[&str] = &[
    "ALTER TABLE bindings ADD COLUMN queue TEXT",
    // What its binding said when it came: collect, steer, followup, interrupt.
    "ALTER TABLE jobs ADD COLUMN mode TEXT NOT NULL DEFAULT 'collect'",
    // The question whether it is still to be answered.
    "ALTER TABLE jobs ADD COLUMN ask_id BIGINT",
    "CREATE INDEX jobs_ask ON jobs (ask_id) WHERE ask_id IS NOT NULL",
    // What the clock asks goes before what people wrote.
    "CREATE INDEX jobs_clock ON jobs (lane_id, run_at, id) WHERE state = 'queued' AND kind <> 'message'",
];

/// Who is heard in another way than the rest of a chat.
const V7: &[&str] = &["ALTER TABLE bindings ADD COLUMN exceptions TEXT"];

/// What only one node at a time may have, and until when it is believed to live.
const V8: &[&str] =
    &["CREATE TABLE leases (name TEXT PRIMARY KEY, node TEXT NOT NULL, epoch BIGINT NOT NULL,
        lease_until BIGINT NOT NULL)"];

/// What tokens cost, which of them were cached, and whether anybody counted them.
const V9: &[&str] = &[
    // Of the input.
    "ALTER TABLE usage_counts ADD COLUMN cached_tokens BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE usage_counts ADD COLUMN is_estimated BIGINT NOT NULL DEFAULT 0",
    // In millionths of the currency's unit; none where there was no price.
    "ALTER TABLE usage_counts ADD COLUMN cost_micros BIGINT",
];

/// What messages are found by, people on several accounts, and fewer indexes: each is a page more in every commit on the way
/// of a message.
const V10: &[&str] = &[
    "CREATE TABLE words (word TEXT NOT NULL, message_id BIGINT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        PRIMARY KEY (word, message_id)) {no_rowid}",
    "CREATE INDEX words_message ON words (message_id)",
    // Messages whose text changed since their words were written.
    "CREATE TABLE reworded (message_id BIGINT PRIMARY KEY)",
    // What is old is found by its id, which grows with time (`prune.rs`).
    "DROP INDEX decisions_at",
    "DROP INDEX messages_received",
    "DROP INDEX outbox_created",
    "DROP INDEX runs_ended",
    "DROP INDEX jobs_ended",
    "DROP INDEX events_at",
    // Nobody asks for decisions but by their message.
    "DROP INDEX decisions_job",
    "DROP INDEX decisions_run",
    // What runs is found by the indexes that keep it from running twice, and its jobs by their run.
    "DROP INDEX runs_running",
    "DROP INDEX jobs_running",
    // What goes out about a message is found by that message; these are for the rest.
    "DROP INDEX outbox_answer",
    "CREATE INDEX outbox_answer ON outbox (answer_id) WHERE answer_id IS NOT NULL AND about IS NULL",
    "DROP INDEX outbox_job",
    "CREATE INDEX outbox_job ON outbox (job_id) WHERE job_id IS NOT NULL AND about IS NULL",
    // Who wants to be forgotten and is not yet.
    "CREATE TABLE forgets (id {id}, account TEXT NOT NULL, sender_id TEXT NOT NULL, jid TEXT NOT NULL, thread TEXT NOT NULL,
        lang TEXT NOT NULL, UNIQUE (account, sender_id))",
    // Codes that make one person of two senders: shown to one, typed by the other.
    "CREATE TABLE links (id {id}, code TEXT NOT NULL UNIQUE, account TEXT NOT NULL, sender_id TEXT NOT NULL,
        sender_name TEXT NOT NULL, jid TEXT NOT NULL, thread TEXT NOT NULL, lang TEXT NOT NULL, door_user BIGINT,
        expires_at BIGINT NOT NULL, used_account TEXT, used_sender TEXT, used_name TEXT, used_jid TEXT, used_thread TEXT,
        used_lang TEXT, used_door_user BIGINT, user_id BIGINT, joined TEXT, used_at BIGINT, undone_at BIGINT)",
    "CREATE INDEX links_shown ON links (account, sender_id)",
    "CREATE INDEX links_typed ON links (used_account, used_sender) WHERE used_account IS NOT NULL",
    // What a request has used that is still under way: the next count of its run takes its place.
    "ALTER TABLE usage_counts ADD COLUMN is_open BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX usage_open ON usage_counts (run_id) WHERE is_open = 1",
    // What plugins are still to be asked about (`waiting`), or hold until somebody decides (`held`): messages and edits
    // on their way in, texts on their way out.
    "CREATE TABLE passages (id {id}, way TEXT NOT NULL, state TEXT NOT NULL, message_id BIGINT, inbound TEXT,
        group_id BIGINT, job_id BIGINT, jid TEXT NOT NULL, thread TEXT NOT NULL, text TEXT NOT NULL, plugin TEXT, why TEXT,
        created_at BIGINT NOT NULL)",
    // What plugins keep; the bytes as base64, their number with that of the key's.
    "CREATE TABLE plugin_kv (plugin TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, size_bytes BIGINT NOT NULL,
        PRIMARY KEY (plugin, name))",
    // Settings of plugins that were changed while the gateway ran, as JSON: of each the latest counts. None: those of the file
    // count again.
    "CREATE TABLE plugin_settings (id {id}, plugin TEXT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL, value TEXT)",
    "CREATE INDEX plugin_settings_of ON plugin_settings (plugin, id)",
];
