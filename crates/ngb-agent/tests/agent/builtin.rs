//! The driver `builtin` with a real broker and the model simulator, in each of the three shapes.

use std::{fs, path::Path, time::Duration};

use futures_util::future::join_all;
use ngb_core::{
    clock::Clock,
    frame::{
        CallOutcome, Failure, FromAgent, Outcome, PromptId, ProviderKind, SessionMark, Step,
        ToAgent,
    },
};
use ngb_sim::model::Fault;
use serde_json::{Value, json};

use crate::{
    kitchen::{KEY, KINDS, Kitchen, current},
    process::prompt,
};

#[tokio::test]
async fn it_talks_works_and_remembers() {
    for mut at in Kitchen::all().await {
        assert_eq!(at.ask("say:hello\nthe fact is 7431").await, "hello");
        let thinking = at.ask("think:well well\nsay:thought <internal>so</internal>").await;
        assert_eq!(thinking, "thought");
        let has = |it: &FromAgent, want: &Step| matches!(it, FromAgent::Progress { step, .. } if step == want);
        for step in
            [Step::Text { delta: "hello".into() }, Step::Thinking { delta: "well well".into() }]
        {
            assert!(at.agent.seen.iter().any(|it| has(it, &step)), "{step:?}");
        }
        let text = at
            .ask(
                "tool:write {\"path\":\"a.txt\",\"content\":\"one\\ntwo\\n\"}\n\
                  tool:edit {\"path\":\"a.txt\",\"old\":\"two\",\"new\":\"2\"}\n\
                  tool:bash {\"command\":\"wc -l < a.txt; pwd\"}\n\
                  tool:grep {\"pattern\":\"^on\"}\n\
                  tool:glob {\"pattern\":\"*.txt\"}\n\
                  tool:todo {\"items\":[{\"text\":\"x\",\"done\":true}]}\n\
                  tool:format_disk {}\n\
                  ready",
            )
            .await;
        for needle in [
            "ready",
            "wrote 8 bytes",
            "replaced 1",
            "\n2\n",
            "/group",
            "a.txt:1: one",
            "- [x] x",
            "unknown variant `format_disk`",
        ] {
            assert!(text.contains(needle), "{needle:?} in {text}");
        }
        assert_eq!(fs::read_to_string(at.path("group/a.txt")).unwrap(), "one\n2\n");
        let text = at
            .ask("parallel\ntool:read {\"path\":\"a.txt\"}\ntool:bash {\"command\":\"exit 3\"}\nboth")
            .await;
        assert_eq!(text, "both\none\n2\n\n[exit status: 3]");
        at.restart().await;
        assert!(at.ask("recall:7431").await.contains("the fact is 7431"));
        let usage = at.door.take_usage();
        let totals = at.sim.totals()["sim-1"];
        let sum = |count: fn(&ngb_broker::Usage) -> u64| usage.iter().map(count).sum::<u64>();
        assert_eq!(sum(|it| it.output_tokens), totals.output_tokens);
        assert_eq!(sum(|it| it.input_tokens), totals.input_tokens);
        assert_eq!(sum(|it| it.cache_read_tokens), totals.cache_read_tokens);
        if at.spec.kind == ProviderKind::Anthropic {
            assert!(0 < totals.cache_read_tokens, "the fixed part is cached");
        }
    }
}

#[tokio::test]
async fn a_skill_is_told_of_and_read_when_it_is_needed() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    fs::create_dir_all(at.path("skills/tea")).unwrap();
    let text = "---\nname: tea\ndescription: Makes tea.\n---\nBoil water.";
    fs::write(at.path("skills/tea/SKILL.md"), text).unwrap();
    let text = at.ask("tool:read {\"path\":\"/workspace/skills/tea/SKILL.md\"}").await;
    assert!(text.contains("Boil water."), "{text}");
    let first = at.sim.requests()[0].body.to_string();
    assert!(first.contains("- tea: Makes tea.") && !first.contains("Boil water"), "{first}");
}

