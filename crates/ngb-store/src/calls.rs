//! Host calls: what an agent asks of the gateway, each done once.

use ngb_core::{
    address::Jid,
    ask::{Audience, OpenQuestion},
    clock::Timestamp,
    decision::Decision,
    id::{AskId, GroupId, JobId, MessageId, OutboxId, RunId},
};

use crate::{
    AnsweredAsk, CallEffect, Called, Claim, HostCallWrite, NewDecision, NewOutbox, Queued, Store,
    StoreError,
    db::Tx,
    groups, intake, moves,
    outbox::{self, OutRow},
    runs,
    sql::{Row, row, sql, thread, to_json},
    tasks,
};

async fn call(tx: &mut Tx, it: &HostCallWrite) -> Result<Called, StoreError> {
    if runs::guard(tx, &it.claim).await.is_err() {
        return Ok(Called::Fenced);
    }
    let text =
        "SELECT c.result, c.ask_id, a.answer FROM calls c LEFT JOIN asks a ON a.id = c.ask_id
                WHERE c.job_id = $1 AND c.name = $2 AND c.arguments_hash = $3 AND c.n = $4";
    let key = |text| sql("look for a call", text).bind(it.job).bind(it.name);
    let query = key(text).bind(&it.arguments_hash).bind(it.n);
    if let Some(row) = tx.row(query).await? {
        let ask = row.opt_int("ask_id")?.map(AskId);
        return Ok(Called::Before {
            result: row.text("result")?,
            ask,
            answer: row.opt_text("answer")?,
        });
    }
    // What it says stands in the log of the message that is being answered.
    let text = "SELECT message_id FROM jobs WHERE id = $1";
    let job = tx.row(sql("read a job", text).bind(it.job)).await?;
    let message = job.map(|it| it.opt_int("message_id")).transpose()?.flatten().map(MessageId);
    let (mut ask, mut said, mut result) = (None, Vec::new(), it.result.clone());
    match &it.does {
        CallEffect::Send(parts) => said = say(tx, it.claim.run, parts).await?,
        CallEffect::SayLater { place, text, run_at, role } => {
            let values = row![
                it.claim.group,
                it.claim.lane,
                "say",
                place.jid.to_string(),
                thread(place),
                role.as_str(),
                text,
                text.len(),
                "queued",
                *run_at,
                it.now,
            ];
            let insert = "INSERT INTO jobs (group_id, lane_id, kind, jid, thread, role, text, size_bytes, state, run_at,
                              created_at) VALUES {values}";
            tx.run_many(sql("queue a later word", insert), vec![values]).await?;
            intake::wake_lanes(tx, vec![row![it.claim.lane, *run_at]]).await?;
        }
        CallEffect::AddTask(task) => {
            let task = tasks::add(tx, task).await?;
            result = format!("{{\"task\":{task}}}");
        }
        CallEffect::ChangeTask(task, how) => tasks::change(tx, &(*task, how.clone())).await?,
        CallEffect::AddGroup { group, bound } => {
            let group = groups::register(tx, group, bound).await?;
            result = format!("{{\"group\":{group}}}");
        }
        CallEffect::Ask { parts, options, numbered, audience, expires_at } => {
            said = say(tx, it.claim.run, parts).await?;
            let (Some(last), Some(queued)) = (parts.last(), said.last()) else {
                return Err(StoreError::Fenced(it.claim.run));
            };
            let insert = "INSERT INTO asks (job_id, run_id, jid, thread, outbox_id, options, numbered, audience,
                              expires_at, created_at)
                          VALUES {values} RETURNING id";
            let values = row![
                it.job,
                it.claim.run,
                last.place.jid.to_string(),
                thread(&last.place),
                queued.id,
                to_json(options)?,
                *numbered,
                to_json(audience)?,
                *expires_at,
                it.now,
            ];
            let made = tx.rows_many(sql("open a question", insert), vec![values]).await?;
            ask = made.first().map(|it| it.int("id")).transpose()?.map(AskId);
        }
    }
    let text =
        "INSERT INTO calls (job_id, name, arguments_hash, n, result, ask_id, at) VALUES {values}";
    let values = row![it.job, it.name, &it.arguments_hash, it.n, &result, ask, it.now];
    tx.run_many(sql("keep a call", text), vec![values]).await?;
    let (job, run) = (Some(it.job), Some(it.claim.run));
    let kind = Decision::Called;
    tx.decide_at(it.now, NewDecision { message, job, run, kind, detail: it.name.to_owned() });
    Ok(Called::New { result, ask, said })
}

