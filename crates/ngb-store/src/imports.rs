//! Messages of another program's history: they are shown and found, and nothing comes of them.

use ngb_core::{address::Place, clock::Timestamp, id::GroupId, message::Author};

use crate::{
    Store, StoreError,
    intake::INSERT_MESSAGES,
    sql::{row, sql, thread},
};

/// The state of a message that was imported: born done.
const IMPORTED: &str = "imported";

/// A message as it is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedMessage {
    pub place: Place,
    /// With the place it tells the message from others: a second time it is there already.
    pub platform_id: String,
    pub author: Author,
    pub sender_id: String,
    pub sender_name: String,
    pub text: String,
    pub sent_at: Timestamp,
    pub group: GroupId,
}

impl Store {
    /// Keeps messages of a history; how many were not there. No job is made and nothing is sent.
    pub async fn import_messages(&self, all: Vec<ImportedMessage>) -> Result<u64, StoreError> {
        self.write(all, |tx, all| {
            Box::pin(async move {
                let now = tx.now;
                let rows = all.iter().map(|it| {
                    row![
                        it.place.jid.to_string(),
                        thread(&it.place),
                        &it.platform_id,
                        it.author.as_str(),
                        &it.sender_id,
                        &it.sender_name,
                        Option::<&str>::None,
                        &it.text,
                        "[]",
                        Option::<&str>::None,
                        Option::<&str>::None,
                        Option::<&str>::None,
                        "no",
                        it.group,
                        Option::<i64>::None,
                        IMPORTED,
                        it.sent_at,
                        now,
                    ]
                });
                let query = sql("import messages", INSERT_MESSAGES);
                let made = tx.rows_many(query, rows.collect()).await?;
                let text =
                    "INSERT INTO reworded (message_id) VALUES {values} ON CONFLICT DO NOTHING";
                let ids: Result<Vec<_>, StoreError> =
                    made.iter().map(|it| Ok(row![it.int("id")?])).collect();
                let ids = ids?;
                if !ids.is_empty() {
                    tx.run_many(sql("have words written", text), ids).await?;
                }
                Ok(made.len() as u64)
            })
        })
        .await
    }
}
