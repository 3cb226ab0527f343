//! Searching messages: by an index of their words, which is written beside the way of a message, and by any part of the text
//! among the latest.

use std::cmp::Reverse;

use ngb_core::{
    id::MessageId,
    words::{sought, words},
};

use crate::{
    MAX_PAGE, MessageFilter, Store, StoreError, StoredMessage,
    db::Tx,
    messages::{Terms, select, stored},
    sql::{row, sql},
};

/// Messages whose text is looked through for a part of a word, the latest; each of them is read for it.
const MAX_LOOKED_THROUGH: i64 = 20_000;

/// The name of the value that says up to which message words are written.
const UP_TO: &str = "words_up_to";

/// Words that one transaction writes, so that nobody waits for it.
const WORDS_A_TRANSACTION: usize = 2_000;

/// Messages that one transaction reads.
const MESSAGES_A_TRANSACTION: i64 = 100;

/// The words of a message are no longer those of its text.
pub(crate) async fn reworded(tx: &mut Tx, message: MessageId) -> Result<(), StoreError> {
    let text = "DELETE FROM words WHERE message_id = $1";
    tx.run(sql("forget words", text).bind(message)).await?;
    let text = "INSERT INTO reworded (message_id) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.run(sql("note a new text", text).bind(message)).await.map(drop)
}

async fn up_to(tx: &mut Tx) -> Result<i64, StoreError> {
    let query = sql("read a value", "SELECT value FROM kv WHERE name = $1").bind(UP_TO);
    let found = tx.row(query).await?.map(|it| it.text("value")).transpose()?;
    Ok(found.and_then(|it| it.parse().ok()).unwrap_or(0))
}

/// Writes the words of some messages; how many messages it were.
async fn write_words(tx: &mut Tx) -> Result<usize, StoreError> {
    let from = up_to(tx).await?;
    let text = "SELECT c.message_id AS id, coalesce(m.text, '') AS text FROM reworded c
                LEFT JOIN messages m ON m.id = c.message_id ORDER BY c.message_id LIMIT $1";
    let changed = tx.rows(sql("read new texts", text).bind(MESSAGES_A_TRANSACTION)).await?;
    let text = "SELECT m.id, m.text FROM messages m WHERE m.id > $1 ORDER BY m.id LIMIT $2";
    let query = sql("read texts without words", text).bind(from).bind(MESSAGES_A_TRANSACTION);
    let new = tx.rows(query).await?;
    let (mut rows, mut done, mut read_to) = (Vec::new(), Vec::new(), from);
    for (i, it) in changed.iter().chain(&new).enumerate() {
        let (id, text) = (it.int("id")?, it.text("text")?);
        rows.extend(words(&text).into_iter().map(|word| row![word, id]));
        done.push(id);
        if changed.len() <= i {
            read_to = id;
        }
        if WORDS_A_TRANSACTION <= rows.len() {
            break;
        }
    }
    if done.is_empty() {
        return Ok(0);
    }
    let count = done.len();
    let text = "INSERT INTO words (word, message_id) VALUES {values} ON CONFLICT DO NOTHING";
    if !rows.is_empty() {
        tx.run_many(sql("write words", text), rows).await?;
    }
    let text = "DELETE FROM reworded WHERE message_id IN ({list})";
    tx.run(sql("note that words are written", text).list(done)).await?;
    let text = "INSERT INTO kv (name, value) VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.run(sql("write a value", text).bind(UP_TO).bind(read_to.to_string())).await?;
    Ok(count)
}

impl Store {
    /// Whether there are messages whose words are not written yet.
    pub async fn has_new_words(&self) -> Result<bool, StoreError> {
        let text = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM reworded)
                        OR EXISTS (SELECT 1 FROM messages m WHERE m.id > coalesce(
                            (SELECT CAST(k.value AS BIGINT) FROM kv k WHERE k.name = $1), 0))
                        THEN 1 ELSE 0 END AS BIGINT) AS found";
        let row = self.row(sql("look for new words", text).bind(UP_TO)).await?;
        row.map_or(Ok(false), |it| it.flag("found"))
    }

    /// Writes the words of some messages in one short transaction; how many messages it were.
    pub async fn write_words(&self) -> Result<usize, StoreError> {
        self.write((), |tx, ()| Box::pin(write_words(tx))).await
    }

    /// The newest messages among those of `filter` that have all words of `text`, whatever its language; and those of the
    /// latest 20,000 that have `text` itself somewhere.
    pub async fn search(
        &self,
        filter: MessageFilter,
        text: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let limit = filter.limit.min(MAX_PAGE) as usize;
        let mut found = self.with_words(&filter, text).await?;
        if found.len() < limit {
            found.append(&mut self.with_text(&filter, text).await?);
        }
        found.sort_by_key(|it| Reverse(it.id));
        found.dedup_by_key(|it| it.id);
        found.truncate(limit);
        Ok(found)
    }

    async fn with_words(
        &self,
        filter: &MessageFilter,
        text: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let Terms { text: mut terms, mut values } = Terms::of(filter);
        let sought = sought(text);
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        for (i, word) in sought.into_iter().enumerate() {
            values.push(word.into());
            let n = values.len();
            // The first leads, newest message first, until there are enough.
            terms += &match i {
                0 => format!(" AND w.word = ${n}"),
                _ => format!(
                    " AND EXISTS (SELECT 1 FROM words o WHERE o.word = ${n} AND o.message_id = w.message_id)"
                ),
            };
        }
        values.push(filter.limit.min(MAX_PAGE).into());
        let found = format!(
            "m.id IN (SELECT w.message_id FROM words w CROSS JOIN messages m WHERE m.id = w.message_id AND {terms}
                ORDER BY w.message_id DESC LIMIT ${}) ORDER BY m.id DESC",
            values.len()
        );
        let mut query = sql("search messages by words", select(&found));
        query.values = values;
        self.rows(query).await?.iter().map(stored).collect()
    }

    async fn with_text(
        &self,
        filter: &MessageFilter,
        text: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let Terms { text: terms, mut values } = Terms::of(filter);
        let mut pattern = String::from("%");
        for c in text.to_lowercase().chars() {
            if matches!(c, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(c);
        }
        pattern.push('%');
        values.push(MAX_LOOKED_THROUGH.into());
        values.push(pattern.into());
        values.push(filter.limit.min(MAX_PAGE).into());
        let n = values.len();
        let found = format!(
            "m.id IN (SELECT w.id FROM (SELECT m.id, m.text FROM messages m WHERE {terms} ORDER BY m.id DESC LIMIT ${}) w
                WHERE lower(w.text) LIKE ${} ESCAPE '!' ORDER BY w.id DESC LIMIT ${n}) ORDER BY m.id DESC",
            n - 2,
            n - 1
        );
        let mut query = sql("search messages", select(&found));
        query.values = values;
        self.rows(query).await?.iter().map(stored).collect()
    }
}