async fn say(tx: &mut Tx, run: RunId, parts: &[NewOutbox]) -> Result<Vec<Queued>, StoreError> {
    let row = |new| OutRow { run: Some(run), ..OutRow::from(new) };
    outbox::queue(tx, &parts.iter().map(row).collect::<Vec<_>>()).await
}

async fn live(
    tx: &mut Tx,
    (claim, job, new): &(Claim, JobId, NewOutbox),
) -> Result<Queued, StoreError> {
    runs::guard(tx, claim).await?;
    let row = OutRow { run: Some(claim.run), ..OutRow::from(new) };
    let queued = outbox::queue(tx, &[row]).await?.pop();
    let queued = queued.ok_or(StoreError::Fenced(claim.run))?;
    let text = "UPDATE jobs SET live_outbox_id = $2 WHERE id = $1";
    tx.run(sql("note a live answer", text).bind(*job).bind(queued.id)).await?;
    Ok(queued)
}

struct Answer {
    ask: AskId,
    value: String,
    by: String,
    now: Timestamp,
}

impl Store {
    /// Does what an agent asks, once: the same call again gets the stored result.
    pub async fn call(&self, call_: HostCallWrite) -> Result<Called, StoreError> {
        self.write(call_, |tx, it| Box::pin(call(tx, it))).await
    }

    /// Queues the first send of an answer that is shown while it is made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane.
    pub async fn live(
        &self,
        claim: &Claim,
        job: JobId,
        item: NewOutbox,
    ) -> Result<Queued, StoreError> {
        self.write((*claim, job, item), |tx, it| Box::pin(live(tx, it))).await
    }

    /// The platform's id of an item, once it was sent.
    pub async fn platform_id(&self, item: OutboxId) -> Result<Option<String>, StoreError> {
        let text = "SELECT platform_id FROM outbox WHERE id = $1";
        let row = self.row(sql("read a sent item", text).bind(item)).await?;
        Ok(row.map(|it| it.opt_text("platform_id")).transpose()?.flatten())
    }

    /// The questions of a chat that are open at `now`, the oldest first.
    pub async fn open_questions(
        &self,
        jid: &Jid,
        now: Timestamp,
    ) -> Result<Vec<OpenQuestion>, StoreError> {
        let text = "SELECT a.id, a.jid, a.thread, a.options, a.numbered, a.audience, o.platform_id, j.group_id
                    FROM asks a JOIN outbox o ON o.id = a.outbox_id JOIN jobs j ON j.id = a.job_id
                    WHERE a.jid = $1 AND a.answer IS NULL AND a.expires_at > $2 ORDER BY a.id";
        let query = sql("read open questions", text).bind(jid.to_string()).bind(now);
        let open = |row: &Row| {
            Ok(OpenQuestion {
                ask: AskId(row.int("id")?),
                group: GroupId(row.int("group_id")?),
                place: row.place()?,
                options: row.json("options")?,
                audience: match row.opt_text("audience")? {
                    Some(_) => row.json("audience")?,
                    None => Audience::default(),
                },
                numbered: row.flag("numbered")?,
                platform_id: row.opt_text("platform_id")?,
            })
        };
        self.rows(query).await?.iter().map(open).collect()
    }

    /// The chats with a question that is open at `now`.
    pub async fn asked_chats(&self, now: Timestamp) -> Result<Vec<Jid>, StoreError> {
        let text = "SELECT DISTINCT jid FROM asks WHERE answer IS NULL AND expires_at > $1";
        let rows = self.rows(sql("read where questions are open", text).bind(now)).await?;
        rows.iter().map(|it| it.parsed("jid")).collect()
    }

    /// Answers a question; `None` when it was answered before, or is no longer open.
    pub async fn answer_ask(
        &self,
        ask: AskId,
        value: &str,
        by: &str,
    ) -> Result<Option<AnsweredAsk>, StoreError> {
        let it = Answer { ask, value: value.to_owned(), by: by.to_owned(), now: self.now() };
        self.write(it, |tx, it| Box::pin(moves::answer(tx, it.ask, &it.value, &it.by, it.now)))
            .await
    }
}
