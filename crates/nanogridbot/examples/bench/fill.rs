//! A database with a past: many messages that were answered long ago.

use std::path::Path;

/// Puts `count` messages, half of them answers, with their events, jobs, runs, sends and decisions into a home that nobody uses now.
pub(crate) fn fill(home: &Path, count: usize) -> anyhow::Result<()> {
    let mut database = rusqlite::Connection::open(home.join("nanogridbot.db"))?;
    let asked = i64::try_from(count / 2)?;
    // They are spread over the chats that are there, a second apart, and end an hour ago.
    let past = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1),
             chat AS (SELECT row_number() OVER (ORDER BY b.id) - 1 AS k, b.jid, b.group_id, l.id AS lane_id
                 FROM bindings b JOIN lanes l ON l.group_id = b.group_id WHERE b.jid LIKE 'telegram%'),
             p AS (SELECT n.n, chat.jid, chat.group_id, chat.lane_id,
                 (unixepoch() - 3600 - ?1 + n.n) * 1000 AS at
                 FROM n JOIN chat ON chat.k = n.n % (SELECT count(*) FROM chat))";
    let tables = [
        "INSERT INTO events (account, event_key, kind, at) SELECT 'telegram@main', 'old' || n, 'message', at FROM p",
        "INSERT INTO messages (jid, thread, platform_id, author, sender_id, sender_name, role, text, media, addressed,
             group_id, lane_id, state, sent_at, received_at)
         SELECT jid, '', 'old' || n, 'user', '1', 'Ada', 'guest', 'an old question, ' || n, '[]', 'direct',
             group_id, lane_id, 'answered', at, at FROM p",
        "INSERT INTO messages (jid, thread, author, sender_id, sender_name, text, media, addressed, in_reply_to,
             group_id, lane_id, state, sent_at, received_at)
         SELECT jid, '', 'assistant', '', '', 'an old answer, ' || n, '[]', 'no', n,
             group_id, lane_id, 'answered', at, at FROM p",
        "INSERT INTO jobs (group_id, lane_id, message_id, run_id, kind, jid, thread, role, size_bytes, state, run_at,
             created_at, ended_at)
         SELECT group_id, lane_id, n, n, 'message', jid, '', 'guest', 20, 'done', at, at, at FROM p",
        "INSERT INTO runs (group_id, lane_id, slot, node, epoch, lease_until, state, started_at, ended_at)
         SELECT group_id, lane_id, 0, 'local', 0, at, 'ended', at - 86400000, at FROM p",
        "INSERT INTO outbox (account, jid, thread, item, about, is_first, job_id, run_id, live, state, next_at,
             platform_id, created_at, sent_at)
         SELECT 'telegram@main', jid, '', '{}', n, 1, n, n, 0, 'sent', at, 'old' || n, at, at FROM p",
        "INSERT INTO decisions (at, message_id, job_id, run_id, kind, detail) SELECT at, n, n, n, 'sent', '' FROM p",
    ];
    let tx = database.transaction()?;
    for insert in tables {
        // A `WITH` stands before the whole statement.
        tx.execute(&format!("{past} {insert}"), [asked])?;
    }
    tx.commit()?;
    // The last to close a database moves its log into it.
    drop(database);
    Ok(())
}
