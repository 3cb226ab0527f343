//! Conversations that begin anew by a rule, are gone back to, forked and ended.

use std::{fs, time::Duration};

use ngb_core::{
    clock::{Clock, Timestamp},
    frame::{FromAgent, Outcome, SessionMark, ToAgent},
    group::{Limits, Scope},
};
use ngb_gateway::handle::HandleError;
use ngb_store::GroupChange;

use crate::stage::{Actor, Setting, Stage};

/// Says how its session begins; its transcript has two entries.
async fn tells_of_its_session(mut actor: Actor) {
    while let Some(frame) = actor.hear().await {
        let prompt = match frame {
            ToAgent::Prompt(prompt) => prompt,
            ToAgent::Stop => return,
            _ => continue,
        };
        let text = match &prompt.session {
            Some(it) => format!("{} at {}", it.id, it.entries),
            None => "new".to_owned(),
        };
        let session = Some(SessionMark { id: "s".into(), entries: 2 });
        let outcome = Outcome::Answered { text };
        actor.say(&FromAgent::Done { prompts: vec![prompt.id], outcome, session }).await;
    }
}

async fn said(stage: &mut Stage, text: &str) -> String {
    stage.write("1", text).await;
    stage.heard().await.1
}

#[tokio::test]
async fn a_conversation_begins_anew_by_the_groups_rule() {
    let (hand, clock) = Clock::manual(Timestamp(1_800_000_000_000));
    let setting = Setting { clock, ..Setting::default() };
    let mut stage = Stage::set(setting, tells_of_its_session).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    // By then nobody keeps its agent for a next prompt.
    let later = async |stage: &Stage, hours: u64| {
        hand.send_modify(|now| *now = *now + Duration::from_secs(hours * 3_600));
        while stage.gateway.agents().waiting != 0 {
            tokio::task::yield_now().await;
        }
    };
    let rule = async |stage: &Stage, rule: &str| {
        let session_reset = rule.parse().unwrap();
        let limits = Some(Limits { session_reset, ..Limits::default() });
        let change = GroupChange { limits, ..GroupChange::default() };
        stage.gateway.change_group(group, change).await.unwrap();
    };
    assert_eq!(said(&mut stage, "a").await, "new");
    later(&stage, 100).await;
    assert_eq!(said(&mut stage, "b").await, "s at 2", "there is no rule");
    rule(&stage, "idle 2h").await;
    later(&stage, 1).await;
    assert_eq!(said(&mut stage, "c").await, "s at 2");
    later(&stage, 1).await;
    assert_eq!(said(&mut stage, "d").await, "s at 2", "the last answer is an hour old");
    later(&stage, 2).await;
    assert_eq!(said(&mut stage, "e").await, "new");
    assert_eq!(said(&mut stage, "f").await, "s at 2");
    rule(&stage, "daily 23:00").await;
    assert_eq!(said(&mut stage, "g").await, "s at 2");
    later(&stage, 24).await;
    assert_eq!(said(&mut stage, "h").await, "new");
}

#[tokio::test]
async fn a_conversation_is_gone_back_to_forked_and_ended() {
    let mut stage = Stage::set(Setting::default(), tells_of_its_session).await;
    let group = stage.group("home", "1", Scope::Thread).await;
    assert_eq!(said(&mut stage, "a").await, "new");
    let gateway = stage.gateway.clone();
    let row = gateway.store().conversations(Some(group)).await.unwrap().remove(0);
    assert_eq!((row.messages, row.waiting, row.session.is_some()), (2, 0, true));
    let dir = stage.home().join("lanes").join(row.lane.to_string());
    let lane = |name: &str| dir.join(name);
    fs::create_dir_all(lane("sessions")).unwrap();
    fs::write(lane("sessions/old1.jsonl"), "{}\n{}\n{}\nhalf").unwrap();
    fs::write(lane("sessions/s.jsonl"), "{}\n{}\n").unwrap();
    fs::write(lane("MEMORY.md"), "tea").unwrap();
    fs::write(stage.home().join("secret.jsonl"), "7431").unwrap();
    std::os::unix::fs::symlink(stage.home().join("secret.jsonl"), lane("sessions/evil.jsonl"))
        .unwrap();

    let kept = gateway.transcripts(&row).await.unwrap();
    let mut ids: Vec<_> = kept.iter().map(|it| (it.id.as_str(), it.current)).collect();
    ids.sort_unstable();
    assert_eq!(ids, [("old1", false), ("s", true)], "a link is none");
    gateway.go_back(row.lane, "old1").await.unwrap();
    assert_eq!(said(&mut stage, "b").await, "old1 at 3");
    for strange in ["nothere", "evil", "../secret", ""] {
        let refused = gateway.go_back(row.lane, strange).await;
        assert!(matches!(refused, Err(HandleError::NoTranscript { .. })), "{strange}: {refused:?}");
    }

    let fork = gateway.fork(row.lane).await.unwrap();
    let copy = gateway.conversation(fork.lane).await.unwrap();
    assert_eq!((copy.session, copy.group), (row.session.clone(), group));
    assert_eq!(copy.key, format!("terminal@main:home/{}", fork.thread));
    let forked = stage.home().join("lanes").join(fork.lane.to_string());
    assert_eq!(fs::read_to_string(forked.join("sessions/s.jsonl")).unwrap(), "{}\n{}\n");
    assert_eq!(fs::read_to_string(forked.join("MEMORY.md")).unwrap(), "tea");
    assert!(!forked.join("sessions/old1.jsonl").exists(), "only what goes on");

    gateway.begin_anew(row.lane).await.unwrap();
    assert!(matches!(gateway.fork(row.lane).await, Err(HandleError::NothingToFork(_))));
    assert_eq!(said(&mut stage, "c").await, "new");
    assert!(!gateway.kill(row.lane), "nothing runs");
    assert_eq!(said(&mut stage, "d").await, "s at 2", "the conversation stays");
}
