//! What plugins keep, and what they do through the gateway: once, also when a message is shown to them again.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ngb_core::{
    clock::Timestamp,
    id::{JobId, TaskId},
};
use serde_json::Value;

use crate::{
    NewOutbox, NewTask, Queued, Store, StoreError,
    db::Tx,
    fires,
    outbox::{self, OutRow},
    sql::{Row, row, sql, thread},
    tasks,
};

/// The account under which the events of a plugin stand; no account of a channel is named so.
fn events_of(plugin: &str) -> String {
    format!("plugin:{plugin}")
}

/// Whether this is the first time that something is done under `once`.
async fn is_first(tx: &mut Tx, plugin: &str, once: Option<&str>) -> Result<bool, StoreError> {
    let Some(once) = once else { return Ok(true) };
    let text = "INSERT INTO events (account, event_key, kind, at) VALUES {values}
                ON CONFLICT (account, event_key) DO NOTHING RETURNING event_key";
    let values = vec![row![events_of(plugin), once, "plugin", tx.now]];
    Ok(!tx.rows_many(sql("note what a plugin did", text), values).await?.is_empty())
}

struct Keep {
    plugin: String,
    key: String,
    value: Option<Vec<u8>>,
    max_bytes: usize,
}

/// Whether it fitted.
async fn keep(tx: &mut Tx, it: &Keep) -> Result<bool, StoreError> {
    let Some(value) = &it.value else {
        let text = "DELETE FROM plugin_kv WHERE plugin = $1 AND name = $2";
        tx.run(sql("drop a plugin's value", text).bind(&*it.plugin).bind(&*it.key)).await?;
        return Ok(true);
    };
    let bytes = it.key.len() + value.len();
    let text = "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) AS used FROM plugin_kv WHERE plugin = $1 AND name <> $2";
    let used =
        tx.row(sql("measure a plugin's values", text).bind(&*it.plugin).bind(&*it.key)).await?;
    let used = used.map_or(Ok(0), |row| row.count("used"))?;
    if (it.max_bytes as u64) < used + bytes as u64 {
        return Ok(false);
    }
    let text = "INSERT INTO plugin_kv (plugin, name, value, size_bytes) VALUES {values}
                ON CONFLICT (plugin, name) DO UPDATE SET value = excluded.value, size_bytes = excluded.size_bytes";
    let values = vec![row![&*it.plugin, &*it.key, BASE64_STANDARD.encode(value), bytes]];
    tx.run_many(sql("keep a plugin's value", text), values).await?;
    Ok(true)
}

struct Say {
    plugin: String,
    once: Option<String>,
    items: Vec<NewOutbox>,
}

struct Enqueue {
    plugin: String,
    once: Option<String>,
    task: NewTask,
}

async fn enqueue(tx: &mut Tx, it: &Enqueue) -> Result<JobId, StoreError> {
    let once = it.once.as_deref();
    if !is_first(tx, &it.plugin, once).await? {
        let text = "SELECT kind FROM events WHERE account = $1 AND event_key = $2";
        let events = events_of(&it.plugin);
        let row = tx.row(sql("find a plugin's job", text).bind(&*events).bind(once)).await?;
        let row = row.ok_or(StoreError::NotFound { what: "job of the plugin", name: events })?;
        let kind = row.text("kind")?;
        return kind.parse().map(JobId).map_err(|_| row.odd("kind", format!("`{kind}`")));
    }
    // One task stands for all that a plugin asks for in a place; each of its fires has a text of its own.
    let text = "SELECT id FROM tasks WHERE made_by = $1 AND group_id = $2 AND jid = $3 AND thread = $4 AND state = 'completed'
                ORDER BY id LIMIT 1";
    let (by, place) = (it.task.made_by.as_str(), &it.task.place);
    let known = sql("find a plugin's task", text).bind(by).bind(it.task.group);
    let known = tx.row(known.bind(place.jid.to_string()).bind(thread(place))).await?;
    let task = match known {
        Some(row) => TaskId(row.int("id")?),
        None => tasks::add(tx, &it.task).await?,
    };
    let job = fires::fire_beside(tx, task, &it.task).await?;
    // The number stands with the event, for whoever asks again.
    let text = "UPDATE events SET kind = $1 WHERE account = $2 AND event_key = $3";
    let noted = sql("note a plugin's job", text).bind(job.to_string());
    tx.run(noted.bind(events_of(&it.plugin)).bind(once)).await?;
    Ok(job)
}

/// Settings that a plugin had from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginChange {
    pub id: i64,
    pub at: Timestamp,
    pub who: String,
    /// None: those of the settings file.
    pub value: Option<Value>,
}

