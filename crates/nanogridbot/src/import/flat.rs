//! NanoClaw before version 2, and the NanoGridBot in Python: one database, `store/messages.db`, with a row a chat.

use std::{collections::BTreeMap, path::Path};

use ngb_core::group::Scope;
use ngb_store::foreign_rows;
use serde_json::json;

use super::{
    Found, files,
    words::{self, Row, Unit, is_set, text},
};
use crate::declare::{Binding, Group};

/// What the two call alike things.
struct Names {
    program: &'static str,
    groups: &'static str,
    tasks: &'static str,
    unit: Unit,
    /// The column with a task's chat.
    chat: &'static str,
}

const NANOCLAW: Names = Names {
    program: "NanoClaw 1",
    groups: "registered_groups",
    tasks: "scheduled_tasks",
    unit: Unit::Milliseconds,
    chat: "chat_jid",
};

const PYTHON: Names = Names {
    program: "NanoGridBot (Python)",
    groups: "groups",
    tasks: "tasks",
    unit: Unit::Seconds,
    chat: "target_chat_jid",
};

pub(super) fn read(from: &Path) -> anyhow::Result<Found> {
    let file = from.join("store/messages.db");
    let (names, groups) = match foreign_rows(&file, NANOCLAW.groups)? {
        Some(groups) => (NANOCLAW, groups),
        None => (PYTHON, foreign_rows(&file, PYTHON.groups)?.unwrap_or_default()),
    };
    let env = std::fs::read_to_string(from.join(".env")).unwrap_or_default();
    let mut found = Found::new(names.program);
    let mut chats = BTreeMap::new();
    for row in &groups {
        group(&mut found, row, &mut chats);
    }
    let zone = words::zone(&env);
    for row in foreign_rows(&file, names.tasks)?.unwrap_or_default() {
        task(&mut found, &row, &names, &chats, &zone);
    }
    messages(&mut found, &foreign_rows(&file, "messages")?.unwrap_or_default(), &chats, &zone);
    for row in foreign_rows(&file, "users")?.unwrap_or_default() {
        found.leave(
            format!("the login `{}`", text(&row, "username")),
            "passwords are not taken over; `people invite` makes a link",
        );
    }
    for row in foreign_rows(&file, "sessions")?.unwrap_or_default() {
        found.leave(
            format!("the conversation of `{}`", text(&row, "group_folder")),
            "it begins anew: the agent's transcript is of another program",
        );
    }
    files::of_groups(
        &mut found,
        from,
        &groups.iter().map(|it| text(it, "folder").to_owned()).collect::<Vec<_>>(),
    );
    super::split::tokens(&mut found, &env);
    Ok(found)
}

/// A row of theirs is a chat and its group in one. `chats` gets which folder a chat of theirs belongs to, and its name here.
fn group(found: &mut Found, row: &Row, chats: &mut BTreeMap<String, (String, String)>) {
    let (theirs, name) = (text(row, "jid"), text(row, "name"));
    let folder = words::folder(text(row, "folder"));
    let at = found.document.groups.iter().position(|it| it.folder == folder);
    let at = at.unwrap_or_else(|| {
        let name = if folder == "main" { "main" } else { name };
        found.document.groups.push(Group {
            folder: folder.clone(),
            name: name.to_owned(),
            ..Group::default()
        });
        found.document.groups.len() - 1
    });
    if !text(row, "container_config").is_empty() {
        found.leave(
            format!("folders and limits of `{name}`"),
            "`group set` and `mount add` give them anew",
        );
    }
    let jid = match words::chat(theirs) {
        Ok(jid) => jid,
        Err(why) => return found.leave(format!("the chat `{theirs}` of `{name}`"), why),
    };
    // One conversation a group, as there.
    let mut binding = Binding {
        jid: jid.clone(),
        engage: "always".to_owned(),
        scope: Scope::Group,
        ..Binding::default()
    };
    let wants_trigger =
        row.get("requires_trigger").is_none_or(|it| it != &json!(0)) && !is_set(row, "is_main");
    if wants_trigger {
        binding.engage = "mention".to_owned();
        let pattern = text(row, "trigger_pattern");
        if !pattern.is_empty()
            && let Err(why) = words::engage(pattern, &mut binding)
        {
            found.leave(
                format!("the trigger `{pattern}` of `{theirs}`"),
                format!("{why}; it answers when it is mentioned"),
            );
        }
    }
    found.document.groups[at].bindings.push(binding);
    chats.insert(theirs.to_owned(), (folder, jid));
}

fn task(
    found: &mut Found,
    row: &Row,
    names: &Names,
    chats: &BTreeMap<String, (String, String)>,
    zone: &ngb_core::schedule::Zone,
) {
    let prompt = text(row, "prompt");
    let what = format!("the task `{}`", ngb_core::text::shorten(prompt, 40));
    let status = text(row, "status");
    if !["active", "paused"].contains(&status) {
        return found.leave(what, format!("it is {status}"));
    }
    if !text(row, "script").is_empty() {
        return found.leave(what, "it has a script that decides whether the agent is asked");
    }
    let folder = words::folder(text(row, "group_folder"));
    if !found.document.groups.iter().any(|it| it.folder == folder) {
        return found.leave(what, format!("its group `{folder}` is not there"));
    }
    let schedule = (text(row, "schedule_type"), text(row, "schedule_value"), names.unit);
    let mut task = match words::task(folder.clone(), prompt, schedule, zone) {
        Ok(task) => task,
        Err(why) => return found.leave(what, why),
    };
    let chat = chats.get(text(row, names.chat)).filter(|it| it.0 == folder);
    // Else in the group's chat on the page.
    task.chat = Some(chat.map_or_else(|| format!("web@main:{folder}"), |it| it.1.clone()));
    if text(row, "context_mode") == "isolated" {
        task.context_mode = "isolated".to_owned();
    }
    found.document.tasks.push(task);
}

fn messages(
    found: &mut Found,
    rows: &[Row],
    chats: &BTreeMap<String, (String, String)>,
    zone: &ngb_core::schedule::Zone,
) {
    let mut strange = 0_usize;
    for row in rows {
        let Some((folder, jid)) = chats.get(text(row, "chat_jid")) else {
            strange += 1;
            continue;
        };
        let Some(at) = words::instant(text(row, "timestamp"), zone) else {
            strange += 1;
            continue;
        };
        let is_from_me = is_set(row, "is_bot_message")
            || is_set(row, "is_from_me")
            || text(row, "role") == "assistant";
        let name = text(row, "sender_name");
        let message = json!({
            "chat_jid": jid, "id": text(row, "id"), "is_from_me": is_from_me, "sender_id": text(row, "sender"),
            "sender_name": if name.is_empty() { text(row, "sender") } else { name },
            "text": text(row, "content"), "sent_at_ms": at.0,
        });
        found.messages.push((folder.clone(), message));
    }
    if 0 < strange {
        found.leave(
            format!("{strange} messages"),
            "they are of chats that are not taken over, or have no time",
        );
    }
    found.messages.sort_by(|a, b| {
        (&a.0, a.1["sent_at_ms"].as_i64()).cmp(&(&b.0, b.1["sent_at_ms"].as_i64()))
    });
}
