//! NanoClaw 2: `data/v2.db` with groups, chats and people, and two databases a session, with its messages and tasks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ngb_core::{
    group::{Scope, Senders},
    role::Role,
    schedule::Zone,
};
use ngb_store::foreign_rows;
use serde_json::{Value, json};

use super::{
    Found, files,
    words::{self, Row, Unit, text},
};
use crate::declare::{Binding, Group, Person};

pub(super) fn read(from: &Path) -> anyhow::Result<Found> {
    let file = from.join("data/v2.db");
    let rows = |table: &str| foreign_rows(&file, table).map(Option::unwrap_or_default);
    let env = std::fs::read_to_string(from.join(".env")).unwrap_or_default();
    let mut found = Found::new("NanoClaw 2");
    let groups = rows("agent_groups")?;
    // Their id to our folder.
    let mut folders = BTreeMap::new();
    for row in &groups {
        let folder = words::folder(text(row, "folder"));
        let name = if folder == "main" { "main" } else { text(row, "name") };
        found.document.groups.push(Group {
            folder: folder.clone(),
            name: name.to_owned(),
            ..Group::default()
        });
        folders.insert(text(row, "id").to_owned(), folder);
    }
    let chats = chats(&mut found, &rows("messaging_groups")?);
    bindings(&mut found, &rows("messaging_group_agents")?, &folders, &chats);
    people(
        &mut found,
        &rows("users")?,
        &rows("user_roles")?,
        &rows("agent_group_members")?,
        &folders,
    );
    let zone = words::zone(&env);
    for row in rows("sessions")? {
        let Some(folder) = folders.get(text(&row, "agent_group_id")) else { continue };
        let dir =
            from.join("data/v2-sessions").join(text(&row, "agent_group_id")).join(text(&row, "id"));
        session(&mut found, &dir, folder, &zone)?;
    }
    found.messages.sort_by(|a, b| {
        (&a.0, a.1["sent_at_ms"].as_i64()).cmp(&(&b.0, b.1["sent_at_ms"].as_i64()))
    });
    files::of_groups(
        &mut found,
        from,
        &groups.iter().map(|it| text(it, "folder").to_owned()).collect::<Vec<_>>(),
    );
    tokens(&mut found, &env);
    Ok(found)
}

/// Says of each secret that it must be given anew.
pub(super) fn tokens(found: &mut Found, env: &str) {
    for name in words::tokens(env) {
        found.leave(
            format!("`{name}` of `.env`"),
            "a secret is given by hand: `channel add`, or `[providers]` in config.toml",
        );
    }
}

/// Chats by their id.
fn chats(found: &mut Found, rows: &[Row]) -> BTreeMap<String, String> {
    let mut res = BTreeMap::new();
    for row in rows {
        match words::chat(&address(text(row, "channel_type"), text(row, "platform_id"))) {
            Ok(jid) => drop(res.insert(text(row, "id").to_owned(), jid)),
            Err(why) => found.leave(format!("the chat `{}`", text(row, "platform_id")), why),
        }
    }
    res
}

/// The platform's id, with the platform before it; some have it there already.
fn address(channel: &str, id: &str) -> String {
    if id.split_once(':').is_some_and(|it| it.0 == channel) {
        id.to_owned()
    } else {
        format!("{channel}:{id}")
    }
}

fn bindings(
    found: &mut Found,
    rows: &[Row],
    folders: &BTreeMap<String, String>,
    chats: &BTreeMap<String, String>,
) {
    for row in rows {
        let folder = folders.get(text(row, "agent_group_id"));
        // Of a chat that is not taken over it was said why.
        let (Some(folder), Some(jid)) = (folder, chats.get(text(row, "messaging_group_id"))) else {
            continue;
        };
        let mut binding = Binding {
            jid: jid.clone(),
            engage: "mention".to_owned(),
            scope: match text(row, "session_mode") {
                "per-thread" => Scope::Thread,
                "agent-shared" => Scope::Group,
                _ => Scope::Chat,
            },
            senders: if text(row, "sender_scope") == "known" {
                Senders::Known
            } else {
                Senders::Everyone
            },
            ..Binding::default()
        };
        match (text(row, "engage_mode"), text(row, "engage_pattern")) {
            ("pattern", "." | ".*" | "") => "always".clone_into(&mut binding.engage),
            ("pattern", pattern) => {
                if let Err(why) = words::engage(pattern, &mut binding) {
                    found.leave(
                        format!("the trigger `{pattern}` of `{jid}`"),
                        format!("{why}; it answers when it is mentioned"),
                    );
                }
            }
            _ => (),
        }
        if let Some(group) = found.document.groups.iter_mut().find(|it| it.folder == *folder) {
            group.bindings.push(binding);
        }
    }
}

