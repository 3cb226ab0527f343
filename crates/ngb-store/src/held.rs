//! Messages that are too old to be answered without asking: they are held until somebody says what is to become of them.

use ngb_core::{
    ask::{self, Audience},
    clock::Timestamp,
    decision::Decision,
    id::{AskId, JobId, MessageId},
    message::Button,
};

use crate::{
    Claim, Finish, Finished, NewDecision, NewOutbox, Store, StoreError,
    db::Tx,
    moves,
    outbox::{self, OutRow},
    runs,
    sql::{row, sql, thread, to_json},
};

/// Jobs of a run that are not to be begun, and the end of that run. What else it carries is queued again.
#[derive(Clone, Debug)]
pub struct PutOff {
    pub claim: Claim,
    pub now: Timestamp,
    /// Never empty.
    pub jobs: Vec<JobId>,
    /// What the chat is asked; none drops them.
    pub ask: Option<PutOffAsk>,
}

/// Whether held messages are to be answered.
#[derive(Clone, Debug)]
pub struct PutOffAsk {
    /// What is sent: the question, whose last part an answer refers to. Never empty.
    pub parts: Vec<NewOutbox>,
    /// Yes, then no; their values are of [`ask::value_of`].
    pub options: Vec<Button>,
    /// Whether the options are shown with numbers.
    pub numbered: bool,
    pub audience: Audience,
    pub expires_at: Timestamp,
}

async fn put_off(tx: &mut Tx, it: &PutOff) -> Result<(Finished, Option<AskId>), StoreError> {
    runs::guard(tx, &it.claim).await?;
    let run = it.claim.run;
    let (mut asked, mut said) = (None, Vec::new());
    if let Some(ask) = &it.ask {
        let row = |new| OutRow { run: Some(run), ..OutRow::from(new) };
        said = outbox::queue(tx, &ask.parts.iter().map(row).collect::<Vec<_>>()).await?;
        let (Some(last), Some(queued), Some(first)) =
            (ask.parts.last(), said.last(), it.jobs.first())
        else {
            return Err(StoreError::Fenced(run));
        };
        let insert =
            "INSERT INTO asks (job_id, run_id, jid, thread, outbox_id, options, numbered, audience,
                          expires_at, created_at)
                      VALUES {values} RETURNING id";
        let values = row![
            *first,
            run,
            last.place.jid.to_string(),
            thread(&last.place),
            queued.id,
            to_json(&ask.options)?,
            ask.numbered,
            to_json(&ask.audience)?,
            ask.expires_at,
            it.now,
        ];
        let made = tx.rows_many(sql("ask about old messages", insert), vec![values]).await?;
        asked = made.first().map(|it| it.int("id")).transpose()?.map(AskId);
    }
    let held = asked.is_some();
    let (state, ended, error) = match asked {
        Some(_) => ("held", None, None),
        None => ("cancelled", Some(it.now.0), Some("it was too old when it would have begun")),
    };
    let text = "UPDATE jobs SET state = $2, ask_id = $3, ended_at = $4, error = $5
                WHERE run_id = $1 AND state = 'running' AND id IN ({list}) RETURNING id, message_id";
    let query = sql("put jobs off", text).bind(run).bind(state).bind(asked).bind(ended).bind(error);
    for row in tx.rows(query.list(it.jobs.iter().copied())).await? {
        let message = row.opt_int("message_id")?.map(MessageId);
        let job = Some(JobId(row.int("id")?));
        let kind = if held { Decision::Held } else { Decision::Dropped };
        let detail = "it is older than its chat's `stale_seconds`".to_owned();
        tx.decide_at(it.now, NewDecision { message, job, run: Some(run), kind, detail });
    }
    let finish = Finish {
        claim: it.claim,
        now: it.now,
        jobs: Vec::new(),
        answer: None,
        outbox: Vec::new(),
        session: None,
        usage: Vec::new(),
        error: None,
        context_given: false,
        decisions: Vec::new(),
    };
    let ended = runs::finish_all(tx, &[&finish]).await?.pop();
    let mut finished = ended.unwrap_or(Err(StoreError::Fenced(run)))?;
    finished.said.extend(said);
    Ok((finished, asked))
}

/// Lets go what an answered question held: back into the queue, or cancelled.
pub(crate) async fn release(
    tx: &mut Tx,
    ask: AskId,
    value: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let yes = ask::index_of(value) == Some(0);
    let text = if yes {
        "UPDATE jobs SET state = 'queued', run_at = $2 WHERE ask_id = $1 AND state = 'held'
         RETURNING id, message_id, lane_id"
    } else {
        "UPDATE jobs SET state = 'cancelled', ended_at = $2, error = 'somebody chose to skip it'
         WHERE ask_id = $1 AND state = 'held' RETURNING id, message_id, lane_id"
    };
    let mut lanes = Vec::new();
    for row in tx.rows(sql("let held jobs go", text).bind(ask).bind(now)).await? {
        lanes.push(row.int("lane_id")?);
        let message = row.opt_int("message_id")?.map(MessageId);
        let job = Some(JobId(row.int("id")?));
        let (kind, detail) = match yes {
            true => (Decision::Queued, "somebody said that it is to be answered"),
            false => (Decision::Dropped, "somebody said that it is not to be answered"),
        };
        let detail = detail.to_owned();
        tx.decide_at(now, NewDecision { message, job, run: None, kind, detail });
    }
    moves::requeue_lanes(tx, lanes).await
}

async fn forget(tx: &mut Tx, now: &Timestamp) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = 'cancelled', ended_at = $1, error = 'nobody said whether to answer it'
                WHERE state = 'held' AND ask_id IN (SELECT id FROM asks WHERE answer IS NULL AND expires_at <= $1)
                RETURNING id, message_id";
    for row in tx.rows(sql("give up held jobs", text).bind(*now)).await? {
        let message = row.opt_int("message_id")?.map(MessageId);
        let (job, kind) = (Some(JobId(row.int("id")?)), Decision::Dropped);
        let detail = "nobody said whether it is to be answered".to_owned();
        tx.decide_at(*now, NewDecision { message, job, run: None, kind, detail });
    }
    Ok(())
}

impl Store {
    /// Ends a run whose messages are too old: they are held until the question is answered, or dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] when the run no longer holds its lane.
    pub async fn put_off(&self, it: PutOff) -> Result<(Finished, Option<AskId>), StoreError> {
        self.write(it, |tx, it| Box::pin(put_off(tx, it))).await
    }

    /// Gives up what is held by questions that are no longer open.
    pub async fn forget_held(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(now, |tx, it| Box::pin(forget(tx, it))).await
    }
}
