//! Events about something that is here already: an edit, a deletion, a chat's move, a button.

use ngb_core::{
    address::Jid,
    clock::Timestamp,
    decision::Decision,
    id::{AskId, JobId, LaneId, MessageId, RunId},
    message::{Content, Happening, Inbound},
};

use crate::{
    AnsweredAsk, NewDecision, StoreError, Theirs,
    db::Tx,
    held,
    intake::{INSERT_MESSAGES, message_row, platform_id},
    search,
    sql::sql,
};

/// Writes a new revision of a message. An edit of one that was never seen is kept as context.
pub(crate) async fn revise(
    tx: &mut Tx,
    inbound: &Inbound,
    now: Timestamp,
) -> Result<Option<MessageId>, StoreError> {
    let jid = inbound.place.jid.to_string();
    let (id, kind, content) = match &inbound.what {
        Happening::Edit(content) => {
            (platform_id(inbound, content), Decision::Edited, Some(content))
        }
        Happening::Delete { platform_id } => (platform_id.clone(), Decision::Deleted, None),
        _ => return Ok(None),
    };
    let text = "SELECT id FROM messages WHERE jid = $1 AND platform_id = $2";
    let found = tx.row(sql("look for a message", text).bind(jid).bind(id)).await?;
    let Some(found) = found else { return keep(tx, inbound, content, now).await };
    let message = MessageId(found.int("id")?);
    let new = content.map_or("", |it| it.text.as_str());

    let word = if content.is_some() { "edit" } else { "delete" };
    let text = "INSERT INTO revisions (message_id, n, kind, text, at)
                SELECT id, (SELECT coalesce(max(r.n), 0) + 1 FROM revisions r WHERE r.message_id = messages.id), $2, text, $3
                FROM messages WHERE id = $1";
    tx.run(sql("keep the old text", text).bind(message).bind(word).bind(now)).await?;
    let text = "UPDATE messages SET text = $2, state = CASE WHEN $3 = 1 THEN 'deleted' ELSE state END WHERE id = $1";
    let query = sql("write the new text", text).bind(message).bind(new).bind(content.is_none());
    tx.run(query).await?;
    search::reworded(tx, message).await?;
    let (message_id, run) = (Some(message), None);
    let decision = NewDecision { message: message_id, job: None, run, kind, detail: String::new() };
    tx.decide_at(now, decision);
    if content.is_some() {
        let text =
            "UPDATE jobs SET size_bytes = $2 WHERE message_id = $1 AND state IN ('queued', 'held')";
        tx.run(sql("resize a job", text).bind(message).bind(new.len())).await?;
    } else {
        let text =
            "UPDATE jobs SET state = 'cancelled', ended_at = $2, error = 'the message was deleted'
                    WHERE message_id = $1 AND state IN ('queued', 'held') RETURNING lane_id";
        let cancelled = tx.rows(sql("cancel a job", text).bind(message).bind(now)).await?;
        let lanes = cancelled.iter().map(|it| it.int("lane_id")).collect::<Result<Vec<_>, _>>()?;
        requeue_lanes(tx, lanes).await?;
    }
    Ok(Some(message))
}

/// Marks what was sent as failed; the message that it is about. A second word on the same row changes nothing.
pub(crate) async fn fail_send(
    tx: &mut Tx,
    inbound: &Inbound,
    now: Timestamp,
) -> Result<Option<MessageId>, StoreError> {
    let Happening::Undelivered { platform_id, why } = &inbound.what else { return Ok(None) };
    let text = "UPDATE outbox SET state = 'failed', error = $3
                WHERE jid = $1 AND platform_id = $2 AND state = 'sent' RETURNING id, about, job_id, run_id";
    let jid = inbound.place.jid.to_string();
    let query = sql("fail what was sent", text).bind(jid).bind(platform_id).bind(why);
    let Some(row) = tx.row(query).await? else { return Ok(None) };
    let message = row.opt_int("about")?.map(MessageId);
    let (job, run) = (row.opt_int("job_id")?.map(JobId), row.opt_int("run_id")?.map(RunId));
    let detail = format!("#{} {why}", row.int("id")?);
    tx.decide_at(now, NewDecision { message, job, run, kind: Decision::SendFailed, detail });
    Ok(message)
}

async fn keep(
    tx: &mut Tx,
    inbound: &Inbound,
    content: Option<&Content>,
    now: Timestamp,
) -> Result<Option<MessageId>, StoreError> {
    let Some(content) = content else { return Ok(None) };
    let row = message_row(inbound, content, (None, None, None), "context-kept", now)?;
    let made = tx.rows_many(sql("keep an edited message", INSERT_MESSAGES), vec![row]).await?;
    let Some(made) = made.first() else { return Ok(None) };
    let message = Some(MessageId(made.int("id")?));
    let detail = "it is an edit of a message that was never seen".to_owned();
    tx.decide_at(now, NewDecision { message, job: None, run: None, kind: Decision::Kept, detail });
    Ok(message)
}

/// Reckons anew when lanes are due.
pub(crate) async fn requeue_lanes(tx: &mut Tx, lanes: Vec<i64>) -> Result<(), StoreError> {
    if lanes.is_empty() {
        return Ok(());
    }
    let text = "UPDATE lanes SET due_at = (SELECT min(q.run_at) FROM jobs q
                    WHERE q.lane_id = lanes.id AND q.state = 'queued')
                WHERE run_id IS NULL AND id IN ({list})";
    tx.run(sql("reckon when lanes are due", text).list(lanes)).await.map(drop)
}

