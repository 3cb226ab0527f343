//! Host calls: what an agent asks of the gateway, each done once.

use ngb_core::{
    clock::Timestamp,
    decision::Decision,
    id::{AskId, JobId, MessageId, OutboxId},
};

use crate::{
    AnsweredAsk, CallEffect, Called, Claim, HostCallWrite, NewDecision, NewOutbox, Queued, Store,
    StoreError,
    db::Tx,
    intake, moves,
    outbox::{self, OutRow},
    runs,
    sql::{row, sql, thread, to_json},
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
    let (mut ask, mut said) = (None, None);
    match &it.does {
        CallEffect::Send(new) => {
            let row = OutRow { run: Some(it.claim.run), ..OutRow::from(new) };
            said = outbox::queue(tx, &[row]).await?.pop();
        }
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
        CallEffect::Ask { place, text, options, expires_at } => {
            let (item, about) = (text.clone(), message);
            let new =
                NewOutbox { place: place.clone(), item, about, job: Some(it.job), live: false };
            let row = OutRow { run: Some(it.claim.run), ..OutRow::from(&new) };
            said = outbox::queue(tx, &[row]).await?.pop();
            let outbox = said.as_ref().map(|it| it.id);
            let insert = "INSERT INTO asks (job_id, run_id, jid, thread, outbox_id, options, expires_at, created_at)
                          VALUES {values} RETURNING id";
            let values = row![
                it.job,
                it.claim.run,
                place.jid.to_string(),
                thread(place),
                outbox,
                to_json(options)?,
                *expires_at,
                it.now,
            ];
            let made = tx.rows_many(sql("open a question", insert), vec![values]).await?;
            ask = made.first().map(|it| it.int("id")).transpose()?.map(AskId);
        }
    }
    let text =
        "INSERT INTO calls (job_id, name, arguments_hash, n, result, ask_id, at) VALUES {values}";
    let values = row![it.job, it.name, &it.arguments_hash, it.n, &it.result, ask, it.now];
    tx.run_many(sql("keep a call", text), vec![values]).await?;
    let (job, run) = (Some(it.job), Some(it.claim.run));
    let kind = Decision::Called;
    tx.decide_at(it.now, NewDecision { message, job, run, kind, detail: it.name.to_owned() });
    Ok(Called::New { result: it.result.clone(), ask, said })
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