fn change(row: &Row) -> Result<PluginChange, StoreError> {
    let value = row.opt_text("value")?.map(|_| row.json("value")).transpose()?;
    let (id, at, who) = (row.int("id")?, row.time("at")?, row.text("who")?);
    Ok(PluginChange { id, at, who, value })
}

impl Store {
    /// The settings that count over those of the file, by plugin.
    pub async fn plugin_settings(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        let text = "SELECT p.plugin, p.value FROM plugin_settings p WHERE p.value IS NOT NULL
                    AND p.id = (SELECT max(o.id) FROM plugin_settings o WHERE o.plugin = p.plugin)";
        let rows = self.rows(sql("read settings of plugins", text)).await?;
        rows.iter().map(|it| Ok((it.text("plugin")?, it.json("value")?))).collect()
    }

    /// The latest settings of a plugin, the newest first.
    pub async fn plugin_history(
        &self,
        plugin: &str,
        limit: u32,
    ) -> Result<Vec<PluginChange>, StoreError> {
        let text = "SELECT id, at, who, value FROM plugin_settings WHERE plugin = $1 ORDER BY id DESC LIMIT $2";
        let query = sql("read how a plugin's settings changed", text).bind(plugin).bind(limit);
        self.rows(query).await?.iter().map(change).collect()
    }

    /// Has these settings count from now on; with none those of the file.
    pub async fn set_plugin_settings(
        &self,
        plugin: &str,
        who: &str,
        value: Option<Value>,
    ) -> Result<(), StoreError> {
        let it = (plugin.to_owned(), who.to_owned(), value.map(|it| it.to_string()));
        self.write(it, |tx, (plugin, who, value)| {
            Box::pin(async move {
                let text = "INSERT INTO plugin_settings (plugin, at, who, value) VALUES {values}";
                let values = vec![row![&**plugin, tx.now, &**who, value.clone()]];
                tx.run_many(sql("keep settings of a plugin", text), values).await
            })
        })
        .await
    }

    /// What a plugin keeps under `key`.
    pub async fn plugin_value(
        &self,
        plugin: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let text = "SELECT value FROM plugin_kv WHERE plugin = $1 AND name = $2";
        let row = self.row(sql("read a plugin's value", text).bind(plugin).bind(key)).await?;
        let Some(row) = row else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(row.text("value")?);
        bytes.map(Some).map_err(|err| row.odd("value", err.to_string()))
    }

    /// Keeps a value, or drops it where it is none; false where all that the plugin keeps would be more than `max_bytes`.
    pub async fn keep_plugin_value(
        &self,
        plugin: &str,
        key: &str,
        value: Option<Vec<u8>>,
        max_bytes: usize,
    ) -> Result<bool, StoreError> {
        let it = Keep { plugin: plugin.to_owned(), key: key.to_owned(), value, max_bytes };
        self.write(it, |tx, it| Box::pin(keep(tx, it))).await
    }

    /// The keys under which a plugin keeps something, in order of their bytes.
    pub async fn plugin_keys(&self, plugin: &str) -> Result<Vec<String>, StoreError> {
        let text = "SELECT name FROM plugin_kv WHERE plugin = $1";
        let rows = self.rows(sql("read a plugin's keys", text).bind(plugin)).await?;
        let mut keys = rows.iter().map(|it| it.text("name")).collect::<Result<Vec<_>, _>>()?;
        keys.sort();
        Ok(keys)
    }

    /// Queues what a plugin says; nothing where it was said under `once` before.
    pub async fn say_for_plugin(
        &self,
        plugin: &str,
        once: Option<String>,
        items: Vec<NewOutbox>,
    ) -> Result<Vec<Queued>, StoreError> {
        let it = Say { plugin: plugin.to_owned(), once, items };
        self.write(it, |tx, it| {
            Box::pin(async move {
                if !is_first(tx, &it.plugin, it.once.as_deref()).await? {
                    return Ok(Vec::new());
                }
                let rows: Vec<OutRow<'_>> = it.items.iter().map(OutRow::from).collect();
                outbox::queue(tx, &rows).await
            })
        })
        .await
    }

    /// Queues a run that a plugin asks for: a task that fires once, now. What was asked for under `once` before is not
    /// asked for again, and has the number that it had.
    pub async fn enqueue_for_plugin(
        &self,
        plugin: &str,
        once: Option<String>,
        task: NewTask,
    ) -> Result<JobId, StoreError> {
        let it = Enqueue { plugin: plugin.to_owned(), once, task };
        self.write(it, |tx, it| Box::pin(enqueue(tx, it))).await
    }
}
