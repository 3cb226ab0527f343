//! `task`, without a running gateway and with one: the same words, the same effect.

use crate::stand::Stand;

fn round_trip(stand: &Stand) {
    let add = [
        "task",
        "add",
        "-g",
        "main",
        "--cron",
        "30 2 * * *",
        "--tz",
        "Europe/Berlin",
        "-p",
        "count",
    ];
    let made = stand.json(&add);
    let id = made["id"].to_string();
    assert_eq!((&made["status"], &made["zone"]), (&"active".into(), &"Europe/Berlin".into()));
    assert_eq!(made["target_chat_jid"], "web@main:main", "the group has no chat on a platform");
    let next = stand.json(&["task", "next", &id, "-n", "400"]);
    let fires = next["fires"].as_array().unwrap();
    assert_eq!(fires.len(), 400);
    let local: Vec<&str> = fires.iter().map(|it| it["local"].as_str().unwrap()).collect();
    let odd: Vec<&&str> = local.iter().filter(|it| !it.contains(" 02:30:00 ")).collect();
    assert!((1..=2).contains(&odd.len()), "02:30 is left out once a year: {odd:?}");
    assert!(odd.iter().all(|it| it.contains(" 03:00:00 CEST")), "{odd:?}");

    assert_eq!(stand.json(&["task", "pause", &id])["status"], "paused");
    assert_eq!(stand.json(&["task", "next", &id])["fires"], serde_json::json!([]));
    assert_eq!(stand.json(&["task", "resume", &id])["status"], "active");
    let every = stand.json(&["task", "add", "-g", "main", "--every", "90m", "--say", "-p", "tea"]);
    assert_eq!((&every["schedule_value"], &every["does"]), (&"90m".into(), &"say".into()));
    let list = stand.json(&["task", "list", "-g", "main"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    for it in [&made, &every] {
        assert_eq!(stand.json(&["task", "cancel", &it["id"].to_string()])["status"], "cancelled");
    }
    assert_eq!(stand.json(&["task", "list"]), serde_json::json!([]));
}

#[test]
fn without_a_gateway() {
    round_trip(&Stand::new());
}

#[test]
fn a_task_from_beginning_to_end() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    round_trip(&stand);
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn what_is_no_task_is_refused_with_what_to_do() {
    let stand = Stand::new();
    #[rustfmt::skip]
    let table: &[(&[&str], &str)] = &[
        (&["--cron", "often"],                       "`often` is no cron expression"),
        (&["--cron", "0 0 31 2 *"],                  "`0 0 31 2 *` never fires"),
        (&["--cron", "* * * * * *"],                 "fires more often than every 10s"),
        (&["--cron", "0 9 * * *", "--tz", "Mars/X"], "`Mars/X` is no time zone"),
        (&["--every", "0s"],                         "an interval is 10s at least"),
        (&["--every", "soon"],                       "`soon` is no interval"),
        (&["--at", "tomorrow"],                      "`tomorrow` is neither an instant"),
        (&["--at", "2020-01-01"],                    "has passed"),
        (&["--at", "2020-01-01 09:00"],              "has passed"),
        (&["--every", "1h", "--chat", "telegram@x:1"], "`telegram@x:1` is not bound to the group"),
    ];
    for (when, want) in table {
        let mut words = vec!["task", "add", "-g", "main", "-p", "x"];
        words.extend(*when);
        let done = stand.run(&words);
        assert_eq!(done.code, Some(2), "{when:?}: {done:?}");
        assert!(done.err.contains(want), "{when:?}: {done:?}");
    }
    assert_eq!(stand.json(&["task", "list"]), serde_json::json!([]));
}
