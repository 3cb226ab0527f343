//! One place that knows how to start a sandbox for a test.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicU32, Ordering},
};

use ngb_core::{
    clock::Clock,
    group::Limits,
    id::{GroupId, LaneId},
};
use ngb_sandbox::{
    AgentProcess, RunSpec, Sandbox,
    docker::{Docker, DockerConfig, SocketNames},
    native::{DEFAULT_UID_BASE, Native, NativeConfig},
};
use tokio::io::AsyncReadExt as _;

/// Makes each function a test in every engine that has walls: they hold in all of them, or the engine is none.
macro_rules! in_each_engine {
    ($($test:ident,)*) => {
        in_each_engine! { @ native, crate::common::Kind::Native, $($test,)* }
        in_each_engine! { @ docker, crate::common::Kind::Docker, $($test,)* }
    };
    (@ $engine:ident, $kind:expr, $($test:ident,)*) => {
        mod $engine {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(crate::common::House::new($kind)).await;
                }
            )*
        }
    };
}

/// The engines that have walls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Native,
    Docker,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Docker => "docker",
        }
    }

    /// An engine of this kind, as a gateway with this home has it.
    pub(crate) fn engine(self, home: &Path, install_id: &str) -> Box<dyn Sandbox> {
        match self {
            Self::Native => Box::new(Native::new(config(home, install_id)).unwrap()),
            Self::Docker => Box::new(Docker::new(docker_config(home, install_id)).unwrap()),
        }
    }
}

/// A home with one group and its engine.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) kind: Kind,
    pub(crate) engine: Box<dyn Sandbox>,
    pub(crate) install_id: String,
}

/// What an agent left behind.
pub(crate) struct Left {
    pub(crate) said: String,
    pub(crate) words: String,
    pub(crate) status: ExitStatus,
}

/// The example `inmate`, which stands beside the tests.
pub(crate) fn inmate() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let exe = test.ancestors().nth(2).unwrap().join("examples/inmate");
    assert!(exe.exists(), "`cargo test -p ngb-sandbox` builds it: {}", exe.display());
    exe
}

/// An install id that no other test has.
pub(crate) fn install_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn config(home: &Path, install_id: &str) -> NativeConfig {
    NativeConfig {
        home: home.to_owned(),
        exe: inmate(),
        install_id: install_id.to_owned(),
        uid_base: DEFAULT_UID_BASE,
        clock: Clock::System,
    }
}

pub(crate) fn docker_config(home: &Path, install_id: &str) -> DockerConfig {
    DockerConfig {
        home: home.to_owned(),
        exe: inmate(),
        install_id: install_id.to_owned(),
        uid_base: DEFAULT_UID_BASE,
        socket: SocketNames { docker_host: Some(test_engine()), ..SocketNames::default() },
        image: None,
        clock: Clock::System,
    }
}

/// The address of the engine that `scripts/test` starts.
pub(crate) fn test_engine() -> String {
    std::env::var("NGB_TEST_DOCKER").expect("NGB_TEST_DOCKER is not set; run `scripts/test`")
}

impl House {
    pub(crate) fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let install_id = install_id();
        let engine = kind.engine(dir.path(), &install_id);
        Self { dir, kind, engine, install_id }
    }

    /// User and group on the host of the agents of group 7.
    pub(crate) fn owner(&self) -> (u32, u32) {
        self.engine.owner(GroupId(7)).expect("these tests need root")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The spec of a lane of group 7.
    pub(crate) fn spec(&self, lane: i64, args: &[&str]) -> RunSpec {
        let spec = RunSpec {
            group: GroupId(7),
            lane: LaneId(lane),
            group_dir: self.path("group"),
            lane_dir: self.path(&format!("lane-{lane}")),
            read_only: Vec::new(),
            mounts: Vec::new(),
            broker_dir: None,
            args: args.iter().map(|&it| it.to_owned()).collect(),
            limits: Limits::default(),
        };
        for dir in [&spec.group_dir, &spec.lane_dir] {
            std::fs::create_dir_all(dir).unwrap();
        }
        spec
    }

    pub(crate) async fn start(&self, spec: &RunSpec) -> AgentProcess {
        self.engine.start(spec).await.unwrap()
    }

    /// Runs to the end.
    pub(crate) async fn run_spec(&self, spec: &RunSpec) -> Left {
        finish(self.start(spec).await).await
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Left {
        self.run_spec(&self.spec(1, args)).await
    }

    /// Runs a shell script to its end; returns what it printed.
    pub(crate) async fn sh(&self, script: &str) -> String {
        self.run(&["sh", script]).await.said
    }
}

pub(crate) async fn finish(mut agent: AgentProcess) -> Left {
    let mut said = Vec::new();
    agent.io.read_to_end(&mut said).await.unwrap();
    let status = agent.exited.as_mut().await.unwrap();
    let words = agent.last_words.text();
    Left { said: String::from_utf8_lossy(&said).into_owned(), words, status }
}

/// All processes of an installation's sandboxes: those with its argument, and what comes from them. The spare, which
/// waits outside of any namespace with nothing in it, is none.
pub(crate) fn processes(install_id: &str) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let of = |key| status.lines().find_map(|it| it.strip_prefix(key)).map(str::trim);
            let alive = !of("State:")?.starts_with('Z');
            Some((pid, of("PPid:")?.parse().ok()?)).filter(|_| alive)
        })
        .collect();
    let marked = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let args: Vec<&[u8]> = line.split(|it| *it == 0).collect();
        let users = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let id = install_id.as_bytes();
        let ours = match args.as_slice() {
            [_, b"__sandbox", b"--container", given, ..] => *given == id,
            [_, b"__sandbox", given, ..] => *given == id,
            _ => false,
        };
        ours && users(&pid.to_string()) != users("self")
    };
    let mut found: Vec<u32> = all.iter().map(|it| it.0).filter(|it| marked(*it)).collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children = all.iter().filter(|it| it.1 == parent && !found.contains(&it.0));
        found.extend(children.map(|it| it.0).collect::<Vec<_>>());
        at += 1;
    }
    found
}

/// The control groups of an installation, wherever they are.
pub(crate) fn groups(install_id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&format!("ngb-{install_id}-")) {
                    found.push(entry.path());
                }
                left.push(entry.path());
            }
        }
    }
    found
}
