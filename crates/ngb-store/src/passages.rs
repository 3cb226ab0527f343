//! What plugins are still to be asked about, and what one of them holds until somebody decides.

use ngb_core::{
    address::Place,
    clock::Timestamp,
    id::{GroupId, JobId, MessageId, PassageId},
    message::{Content, Happening, Inbound},
};

use crate::{
    NewOutbox, Queued, Store, StoreError,
    db::Tx,
    intake,
    outbox::{self, OutRow},
    sql::{Row, row, sql, thread, to_json},
};

/// Something on its way in or out that no plugin let through yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    pub id: PassageId,
    pub way: Way,
    pub place: Place,
    /// The message that came in, or the one that the text is about.
    pub message: Option<MessageId>,
    /// Who holds it, and why; none while plugins are still to be asked.
    pub held: Option<(String, String)>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    In(Box<Inbound>),
    Out { group: GroupId, job: JobId, text: String },
}

/// A text that is held on its way out.
#[derive(Clone, Debug)]
pub struct Withheld {
    pub place: Place,
    pub group: GroupId,
    pub job: JobId,
    pub about: Option<MessageId>,
    pub text: String,
    pub plugin: String,
    pub why: String,
}

const COLUMNS: &str = "id, way, state, message_id, inbound, group_id, job_id, jid, thread, text, plugin, why, created_at";

fn passage(row: &Row) -> Result<Passage, StoreError> {
    let place = row.place()?;
    let way = match row.text("way")?.as_str() {
        "in" => {
            let inbound: Inbound = row.json("inbound")?;
            // The chat may have moved since.
            Way::In(Box::new(Inbound { place: place.clone(), ..inbound }))
        }
        _ => Way::Out {
            group: GroupId(row.int("group_id")?),
            job: JobId(row.int("job_id")?),
            text: row.text("text")?,
        },
    };
    let held = row.opt_text("plugin")?.zip(row.opt_text("why")?);
    Ok(Passage {
        id: PassageId(row.int("id")?),
        way,
        place,
        message: row.opt_int("message_id")?.map(MessageId),
        held: held.filter(|_| row.text("state").is_ok_and(|it| it == "held")),
        created_at: row.time("created_at")?,
    })
}

async fn hold(
    tx: &mut Tx,
    it: &(PassageId, Inbound, Option<MessageId>, String, String),
) -> Result<(), StoreError> {
    let (id, inbound, message, plugin, why) = it;
    let text =
        "UPDATE passages SET state = 'held', inbound = $2, plugin = $3, why = $4 WHERE id = $1";
    let query = sql("hold a message", text).bind(*id).bind(to_json(inbound)?);
    tx.run(query.bind(&**plugin).bind(&**why)).await?;
    // What was masked before it was held is masked now.
    if let (Some(message), Happening::Message(content)) = (message, &inbound.what) {
        let content: &Content = content;
        intake::write_content(tx, *message, content).await?;
    }
    Ok(())
}

impl Store {
    /// What plugins are still to be asked about, in the order in which it came, from `after` on: its number and its chat. Each
    /// is read by itself, so that one which can't be read keeps nothing but its own chat.
    pub async fn waiting_passages(
        &self,
        after: PassageId,
        limit: u32,
    ) -> Result<Vec<(PassageId, String)>, StoreError> {
        let text =
            "SELECT id, jid FROM passages WHERE state = 'waiting' AND id > $1 ORDER BY id LIMIT $2";
        let query = sql("read what plugins are to see", text).bind(after).bind(limit);
        let rows = self.rows(query).await?;
        rows.iter().map(|it| Ok((PassageId(it.int("id")?), it.text("jid")?))).collect()
    }

    /// What plugins hold, the oldest first.
    pub async fn held_passages(&self, limit: u32) -> Result<Vec<Passage>, StoreError> {
        let text =
            format!("SELECT {COLUMNS} FROM passages WHERE state = 'held' ORDER BY id LIMIT $1");
        let rows = self.rows(sql("read what is held", text).bind(limit)).await?;
        rows.iter().map(passage).collect()
    }

    /// One of them, held or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none.
    pub async fn passage(&self, id: PassageId) -> Result<Passage, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM passages WHERE id = $1");
        let row = self.row(sql("read a passage", text).bind(id)).await?;
        let row =
            row.ok_or_else(|| StoreError::NotFound { what: "held message", name: id.to_string() })?;
        passage(&row)
    }

    /// Holds what came in, as the plugins before `plugin` left it.
    pub async fn hold_passage(
        &self,
        id: PassageId,
        inbound: Inbound,
        message: Option<MessageId>,
        plugin: String,
        why: String,
    ) -> Result<(), StoreError> {
        self.write((id, inbound, message, plugin, why), |tx, it| Box::pin(hold(tx, it))).await
    }

    /// Keeps a text that a plugin holds on its way out. Said twice, as after a death in between, it is kept once.
    pub async fn withhold(&self, it: Withheld) -> Result<(), StoreError> {
        self.write(it, |tx, it| {
            Box::pin(async move {
                let text = "SELECT id FROM passages WHERE way = 'out' AND job_id = $1 AND text = $2";
                let before = sql("look for a held text", text).bind(it.job).bind(&*it.text);
                if tx.row(before).await?.is_some() {
                    return Ok(());
                }
                let text = "INSERT INTO passages (way, state, message_id, group_id, job_id, jid, thread, text, plugin, why,
                                created_at)
                            VALUES {values}";
                let values = row![
                    "out",
                    "held",
                    it.about,
                    it.group,
                    it.job,
                    it.place.jid.to_string(),
                    thread(&it.place),
                    &it.text,
                    &it.plugin,
                    &it.why,
                    tx.now,
                ];
                tx.run_many(sql("hold a text", text), vec![values]).await
            })
        })
        .await
    }

    /// Ends a passage and queues what is said of it, in one: at a kill between the two nothing would be left of it.
    /// Nothing is said where it had ended.
    pub async fn end_passage_saying(
        &self,
        id: PassageId,
        items: Vec<NewOutbox>,
    ) -> Result<Vec<Queued>, StoreError> {
        self.write((id, items), |tx, (id, items)| {
            Box::pin(async move {
                let text = "DELETE FROM passages WHERE id = $1 RETURNING id";
                if tx.row(sql("end a passage", text).bind(*id)).await?.is_none() {
                    return Ok(Vec::new());
                }
                let rows: Vec<OutRow<'_>> = items.iter().map(OutRow::from).collect();
                outbox::queue(tx, &rows).await
            })
        })
        .await
    }

    /// Holds a text on its way out anew: another plugin holds what was let go.
    pub async fn withhold_again(
        &self,
        id: PassageId,
        text: String,
        plugin: String,
        why: String,
    ) -> Result<(), StoreError> {
        self.write((id, text, plugin, why), |tx, (id, left, plugin, why)| {
            Box::pin(async move {
                let text = "UPDATE passages SET text = $2, plugin = $3, why = $4 WHERE id = $1";
                let query = sql("hold a text again", text).bind(*id).bind(&**left);
                tx.run(query.bind(&**plugin).bind(&**why)).await.map(drop)
            })
        })
        .await
    }

    /// Ends a passage that goes no further. False when it had ended.
    pub async fn end_passage(&self, id: PassageId) -> Result<bool, StoreError> {
        self.write(id, |tx, id| {
            Box::pin(async move {
                let text = "DELETE FROM passages WHERE id = $1 RETURNING id";
                Ok(tx.row(sql("end a passage", text).bind(*id)).await?.is_some())
            })
        })
        .await
    }
}