#[tokio::test]
async fn a_file_that_another_lane_changed_is_not_overwritten() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    let file = at.path("group/shared.md");
    fs::write(&file, "mine").unwrap();
    let write = "tool:write {\"path\":\"shared.md\",\"content\":\"new\"}";
    assert!(at.ask(write).await.contains("read it before replacing it"));
    at.ask("tool:read {\"path\":\"/workspace/group/shared.md\"}").await;
    fs::write(&file, "theirs").unwrap();
    for text in [write, "tool:edit {\"path\":\"shared.md\",\"old\":\"theirs\",\"new\":\"x\"}"] {
        assert!(at.ask(text).await.contains("changed since this session read it"));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
    at.ask("tool:read {\"path\":\"shared.md\"}").await;
    assert!(at.ask(write).await.contains("wrote 3 bytes"));
}

/// How many processes have `needle` in their command line.
fn count(needle: &str) -> usize {
    let has = |it: &fs::DirEntry| {
        fs::read(it.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(needle))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(has).count()
}

/// The lines of `/proc/*/stat` of the children of `parent`.
fn children(parent: u32) -> Vec<String> {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    let of_parent = |it: &String| {
        let rest = it.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    stats.filter(of_parent).collect()
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    let nap = format!("sleep 7{:05}", std::process::id());
    let command = format!("(setsid {nap} &) ; {nap} & echo $!; yes | head -c 100000");
    let text = at.ask(&format!("tool:bash {{\"command\":\"{command}\"}}")).await;
    assert!(text.contains("bytes left out"), "{text}");
    assert_eq!(count(&nap), 0);
    // Those that ended since are collected with the next command.
    at.ask("tool:bash {\"command\":\"true\"}").await;
    assert_eq!(children(at.agent.child.id().unwrap()), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_sleep_is_gone_and_the_session_goes_on() {
    for mut at in Kitchen::all().await {
        at.ask("the fact is 7431").await;
        // A number of its own, so that tests beside this one are not seen.
        let nap = format!("sleep 6{:05}", std::process::id() * 10 + at.spec.kind as u32);
        let text = format!("tool:bash {{\"command\":\"setsid {nap} & {nap}\"}}");
        let id = at.agent.ask(&text, at.mark.clone(), Some(at.spec.clone())).await;
        at.agent.step(|it| matches!(it, Step::ToolStart { .. })).await;
        let effect = at.agent.until(|it| match it {
            FromAgent::Effect { call, .. } => Some(*call),
            _ => None,
        });
        let call = effect.await;
        let value = serde_json::Value::Null;
        let outcome = ngb_core::frame::CallOutcome::Ok { value };
        at.agent.send(ToAgent::CallResult { call, outcome }).await;
        while !count(&nap) < 3 {
            tokio::task::yield_now().await;
        }
        let before = Clock::System.now();
        at.agent.send(ToAgent::Interrupt { prompt: id }).await;
        let (_, outcome, mark) = at.agent.done().await;
        let took = Clock::System.now().since(before);
        assert_eq!(outcome, Outcome::Interrupted);
        assert!(took < Duration::from_millis(200), "{took:?}");
        while 0 < count(&nap) {
            let took = Clock::System.now().since(before);
            assert!(took < Duration::from_millis(200), "{nap} lives after {took:?}");
            tokio::task::yield_now().await;
        }
        at.mark = mark;
        assert!(at.ask("recall:7431").await.contains("the fact is 7431"));
        assert_eq!(at.ask("say:works").await, "works");
        let statuses: Vec<u16> = at.sim.requests().iter().map(|it| it.status).collect();
        assert!(statuses.iter().all(|it| *it == 200), "{statuses:?}");
    }
}

/// What people write meanwhile is taken up between two calls, and named; what comes too late is left.
#[tokio::test]
async fn it_takes_up_what_people_write_meanwhile() {
    for mut at in Kitchen::all().await {
        let text = "tool:write {\"path\":\"a.txt\",\"content\":\"x\"}\nnever said";
        let id = at.agent.ask(text, None, Some(at.spec.clone())).await;
        let effect = at.agent.until(|it| match it {
            FromAgent::Effect { call, .. } => Some(*call),
            _ => None,
        });
        let call = effect.await;
        let more = PromptId(99);
        let steer = || {
            let prompt = Box::new(prompt(more, "say:turned", None, None));
            ToAgent::Steer { into: id, prompt }
        };
        at.agent.send(steer()).await;
        let outcome = CallOutcome::Ok { value: Value::Null };
        at.agent.send(ToAgent::CallResult { call, outcome }).await;
        let done = at.agent.until(|it| match it {
            FromAgent::Done { prompts, outcome, .. } => Some((prompts.clone(), outcome.clone())),
            _ => None,
        });
        assert_eq!(done.await, (vec![id, more], Outcome::Answered { text: "turned".into() }));
        at.agent.send(steer()).await;
        let next = at.agent.ask("say:next", None, Some(at.spec.clone())).await;
        let (of, outcome, _) = at.agent.done().await;
        assert_eq!((of, outcome), (next, Outcome::Answered { text: "next".into() }));
    }
}

#[tokio::test]
async fn a_stream_is_interrupted() {
    for mut at in Kitchen::all().await {
        at.sim.behave(|it| it.piece_ms = 20);
        let id = at.agent.ask("long:100000", None, Some(at.spec.clone())).await;
        at.agent.step(|it| matches!(it, Step::Text { .. })).await;
        at.agent.send(ToAgent::Interrupt { prompt: id }).await;
        assert_eq!(at.agent.done().await.1, Outcome::Interrupted);
    }
}

#[tokio::test]
async fn a_retry_begins_at_the_mark_and_a_resumed_one_goes_on() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    at.ask("first apple").await;
    let mark = at.mark.clone();
    at.ask("tool:bash {\"command\":\"echo pear\"}\nsecond").await;
    // The process died before its Done was stored: the same prompt again, from the mark of before.
    at.restart().await;
    at.mark = mark.clone();
    assert_eq!(at.ask("recall:pear").await, "I know nothing of pear");
    at.mark = mark.clone();
    at.ask("tool:bash {\"command\":\"echo plum\"}\nthird").await;
    at.restart().await;
    let mut resumed = prompt(ngb_core::frame::PromptId(900), "x", mark, Some(at.spec.clone()));
    resumed.resumed = Some("say:go on".into());
    resumed.messages[0].text = "tool:bash {\"command\":\"echo plum\"}\nthird".into();
    at.agent.send(ToAgent::Prompt(Box::new(resumed))).await;
    at.agent.done().await;
    let last = at.sim.requests().pop().unwrap().body.to_string();
    assert!(last.contains("echo plum") && last.contains("go on"), "{last}");
    assert!(!last.contains("by a person"), "nobody interrupted it: {last}");
    assert_eq!(last.matches("third").count(), 2, "asked once, answered once: {last}");
}

/// The model goes away after a tool has changed something: the session keeps what was done.
#[tokio::test]
async fn a_failure_after_an_effect_keeps_the_session() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    at.ask("first apple").await;
    let gone = Fault::Status { status: 429, retry_after: Some(3_600) };
    let text = "tool:bash {\"command\":\"echo x >> effects; echo pear\"}\nsecond";
    at.sim.fail([Fault::None, gone]);
    let failed = at.outcome(text).await;
    assert!(matches!(failed, Outcome::Failed { failure: Failure::Passing, .. }), "{failed:?}");
    // The next try goes on from the call's result, and the call is not made again.
    at.restart().await;
    let mut resumed =
        prompt(ngb_core::frame::PromptId(900), text, at.mark.clone(), Some(at.spec.clone()));
    resumed.resumed = Some("An earlier try at this was cut off.".into());
    at.agent.send(ToAgent::Prompt(Box::new(resumed))).await;
    let (_, outcome, mark) = at.agent.done().await;
    assert_eq!(outcome, Outcome::Answered { text: "second\npear\n".into() });
    assert_eq!(fs::read_to_string(at.path("group/effects")).unwrap(), "x\n");
    // And when nobody goes on, the next thing that is asked knows of it as well.
    at.mark = mark;
    at.sim.fail([Fault::None, Fault::Status { status: 401, retry_after: None }]);
    let failed = at.outcome("tool:bash {\"command\":\"echo plum\"}\nthird").await;
    assert!(matches!(failed, Outcome::Failed { failure: Failure::KeyRefused, .. }), "{failed:?}");
    assert!(at.ask("recall:plum").await.contains("plum"));
}

#[tokio::test]
async fn failures_are_told_apart() {
    join_all(Kitchen::all().await.into_iter().map(|mut at| async move {
        let kind = at.spec.kind;
        let fails = async |at: &mut Kitchen, want: Failure| match at.outcome("hi").await {
            Outcome::Failed { failure, reason } => {
                assert_eq!(failure, want, "{kind:?}: {reason}");
                assert!(!reason.contains(KEY));
            }
            other => panic!("{kind:?} {want:?}: {other:?}"),
        };
        at.sim.behave(|it| it.key = Some("another".into()));
        fails(&mut at, Failure::KeyRefused).await;
        at.sim.behave(|it| {
            it.key = None;
            it.models = Some(vec!["other".into()]);
        });
        fails(&mut at, Failure::ModelUnknown).await;
        at.sim.behave(|it| {
            it.models = None;
            it.window_tokens = Some(10);
        });
        fails(&mut at, Failure::PromptTooLarge).await;
        at.sim.behave(|it| it.window_tokens = None);
        at.door.admit(current(Some(1)));
        fails(&mut at, Failure::OverBudget).await;
        at.door.admit(None);
        fails(&mut at, Failure::Passing).await;
        at.door.admit(current(None));
        at.sim.fail([Fault::Status { status: 429, retry_after: Some(3600) }]);
        fails(&mut at, Failure::Passing).await;

        let passing = [
            Fault::Status { status: 429, retry_after: Some(1) },
            Fault::Status { status: 529, retry_after: Some(0) },
            Fault::CutStream { after_pieces: 2 },
            Fault::HalfBody,
            Fault::ErrorEvent,
        ];
        for fault in passing {
            at.sim.fail([fault.clone()]);
            assert_eq!(at.ask("long:300\nx").await.len(), 300, "{kind:?} {fault:?}");
        }
        // Mended once: what was said stays.
        at.ask("tool:bash {\"command\":\"echo pear\"}\nbefore").await;
        at.sim.fail([Fault::Malformed]);
        assert!(at.ask("recall:pear").await.contains("pear"));
        at.sim.fail([Fault::Malformed, Fault::Malformed]);
        fails(&mut at, Failure::Permanent).await;
        assert_eq!(at.ask("say:still").await, "still");
    }))
    .await;
}

#[tokio::test]
async fn a_model_without_tools_talks_and_says_so() {
    let (kind, auth) = KINDS[2];
    let mut at = Kitchen::open(kind, auth).await;
    at.ask("tool:bash {\"command\":\"echo pear\"}\nwith tools").await;
    at.sim.behave(|it| it.tools = false);
    let text = at.ask("say:hello").await;
    assert!(text.starts_with("hello") && text.contains("knows no tools"), "{text}");
    assert_eq!(at.ask("say:again").await, "again");
    let body = at.sim.requests().pop().unwrap().body;
    assert_eq!(body["options"]["num_ctx"], 100_000);
    assert!(body.get("tools").is_none());
}

#[tokio::test]
async fn two_hundred_turns_fit_and_a_fact_of_the_third_is_still_there() {
    join_all(Kitchen::all().await.into_iter().map(|mut at| async move {
        at.spec.window_tokens = 16_000;
        // The server refuses what is too long and what has an orphan in it; nothing may be refused.
        at.sim.behave(|it| it.window_tokens = Some(16_000));
        for turn in 1..=200 {
            let text = match turn {
                3 => "fact: the cellar code is 7431".to_owned(),
                _ if turn % 2 == 0 => {
                    format!("tool:bash {{\"command\":\"seq {turn} {}\"}}\nturn {turn}", turn + 300)
                }
                _ => format!("turn {turn} {}", "and so on ".repeat(40)),
            };
            at.ask(&text).await;
        }
        assert!(at.ask("recall:7431").await.contains("the cellar code is 7431"));
        let requests = at.sim.requests();
        assert!(requests.iter().all(|it| it.status == 200), "{:?}", at.spec.kind);
        let shortened = requests.iter().filter(|it| it.body.to_string().contains("<summarise>"));
        assert!(3 < shortened.count());
    }))
    .await;
}

#[tokio::test]
async fn a_long_transcript_is_left_behind_when_its_conversation_is_shortened() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    at.spec.window_tokens = 16_000;
    at.ask("fact: the cellar code is 7431").await;
    let id = at.mark.take().unwrap().id;
    let path = at.path(&format!("lane/sessions/{id}.jsonl"));
    let said = fs::read_to_string(&path).unwrap();
    let said: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    // Nine megabytes that were said before, and count no longer.
    let old = json!({"entry": "user", "text": "x".repeat(9 << 20)});
    let rest = json!({"entry": "restart", "live": said});
    fs::write(&path, format!("{old}\n{rest}\n")).unwrap();
    at.restart().await;
    at.mark = Some(SessionMark { id: id.clone(), entries: 2 });
    for turn in 0..60 {
        at.ask(&format!("turn {turn} {}", "and so on ".repeat(100))).await;
    }
    assert_ne!(at.mark.as_ref().unwrap().id, id);
    assert!(at.ask("recall:7431").await.contains("the cellar code is 7431"));
    at.restart().await;
    assert!(at.ask("recall:7431").await.contains("the cellar code is 7431"));
}

#[tokio::test]
async fn memory_is_kept_in_versions_and_stands_in_the_next_prompt() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    for text in ["likes tea", "likes coffee"] {
        at.ask(&format!("tool:memory {{\"content\":\"{text}\"}}")).await;
    }
    assert_eq!(fs::read_to_string(at.path("lane/MEMORY.md")).unwrap(), "likes coffee");
    assert_eq!(fs::read_to_string(at.path("lane/memory/1.md")).unwrap(), "likes tea");
    at.mark = None;
    assert!(at.ask("recall:likes").await.contains("likes coffee"));
    let long = format!("tool:memory {{\"content\":\"{}\"}}", "x".repeat(17_000));
    assert!(at.ask(&long).await.contains("shorten it"));
}

