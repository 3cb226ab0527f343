//! Somebody wants to be forgotten: what they said is found nowhere in the home afterwards but in the copies that are named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ngb_core::{group::Scope, id::LaneId, message::Happening};
use ngb_store::MessageFilter;

use crate::{
    echo,
    stage::{Setting, Stage},
};

/// What one of them says, and nobody else.
const PLANTED: &[&str] = &["zanzibar7431", "猫咖啡馆"];

/// What somebody else says in the same chat.
const KEPT: &str = "lighthouse";

/// The files under `dir` that hold one of the planted words.
fn found(dir: &Path) -> Vec<PathBuf> {
    let mut res = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            res.extend(found(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            let has = |it: &&str| bytes.windows(it.len()).any(|part| part == it.as_bytes());
            if PLANTED.iter().any(has) {
                res.push(path);
            }
        }
    }
    res
}

fn plant(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_string_planted_everywhere_is_found_in_the_named_backup_only() {
    let [word, sign] = [PLANTED[0], PLANTED[1]];
    let said = format!("{word} {sign}");
    let mut stage = Stage::set(Setting::default(), echo).await;
    let home = stage.home().to_owned();
    let group = stage.group("home", "1", Scope::Thread).await;
    stage.group("home", "2", Scope::Thread).await;

    // Alone, and in a chat of several; one message is edited, one is too long for a row.
    stage.write("1", &said).await;
    stage.heard().await;
    stage.write("1", &format!("{said} {}", "x".repeat(70_000))).await;
    // Its answer comes in parts.
    while !stage.heard().await.1.contains("message.txt") {}
    let mut first = stage.message("2", &said);
    first.sender.id = "u1".into();
    first.sender.name = "Ann 1".into();
    let mut edit = first.clone();
    stage.write_all(vec![first]).await;
    stage.heard().await;
    let Happening::Message(content) = edit.what.clone() else { unreachable!() };
    edit.event_key = "edit".into();
    edit.what =
        Happening::Edit(ngb_core::message::Content { text: format!("edited {said}"), ..content });
    stage.write_all(vec![edit]).await;
    stage.write("2", KEPT).await;
    stage.heard().await;
    let store = stage.gateway.store().clone();
    while store.has_new_words().await.unwrap() {
        store.write_words().await.unwrap();
    }

    // What agents and drivers leave.
    let lanes = store.lanes(group).await.unwrap();
    let lane_of = |chat: &str| lanes.iter().find(|it| it.1.ends_with(chat)).unwrap().0;
    let (own, shared) = (lane_of(":1"), lane_of(":2"));
    let lane = |it: LaneId| home.join("lanes").join(it.to_string());
    for it in [own, shared] {
        plant(lane(it).join("sessions/ab12.jsonl"), &said);
        plant(lane(it).join(".claude/projects/-workspace-group/cd34.jsonl"), &said);
        plant(lane(it).join(".config/other/state.json"), &said);
    }
    plant(lane(own).join("MEMORY.md"), &said);
    plant(lane(own).join("memory/1.md"), &said);
    plant(lane(shared).join("MEMORY.md"), &format!("the tower is a {KEPT}\nAnn says {said}\n"));
    plant(lane(shared).join("memory/1.md"), &format!("the tower is a {KEPT}\n"));
    age_as_of_runs(&stage, &lane(shared)).await;
    let ann = [(crate::stage::place("1").jid.account().clone(), "u1".to_owned())];
    let message = *store.traces(&ann).await.unwrap().messages.first().unwrap();
    let folder = home.join("groups/home");
    plant(folder.join(format!("inbox/{message}-0-a.txt")), &said);
    plant(folder.join("conversations/2026-11-23-a.md"), &format!("**Ann 1**: {said}\n"));
    plant(folder.join("conversations/2026-11-23-b.md"), &format!("**Ann 2**: {KEPT}\n"));
    plant(home.join("backups/db-v9.sqlite"), &said);
    assert!(8 < found(&home).len(), "{:?}", found(&home));

    stage.write("1", "/forget me").await;
    assert!(stage.heard().await.1.contains("`/forget me yes`"));
    assert!(8 < found(&home).len(), "nothing goes before it is said twice");
    stage.write("1", "/forget me yes").await;
    assert!(stage.heard().await.1.contains("I forget it now"));
    let (chat, told) = stage.heard().await;
    assert_eq!(chat, "1");
    assert!(told.starts_with("Forgotten: ") && told.contains("db-v9.sqlite"), "{told}");
    assert_eq!(found(&home), [home.join("backups/db-v9.sqlite")]);

    // What is of others stays, and who spoke has only a hash.
    let filter = MessageFilter { group: Some(group), limit: 10, ..MessageFilter::default() };
    let left = store.search(filter, KEPT).await.unwrap();
    assert!(left.iter().any(|it| it.sender_id == "u2"), "{left:?}");
    assert!(fs::read_to_string(lane(shared).join("MEMORY.md")).unwrap().contains(KEPT));
    assert!(folder.join("conversations/2026-11-23-b.md").exists());
    assert!(!lane(own).join("MEMORY.md").exists());
    let audit = store.audit_log(1).await.unwrap();
    assert!(audit[0].what == "forgot" && audit[0].detail.starts_with("sha256 "), "{audit:?}");
    assert!(!audit[0].detail.contains("u1"), "{audit:?}");
    assert_eq!(store.forget_wishes().await.unwrap(), []);

    // They are heard as before.
    stage.write("1", "hello").await;
    assert_eq!(stage.heard().await, ("1".to_owned(), "you said hello".to_owned()));
}

/// Gives the memory of a lane the times that it had if its runs had written it: the first version long before, the one that
/// counts in the run that answered the person.
async fn age_as_of_runs(stage: &Stage, lane: &Path) {
    let account = crate::stage::place("1").jid.account().clone();
    let traces = stage.gateway.store().traces(&[(account, "u1".into())]).await.unwrap();
    let name: i64 = lane.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let (from, _) = traces.lanes[&LaneId(name)].runs[0];
    let set = |path: PathBuf, ms: i64| {
        let at = std::time::SystemTime::UNIX_EPOCH
            + std::time::Duration::from_millis(u64::try_from(ms).unwrap());
        fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    };
    // It is put aside when the next is written.
    set(lane.join("memory/1.md"), from.0 - 1);
    set(lane.join("MEMORY.md"), from.0);
}
