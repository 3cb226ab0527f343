//! The engines without walls, and the choice of one with.

use std::{fs, os::unix::process::ExitStatusExt as _, time::Duration};

use crate::common::{House, Kind, config, docker_config, finish, inmate, install_id};
use ngb_core::clock::Clock;
use ngb_sandbox::{
    Sandbox,
    bare::{Bare, BareConfig},
    choose,
    fake::Fake,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

#[tokio::test]
async fn auto_takes_native_where_it_is_proved() {
    let home = tempfile::tempdir().unwrap();
    let id = install_id();
    let (native, docker) = (config(home.path(), &id), docker_config(home.path(), &id));
    let (engine, probe) = choose(native, docker).await.unwrap();
    assert_eq!((engine.engine(), probe.engine), ("native", "native"));
}

fn bare(house: &House) -> Bare {
    let environment = [("PATH", "/usr/bin:/bin"), ("ANTHROPIC_API_KEY", "s3cret")];
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let config = BareConfig {
        home: house.dir.path().into(),
        exe: inmate(),
        install_id: house.install_id.clone(),
        clock: Clock::System,
    };
    Bare::new(config, environment)
}

#[tokio::test]
async fn bare_has_the_same_workspace_and_no_secret() {
    let house = House::new(Kind::Native);
    let mut spec = house.spec(
        1,
        &[
            "sh",
            "cat; cat $NGB_WORKSPACE/lane/note; echo x > $NGB_WORKSPACE/group/made; \
        cat $NGB_WORKSPACE/instructions/group/AGENTS.md; ls $NGB_WORKSPACE; env | grep s3cret; \
        echo bye >&2; exit 3",
        ],
    );
    spec.broker_dir = Some(house.path("group"));
    let instructions = house.path("staged");
    fs::create_dir(&instructions).unwrap();
    fs::write(instructions.join("AGENTS.md"), "by the operator\n").unwrap();
    spec.read_only.push((instructions, "/workspace/instructions/group".into()));
    fs::write(spec.lane_dir.join("note"), "of the lane\n").unwrap();
    let engine = bare(&house);
    let mut agent = engine.start(&spec).await.unwrap();
    agent.io.write_all(b"in and out\n").await.unwrap();
    agent.io.shutdown().await.unwrap();
    let left = finish(agent).await;
    assert_eq!(
        left.said,
        "in and out\nof the lane\nby the operator\nbroker\ngroup\ninstructions\nlane\n"
    );
    assert_eq!((left.status.code(), left.words.as_str()), (Some(3), "bye\n"));
    assert_eq!(fs::read_to_string(house.path("group/made")).unwrap(), "x\n");
}

/// Whether a process with this number lives.
fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|it| !it.contains(") Z "))
}

/// Prints the numbers of three processes: one in the session of the agent, one in a session of its own, and one that
/// nobody is the parent of any more.
const SCATTERED: &str = "sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & \
    (setsid setsid -f sh -c 'echo $$; exec sleep 1000'); wait";

async fn three_lines(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<String> {
    let mut lines = BufReader::new(io).lines();
    let mut pids = Vec::new();
    for _ in 0..3 {
        pids.push(lines.next_line().await.unwrap().unwrap());
    }
    pids
}

async fn all_die(pids: &[String]) {
    let clock = Clock::System;
    let dead = clock.timeout(Duration::from_secs(5), async {
        while pids.iter().any(|it| lives(it)) {
            clock.sleep(Duration::from_millis(1)).await;
        }
    });
    dead.await.unwrap_or_else(|_| panic!("of {pids:?} some live"));
}

#[tokio::test]
async fn bare_kills_what_has_left_its_session() {
    let house = House::new(Kind::Native);
    let engine = bare(&house);
    let mut agent = engine.start(&house.spec(1, &["sh", SCATTERED])).await.unwrap();
    let pids = three_lines(&mut agent.io).await;
    assert!(pids.iter().all(|it| lives(it)), "{pids:?}");
    // Our own agents are no leftovers, wherever their processes have gone.
    assert_eq!(engine.reap().await.unwrap(), 0);
    assert!(pids.iter().all(|it| lives(it)), "{pids:?}");
    drop(agent);
    all_die(&pids).await;

    // The end of the agent is the end of the others too.
    let script = SCATTERED.replace("wait", "read word; exit 4");
    let mut agent = engine.start(&house.spec(1, &["sh", &script])).await.unwrap();
    let pids = three_lines(&mut agent.io).await;
    agent.io.write_all(b"go\n").await.unwrap();
    assert_eq!(agent.exited.as_mut().await.unwrap().code(), Some(4));
    assert!(!pids.iter().any(|it| lives(it)), "{pids:?}");
}

#[tokio::test]
async fn bare_ends_with_its_gateway_and_leftovers_are_reaped() {
    let house = House::new(Kind::Native);
    let gateway = || {
        let home = house.dir.path().to_str().unwrap();
        let mut child = std::process::Command::new(inmate())
            .args(["bare-gateway", home, &house.install_id, SCATTERED])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let pids: Vec<String> = lines.take(4).map(Result::unwrap).collect();
        (child, pids)
    };
    let (mut child, pids) = gateway();
    assert!(pids.iter().all(|it| lives(it)), "{pids:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    all_die(&pids).await;

    // An agent may kill its way out of `bare`; then the next gateway's start is its end.
    let (mut child, pids) = gateway();
    let (outside, inside) = pids.split_first().unwrap();
    let outside = rustix::process::Pid::from_raw(outside.parse().unwrap()).unwrap();
    rustix::process::kill_process(outside, rustix::process::Signal::KILL).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(inside.iter().all(|it| lives(it)), "{inside:?}");
    assert_eq!(bare(&house).reap().await.unwrap(), 1);
    all_die(inside).await;
}

#[tokio::test]
async fn fake_runs_a_closure() {
    let house = House::new(Kind::Native);
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