#[tokio::test]
async fn fetch_says_which_setting_forbids_it() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    let text = at.ask("tool:fetch {\"url\":\"https://example.com/x\"}").await;
    assert!(text.contains("`example.com`") && text.contains("`[egress] hosts`"), "{text}");
}

/// Every file under `dir` as bytes.
fn files(dir: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap() {
            it if it.is_dir() => files(&entry.path(), found),
            it if it.is_file() => found.push(fs::read(entry.path()).unwrap()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_key_is_nowhere_inside() {
    for mut at in Kitchen::all().await {
        let text = at.ask("tool:bash {\"command\":\"env; set\"}\nsecret?").await;
        assert!(!text.contains(KEY));
        let pid = at.agent.child.id().unwrap();
        let mut inside = vec![
            fs::read(format!("/proc/{pid}/environ")).unwrap(),
            fs::read(format!("/proc/{pid}/cmdline")).unwrap(),
            format!("{:?}", at.agent.seen).into_bytes(),
        ];
        files(at.agent.dir.path(), &mut inside);
        assert!(3 < inside.len());
        for bytes in inside {
            assert!(!String::from_utf8_lossy(&bytes).contains(KEY));
        }
    }
}

#[tokio::test]
async fn a_live_agent_is_small() {
    let mut at = Kitchen::open(KINDS[0].0, KINDS[0].1).await;
    for _ in 0..20 {
        at.ask("tool:bash {\"command\":\"seq 1000\"}\nhi").await;
    }
    let pid = at.agent.child.id().unwrap();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    // What it has for itself: the executable's pages are those of all agents, and are as many as its profile makes them.
    let own = rollup.lines().find_map(|it| it.strip_prefix("Pss_Anon:")).unwrap();
    let kib: u64 = own.trim().trim_end_matches(" kB").parse().unwrap();
    println!("memory of a live builtin agent, without the executable: {kib} KiB");
    assert!(kib < 4 * 1024, "{kib} KiB");
}
