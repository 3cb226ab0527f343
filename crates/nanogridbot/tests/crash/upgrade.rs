//! Another executable in the place of the gateway's, while messages arrive: one that does well, and one that refuses to start.
#![expect(clippy::disallowed_methods, reason = "executables are put in place and started")]

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use sha2::{Digest as _, Sha256};
use tokio::process::Child;

use crate::common::{LIMIT, Stage};

/// A gateway whose executable is a copy of the one under test, in a folder of its own.
struct Installed {
    stage: Stage,
    exe: PathBuf,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Installed {
    async fn new() -> Self {
        // On the disk that the executable is on, so that it is not copied twice.
        let beside = Path::new(env!("CARGO_BIN_EXE_nanogridbot")).parent().unwrap();
        let dir = tempfile::tempdir_in(beside).unwrap();
        let exe = dir.path().join("nanogridbot");
        std::fs::copy(env!("CARGO_BIN_EXE_nanogridbot"), &exe).unwrap();
        let mut stage = Stage::at(dir.path().join("home")).await;
        stage.model.behave(|it| it.first_token_ms = 20);
        stage.env.insert("NGB_WEB__PORT".into(), "0".into());
        std::fs::create_dir_all(&stage.home).unwrap();
        let polls = stage.platform().figures().polls;
        let child = start(&stage, &exe);
        let up = stage.platform().wait(|it| polls < it.polls);
        stage.clock.timeout(LIMIT, up).await.expect("the gateway polls");
        Self { stage, exe, child, _dir: dir }
    }

    /// A file with its sum beside it.
    fn release(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.exe.with_file_name(name);
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let sum = format!("{:x}  {name}\n", Sha256::digest(bytes));
        std::fs::write(file.with_file_name(format!("{name}.sha256")), sum).unwrap();
        file
    }
}

/// The command of the stage, with another executable.
fn command(stage: &Stage, exe: &Path, args: &[&str]) -> tokio::process::Command {
    let ours = stage.command(args);
    let mut command = tokio::process::Command::new(exe);
    command.args(ours.as_std().get_args()).env_clear().kill_on_drop(true).stdin(Stdio::null());
    command.envs(ours.as_std().get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

fn start(stage: &Stage, exe: &Path) -> Child {
    let log =
        std::fs::File::options().append(true).create(true).open(stage.home.join("gateway.out"));
    let log = log.unwrap();
    let mut command = command(stage, exe, &["serve"]);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Upgrades to `release` while people write; whether it did, and what the command said.
async fn upgrade(it: &mut Installed, release: &Path, chats: &[i64]) -> (bool, String) {
    let args = ["upgrade", release.to_str().unwrap()];
    let out = command(&it.stage, &it.exe, &args).output();
    let clock = it.stage.clock.clone();
    let mut out = std::pin::pin!(out);
    loop {
        it.stage.push(chats, 2);
        let pause = clock.sleep(std::time::Duration::from_millis(100));
        tokio::select! {
            out = &mut out => {
                let out = out.unwrap();
                let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
                return (out.status.success(), said.into_owned());
            }
            () = pause => (),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_with_messages_arriving_and_one_that_refuses_to_start() {
    let mut it = Installed::new().await;
    let pid = it.child.id();
    it.stage.cli(&["group", "set", "main", "max_parallel=8", "runs_per_day=100000"]).await;
    let chats = [1_001, 1_002];
    for chat in chats {
        it.stage.cli(&["bind", &format!("telegram@main:{chat}"), "main", "--always"]).await;
    }
    let before = std::fs::read(&it.exe).unwrap();

    // It passes each check, and ends when it is started.
    let mean = format!(
        "#!/bin/sh\ncase \"$*\" in *serve*) echo 'I refuse' >&2; exit 2 ;; esac\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_nanogridbot")
    );
    let mean = it.release("refuses", mean.as_bytes());
    let (done, said) = upgrade(&mut it, &mean, &chats).await;
    assert!(!done, "{said}");
    assert!(said.contains("before it was ready"), "{said}\n{}", it.stage.tail());
    assert!(said.contains("the gateway is the old one again"), "{said}");
    assert!(std::fs::read(&it.exe).unwrap() == before, "the old executable is in its place");
    let figures = it.stage.settled().await;
    it.stage.check("an upgrade to a build that refuses to start", &figures);

    // One that does well: the same, with something behind its end.
    let after = [&before[..], b"another one"].concat();
    let good = it.release("good", &after);
    let (done, said) = upgrade(&mut it, &good, &chats).await;
    assert!(done, "{said}\n{}", it.stage.tail());
    assert!(std::fs::read(&it.exe).unwrap() == after);
    let figures = it.stage.settled().await;
    it.stage.check("an upgrade", &figures);
    assert!(it.child.try_wait().unwrap().is_none(), "whoever started it sees no end");
    assert_eq!(it.child.id(), pid);

    // What is not what it should be is not even tried.
    std::fs::write(&good, b"#!/bin/sh\n").unwrap();
    let (done, said) = upgrade(&mut it, &good, &chats).await;
    assert!(!done && said.contains("is damaged or another one"), "{said}");
    let figures = it.stage.settled().await;
    it.stage.check("an upgrade that is damaged", &figures);
}