fn people(
    found: &mut Found,
    users: &[Row],
    roles: &[Row],
    members: &[Row],
    folders: &BTreeMap<String, String>,
) {
    for user in users {
        let id = text(user, "id");
        let of_user = |it: &&Row| text(it, "user_id") == id;
        let mut person =
            Person { name: text(user, "display_name").to_owned(), ..Person::default() };
        if person.name.is_empty() {
            id.clone_into(&mut person.name);
        }
        for member in members.iter().filter(of_user) {
            if let Some(folder) = folders.get(text(member, "agent_group_id")) {
                person.groups.insert(folder.clone(), Role::Member);
            }
        }
        for row in roles.iter().filter(of_user) {
            let role = if text(row, "role") == "owner" { Role::Owner } else { Role::Admin };
            match folders.get(text(row, "agent_group_id")) {
                Some(folder) => drop(person.groups.insert(folder.clone(), role)),
                None => person.role = person.role.max(Some(role)),
            }
        }
        if person.role.is_none() && person.groups.is_empty() {
            // Somebody who once wrote.
            continue;
        }
        match words::person(id) {
            Ok(address) => {
                person.addresses.push(address);
                found.document.people.push(person);
            }
            Err(why) => found.leave(format!("the person `{}`", person.name), why),
        }
    }
}

/// What one session holds: what came in and its tasks, what went out.
fn session(found: &mut Found, dir: &Path, folder: &str, zone: &Zone) -> anyhow::Result<()> {
    let rows = |file: PathBuf, table: &str| match file.is_file() {
        true => foreign_rows(&file, table).map(Option::unwrap_or_default),
        false => Ok(Vec::new()),
    };
    for row in rows(dir.join("inbound.db"), "messages_in")? {
        match text(&row, "kind") {
            "task" => task(found, &row, folder, zone),
            _ => message(found, &row, folder, zone, false),
        }
    }
    let state = rows(dir.join("outbound.db"), "session_state")?;
    for row in rows(dir.join("outbound.db"), "messages_out")? {
        message(found, &row, folder, zone, true);
    }
    if !state.is_empty() {
        found.leave(
            format!("a conversation of `{folder}`"),
            "it begins anew: the agent's transcript is of another program",
        );
    }
    Ok(())
}

fn content(row: &Row) -> Value {
    let text = text(row, "content");
    serde_json::from_str(text).unwrap_or_else(|_| json!({ "text": text }))
}

fn task(found: &mut Found, row: &Row, folder: &str, zone: &Zone) {
    let content = content(row);
    let prompt = content["prompt"].as_str().or(content["text"].as_str()).unwrap_or_default();
    let what = format!("the task `{}`", ngb_core::text::shorten(prompt, 40));
    let status = text(row, "status");
    if !["pending", "paused"].contains(&status) {
        // An earlier fire of a series, or one that is over.
        return;
    }
    if content["script"].as_str().is_some_and(|it| !it.is_empty()) {
        return found.leave(what, "it has a script that decides whether the agent is asked");
    }
    let (kind, value) = match text(row, "recurrence") {
        "" => ("once", text(row, "process_after")),
        cron => ("cron", cron),
    };
    let mut task = match words::task(folder.to_owned(), prompt, (kind, value, Unit::Seconds), zone)
    {
        Ok(task) => task,
        Err(why) => return found.leave(what, why),
    };
    let jid = words::chat(&address(text(row, "channel_type"), text(row, "platform_id"))).ok();
    let is_bound = |jid: &String| {
        found
            .document
            .groups
            .iter()
            .any(|it| it.folder == folder && it.bindings.iter().any(|it| it.jid == *jid))
    };
    task.chat = Some(jid.filter(is_bound).unwrap_or_else(|| format!("web@main:{folder}")));
    if !found.document.tasks.contains(&task) {
        found.document.tasks.push(task);
    }
}

fn message(found: &mut Found, row: &Row, folder: &str, zone: &Zone, is_from_me: bool) {
    let content = content(row);
    let jid = words::chat(&address(text(row, "channel_type"), text(row, "platform_id")));
    let at = words::instant(text(row, "timestamp"), zone);
    // Cards, reactions, what went from agent to agent: not what people read.
    let (Ok(jid), Some(at), Some(said)) = (jid, at, content["text"].as_str()) else { return };
    let sender = content["senderId"].as_str().or(content["sender"].as_str()).unwrap_or_default();
    let name = content["senderName"].as_str().or(content["sender"].as_str()).unwrap_or(sender);
    let thread = Some(text(row, "thread_id")).filter(|it| !it.is_empty());
    found.messages.push((folder.to_owned(), json!({
        "chat_jid": jid, "thread": thread, "id": text(row, "id"), "is_from_me": is_from_me, "sender_id": sender,
        "sender_name": if is_from_me { "" } else { name }, "text": said, "sent_at_ms": at.0,
    })));
}