/// Gives all that belongs to a chat its new address. What the new address has already stays as it is.
pub(crate) async fn move_chat(tx: &mut Tx, from: &Jid, to: &Jid) -> Result<(), StoreError> {
    if from == to {
        return Ok(());
    }
    let steps = [
        "INSERT INTO chats (jid, title, is_direct, access, last_seen_at)
            SELECT $2, title, is_direct, access, last_seen_at FROM chats WHERE jid = $1
            ON CONFLICT (jid) DO UPDATE SET access = CASE WHEN chats.access = 'unknown' THEN excluded.access
                ELSE chats.access END",
        "UPDATE bindings SET jid = $2 WHERE jid = $1 AND NOT EXISTS (SELECT 1 FROM bindings o
            WHERE o.jid = $2 AND o.thread = bindings.thread AND o.group_id = bindings.group_id)",
        "DELETE FROM bindings WHERE jid = $1 AND $2 <> $1",
        // Keys of lanes: see `Scope::key`.
        "UPDATE lanes SET lane_key = $2 || substr(lane_key, length($1) + 1)
            WHERE (lane_key = $1 OR substr(lane_key, 1, length($1) + 1) IN ($1 || '/', $1 || '#'))
            AND NOT EXISTS (SELECT 1 FROM lanes o WHERE o.group_id = lanes.group_id
                AND o.lane_key = $2 || substr(lanes.lane_key, length($1) + 1))",
        "UPDATE jobs SET jid = $2 WHERE jid = $1 AND state IN ('queued', 'running', 'held')",
        "UPDATE tasks SET jid = $2, lane_key = CASE WHEN substr(lane_key, 1, length($1)) = $1
            THEN $2 || substr(lane_key, length($1) + 1) ELSE lane_key END
            WHERE jid = $1 AND state <> 'cancelled'",
        "UPDATE asks SET jid = $2 WHERE jid = $1 AND answer IS NULL",
        "UPDATE passages SET jid = $2 WHERE jid = $1",
        // One that is being sent stays until it is settled.
        "UPDATE outbox SET jid = $2 WHERE jid = $1 AND state = 'pending'",
    ];
    for step in steps {
        let query = sql("move a chat", step).bind(from.to_string()).bind(to.to_string());
        tx.run(query).await?;
    }
    tx.cache.lanes.clear();
    tx.cache.chats.clear();
    Ok(())
}

/// Notes that somebody pressed a button that is not for them.
pub(crate) async fn not_yours(
    tx: &mut Tx,
    what: Theirs,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text =
        "SELECT j.id, j.message_id FROM asks a JOIN jobs j ON j.id = a.job_id WHERE a.id = $1";
    let (query, button) = match what {
        Theirs::Question(ask) => {
            (sql("look for a question", text).bind(ask), "a question that is not for them")
        }
        Theirs::Answer(job) => {
            let text = "SELECT id, message_id FROM jobs WHERE id = $1";
            (sql("look for a job", text).bind(job), "an answer that is not theirs to stop")
        }
    };
    let Some(row) = tx.row(query).await? else { return Ok(()) };
    let message = row.opt_int("message_id")?.map(MessageId);
    let job = Some(JobId(row.int("id")?));
    let detail = format!("`{by}` pressed a button of {button}");
    tx.decide_at(now, NewDecision { message, job, run: None, kind: Decision::Dropped, detail });
    Ok(())
}

/// Answers a question once.
pub(crate) async fn answer(
    tx: &mut Tx,
    ask: AskId,
    value: &str,
    by: &str,
    now: Timestamp,
) -> Result<Option<AnsweredAsk>, StoreError> {
    let text = "UPDATE asks SET answer = $2, answered_by = $3, answered_at = $4
                WHERE id = $1 AND answer IS NULL AND expires_at > $4
                RETURNING run_id, job_id, (SELECT j.run_id FROM jobs j WHERE j.id = asks.job_id) AS run_now,
                    (SELECT j.message_id FROM jobs j WHERE j.id = asks.job_id) AS message_id";
    let query = sql("answer a question", text).bind(ask).bind(value).bind(by).bind(now);
    let Some(row) = tx.row(query).await? else { return Ok(None) };
    // A later run may carry the job by now.
    let run = RunId(row.opt_int("run_now")?.unwrap_or(row.int("run_id")?));
    let message = row.opt_int("message_id")?.map(MessageId);
    let job = Some(JobId(row.int("job_id")?));
    let detail = format!("{by}: {value}");
    let kind = Decision::AskAnswered;
    tx.decide_at(now, NewDecision { message, job, run: Some(run), kind, detail });
    held::release(tx, ask, value, now).await?;
    Ok(Some(AnsweredAsk { ask, run, value: value.to_owned() }))
}

/// Cancels what waits in a lane.
pub(crate) async fn cancel(
    tx: &mut Tx,
    lane: LaneId,
    reason: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let text = "UPDATE jobs SET state = 'cancelled', ended_at = $2, error = $3
                WHERE lane_id = $1 AND state = 'queued' RETURNING id, message_id";
    let rows = tx.rows(sql("cancel a lane", text).bind(lane).bind(now).bind(reason)).await?;
    for row in &rows {
        let message = row.opt_int("message_id")?.map(MessageId);
        let job = Some(JobId(row.int("id")?));
        let (kind, detail) = (Decision::Interrupted, reason.to_owned());
        tx.decide_at(now, NewDecision { message, job, run: None, kind, detail });
    }
    let text = "UPDATE lanes SET due_at = NULL WHERE id = $1";
    tx.run(sql("empty a lane", text).bind(lane)).await?;
    Ok(rows.len())
}
