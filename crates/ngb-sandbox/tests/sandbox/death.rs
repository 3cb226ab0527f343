//! Everything inside dies: with the `AgentProcess`, with the gateway, at the next start.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::common::{self, House, Kind, inmate, install_id, processes};
use ngb_core::clock::Clock;
use ngb_sandbox::{
    Sandbox, SandboxError,
    docker::{Docker, DockerConfig},
    native::{Native, NativeConfig},
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

/// Longest that dying may take; it is a few milliseconds on an idle machine.
const DYING: Duration = Duration::from_secs(5);

/// A shell that ignores every signal it can, and has children that have left its session.
const STUBBORN: &str = "trap '' HUP INT TERM QUIT; setsid sh -c 'trap \"\" TERM; sleep 1000' & \
    (setsid sleep 1000 &) ; echo up; sleep 1000";

/// Waits until nothing of the installation lives.
async fn all_dead(install_id: &str) {
    let clock = Clock::System;
    let dead = clock.timeout(DYING, async {
        while !processes(install_id).is_empty() {
            clock.sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(dead.await.is_ok(), "still there: {:?}", processes(install_id));
}

async fn first_line(agent: &mut ngb_sandbox::AgentProcess) -> String {
    let mut line = String::new();
    tokio::io::BufReader::new(&mut agent.io).read_line(&mut line).await.unwrap();
    line
}

async fn dropping_it_kills_all(house: House) {
    let mut agent = house.start(&house.spec(1, &["sh", STUBBORN])).await;
    assert_eq!(first_line(&mut agent).await, "up\n");
    assert!(4 <= processes(&house.install_id).len());
    drop(agent);
    all_dead(&house.install_id).await;
}

async fn the_end_of_the_agent_is_the_end_of_all(house: House) {
    let left = house.run(&["sh", "setsid sleep 1000 & echo bye >&2; exit 7"]).await;
    assert_eq!(left.status.code(), Some(7));
    assert_eq!(left.words, "bye\n");
    assert_eq!(processes(&house.install_id), Vec::<u32>::new());
    let left = house.run(&["sh", "kill -9 $$"]).await;
    assert_eq!(left.status.signal(), Some(9));
}

async fn orphans_are_reaped(house: House) {
    let script = "for i in 1 2 3 4 5; do (sh -c : &); done; \
        while grep -q '^State:.*Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo none";
    assert_eq!(house.sh(script).await, "none\n");
}

async fn process_1_can_not_be_killed_from_inside(house: House) {
    let script = "kill -9 1; kill -STOP 1; kill -TERM 1; echo alive; kill -0 1 && echo still";
    assert_eq!(house.sh(script).await, "alive\nstill\n");
}

async fn a_lane_has_one_sandbox_at_a_time(house: House) {
    let spec = house.spec(1, &["sh", "echo up; sleep 1000"]);
    let mut first = house.start(&spec).await;
    assert_eq!(first_line(&mut first).await, "up\n");
    let mut second = Box::pin(house.engine.start(&spec));
    let clock = Clock::System;
    assert!(clock.timeout(Duration::from_millis(200), second.as_mut()).await.is_err());
    // Another lane does not wait.
    drop(house.start(&house.spec(2, &["hello"])).await);
    drop(first);
    let mut second = second.await.unwrap();
    assert_eq!(first_line(&mut second).await, "up\n");
}

fn gateway(
    kind: Kind,
    home: &std::path::Path,
    install_id: &str,
    script: &str,
) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(inmate())
        .args(["gateway", kind.name(), home.to_str().unwrap(), install_id, script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

async fn kill_9_of_the_gateway_kills_all(house: House) {
    let House { kind, dir: home, .. } = house;
    let id = install_id();
    let (mut child, out) = gateway(kind, home.path(), &id, STUBBORN);
    let mut lines = out.lines().map(Result::unwrap);
    assert!(lines.any(|it| it == "up"));
    assert!(4 <= processes(&id).len());
    child.kill().unwrap();
    child.wait().unwrap();
    all_dead(&id).await;

    let engine = kind.engine(home.path(), &id);
    let reaped = engine.reap().await.unwrap();
    match kind {
        // Its control groups are still there, perhaps the spare's too; the next gateway removes them, once.
        Kind::Native => assert!((1..=2).contains(&reaped), "{reaped}"),
        // The engine removes what has ended by itself, which may take it a moment.
        Kind::Docker => assert!(reaped <= 1, "{reaped}"),
    }
    assert_eq!(engine.reap().await.unwrap(), 0);
    assert_eq!(common::groups(&id), Vec::<std::path::PathBuf>::new());
}

async fn leftovers_that_live_are_reaped_and_nobody_else(house: House) {
    let House { kind, dir: home, .. } = house;
    let id = install_id();
    let (mut child, out) = gateway(kind, home.path(), &id, STUBBORN);
    assert!(out.lines().map(Result::unwrap).any(|it| it == "up"));
    let other = House::new(kind);
    let mut bystander = other.start(&other.spec(1, &["echo"])).await;

    // To the reaping engine the other gateway's sandboxes are leftovers, although that one lives.
    let engine = kind.engine(home.path(), &id);
    assert!((1..=2).contains(&engine.reap().await.unwrap()));
    assert_eq!(processes(&id), Vec::<u32>::new());
    assert_eq!(common::groups(&id), Vec::<std::path::PathBuf>::new());
    assert!(!child.wait().unwrap().success());

    // Our own are none, and nobody else's.
    assert_eq!(other.engine.reap().await.unwrap(), 0);
    bystander.io.write_all(b"well?\n").await.unwrap();
    assert_eq!(first_line(&mut bystander).await, "well?\n");
}

async fn nothing_is_left_of_a_run(house: House) {
    let before = fs::read_dir("/proc/self/fd").unwrap().count();
    for _ in 0..20 {
        assert_eq!(house.run(&["hello"]).await.said, "hello\n");
    }
    let House { engine, install_id, dir: _dir, .. } = house;
    drop(engine); // the spare goes with its engine
    assert_eq!(common::groups(&install_id), Vec::<std::path::PathBuf>::new());
    let after = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(after <= before + 12, "descriptors: {before}, then {after}");
}

async fn an_executable_that_is_none_is_an_error_with_its_words(house: House) {
    let exe = "/bin/false".into();
    let (home, id) = (house.dir.path(), &house.install_id);
    let engine: Box<dyn Sandbox> = match house.kind {
        Kind::Native => {
            let config = NativeConfig { exe, ..common::config(home, id) };
            Box::new(Native::new(config).unwrap())
        }
        Kind::Docker => {
            let config = DockerConfig { exe, ..common::docker_config(home, id) };
            Box::new(Docker::new(config).unwrap())
        }
    };
    let got = engine.start(&house.spec(1, &[])).await;
    assert!(matches!(got, Err(SandboxError::EndedEarly { .. } | SandboxError::Setup { .. })));
    let Err(err) = got else { unreachable!() };
    assert!(err.is_passing());
}

in_each_engine! {
    kill_9_of_the_gateway_kills_all,
    leftovers_that_live_are_reaped_and_nobody_else,
    dropping_it_kills_all,
    the_end_of_the_agent_is_the_end_of_all,
    orphans_are_reaped,
    process_1_can_not_be_killed_from_inside,
    a_lane_has_one_sandbox_at_a_time,
    nothing_is_left_of_a_run,
    an_executable_that_is_none_is_an_error_with_its_words,
}
