//! What there is now, in the words of the file.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::document::{Binding, Document, Group, Person, Task, whole_limits};
use crate::{client::Client, print::text};

/// A home in the words of the file, with the numbers that the API knows its parts by.
pub(super) struct Now {
    pub(super) document: Document,
    /// In the order of the document.
    pub(super) groups: Vec<i64>,
    pub(super) people: Vec<i64>,
    pub(super) tasks: Vec<i64>,
}

/// Asks a gateway for all of it.
pub(super) async fn read(client: &Client) -> anyhow::Result<Now> {
    let (groups, people, tasks) = (
        client.get("/api/groups").await?,
        client.get("/api/people").await?,
        client.get("/api/tasks").await?,
    );
    let folders: BTreeMap<i64, String> = each(&groups)
        .filter_map(|it| Some((it["id"].as_i64()?, text(it, "folder").to_owned())))
        .collect();
    let mut document = Document::new();
    document.groups = each(&groups).map(group).collect::<anyhow::Result<_>>()?;
    document.people =
        each(&people).map(|it| person(it, &folders)).collect::<anyhow::Result<_>>()?;
    // What has fired for the last time is history. The oldest first, as they were made.
    let mut lasting: Vec<&Value> =
        each(&tasks).filter(|it| ["active", "paused"].contains(&text(it, "status"))).collect();
    lasting.sort_by_key(|it| it["id"].as_i64());
    document.tasks = lasting.iter().map(|it| task(it)).collect::<anyhow::Result<_>>()?;
    Ok(Now {
        document,
        groups: ids(each(&groups)),
        people: ids(each(&people)),
        tasks: ids(lasting.into_iter()),
    })
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn ids<'a>(all: impl Iterator<Item = &'a Value>) -> Vec<i64> {
    all.filter_map(|it| it["id"].as_i64()).collect()
}

fn optional(it: &Value, key: &str) -> Option<String> {
    it[key].as_str().map(str::to_owned)
}

fn parsed<T: serde::de::DeserializeOwned>(it: &Value, key: &str) -> anyhow::Result<T> {
    let of = || format!("the gateway's `{key}` is of another version");
    serde_json::from_value(it[key].clone()).with_context(of)
}

fn group(it: &Value) -> anyhow::Result<Group> {
    let usual = whole_limits(&Map::new()).map_err(anyhow::Error::msg)?;
    let limits = it["limits"].as_object().cloned().unwrap_or_default();
    let limits = limits.into_iter().filter(|(name, value)| usual.get(name) != Some(value));
    Ok(Group {
        folder: text(it, "folder").to_owned(),
        name: text(it, "name").to_owned(),
        paused: it["paused"] == true,
        limits: limits.collect(),
        bindings: each(&it["bindings"]).map(binding).collect::<anyhow::Result<_>>()?,
    })
}

fn binding(it: &Value) -> anyhow::Result<Binding> {
    Ok(Binding {
        jid: text(it, "jid").to_owned(),
        thread: optional(it, "thread"),
        engage: text(it, "engage").to_owned(),
        pattern: optional(it, "pattern"),
        scope: parsed(it, "scope")?,
        senders: parsed(it, "senders")?,
        queue: parsed(it, "queue")?,
        exceptions: parsed(it, "exceptions")?,
    })
}

fn person(it: &Value, folders: &BTreeMap<i64, String>) -> anyhow::Result<Person> {
    let mut groups = BTreeMap::new();
    for of in each(&it["groups"]) {
        // A role in a group that was removed is history.
        let Some(folder) = of["id"].as_i64().and_then(|id| folders.get(&id)) else { continue };
        groups.insert(folder.clone(), parsed(of, "role")?);
    }
    let mut addresses: Vec<String> =
        each(&it["addresses"]).filter_map(|it| it.as_str().map(str::to_owned)).collect();
    addresses.sort();
    Ok(Person { name: text(it, "name").to_owned(), role: parsed(it, "role")?, groups, addresses })
}

fn task(it: &Value) -> anyhow::Result<Task> {
    Ok(Task {
        group: text(it, "group_folder").to_owned(),
        prompt: text(it, "prompt").to_owned(),
        schedule_type: text(it, "schedule_type").to_owned(),
        schedule_value: text(it, "schedule_value").to_owned(),
        zone: optional(it, "zone"),
        does: text(it, "does").to_owned(),
        context_mode: text(it, "context_mode").to_owned(),
        chat: optional(it, "target_chat_jid"),
        thread: optional(it, "thread"),
        misfire: parsed(it, "misfire")?,
        overlap: parsed(it, "overlap")?,
        jitter_s: parsed(it, "jitter_s")?,
        role: parsed(it, "role")?,
        paused: text(it, "status") == "paused",
        note: optional(it, "note"),
    })
}
