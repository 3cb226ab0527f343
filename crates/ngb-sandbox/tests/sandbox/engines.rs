//! The engines without walls, and the choice of one with.

use std::{fs, os::unix::process::ExitStatusExt as _, time::Duration};

use crate::common::{House, config, finish, inmate, install_id};
use ngb_core::clock::Clock;
use ngb_sandbox::{Sandbox, bare::Bare, choose, fake::Fake};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

#[tokio::test]
async fn auto_takes_native_where_it_is_proved() {
    let home = tempfile::tempdir().unwrap();
    let (engine, probe) = choose(config(home.path(), &install_id())).await.unwrap();
    assert_eq!((engine.engine(), probe.engine), ("native", "native"));
}

fn bare(house: &House) -> Bare {
    let environment = [("PATH", "/usr/bin:/bin"), ("ANTHROPIC_API_KEY", "s3cret")];
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Bare::new(house.dir.path().into(), inmate(), house.install_id.clone(), environment)
}

#[tokio::test]
async fn bare_has_the_same_workspace_and_no_secret() {
    let house = House::new();
    let mut spec = house.spec(
        1,
        &[
            "sh",
            "cat; cat $NGB_WORKSPACE/lane/note; echo x > $NGB_WORKSPACE/group/made; \
        ls $NGB_WORKSPACE; env | grep s3cret; echo bye >&2; exit 3",
        ],
    );
    spec.broker_dir = Some(house.path("group"));
    fs::write(spec.lane_dir.join("note"), "of the lane\n").unwrap();
    let engine = bare(&house);
    let mut agent = engine.start(&spec).await.unwrap();
    agent.io.write_all(b"in and out\n").await.unwrap();
    agent.io.shutdown().await.unwrap();
    let left = finish(agent).await;
    assert_eq!(left.said, "in and out\nof the lane\nbroker\ngroup\nlane\n");
    assert_eq!((left.status.code(), left.words.as_str()), (Some(3), "bye\n"));
    assert_eq!(fs::read_to_string(house.path("group/made")).unwrap(), "x\n");
}

/// Whether a process with this number lives.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| !it.contains(") Z "))
}

#[tokio::test]
async fn bare_kills_the_process_group() {
    let house = House::new();
    let engine = bare(&house);
    let mut agent =
        engine.start(&house.spec(1, &["sh", "sleep 1000 & echo $!; wait"])).await.unwrap();
    let mut pid = String::new();
    BufReader::new(&mut agent.io).read_line(&mut pid).await.unwrap();
    let pid = pid.trim();
    assert!(lives(pid));
    // Our own agents are no leftovers; to an engine of another process they are.
    assert_eq!(engine.reap().await.unwrap(), 0);
    assert!(lives(pid));
    drop(agent);
    let clock = Clock::System;
    let dead = clock.timeout(Duration::from_secs(5), async {
        while lives(pid) {
            clock.sleep(Duration::from_millis(1)).await;
        }
    });
    dead.await.unwrap();
}

#[tokio::test]
async fn fake_runs_a_closure() {
    let house = House::new();
    let engine = Fake::new(|spec, mut io| async move {
        let mut heard = String::new();
        io.read_to_string(&mut heard).await.unwrap();
        io.write_all(format!("{heard} for lane {}", spec.lane).as_bytes()).await.unwrap();
        5
    });
    let mut agent = engine.start(&house.spec(9, &[])).await.unwrap();
    agent.io.write_all(b"work").await.unwrap();
    agent.io.shutdown().await.unwrap();
    let left = finish(agent).await;
    assert_eq!((left.said.as_str(), left.status.code()), ("work for lane 9", Some(5)));

    let engine = Fake::new(|_, _| async { panic!("oh") });
    let left = finish(engine.start(&house.spec(9, &[])).await.unwrap()).await;
    assert_eq!(left.status.signal(), Some(6));
}
