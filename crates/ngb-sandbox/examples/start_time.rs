//! Measures a start, from the call to the first byte that the agent prints: `start_time [COUNT] [EXECUTABLE]`.
//!
//! EXECUTABLE is a `nanogridbot`, whose first byte is that of its first frame; without it this program stands for it, which
//! is smaller than the real one. Where `DOCKER_HOST` names an engine, its containers are measured too, in turn with a bare
//! `docker run` of the same image and executable.

#![expect(clippy::disallowed_methods, reason = "it measures")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ngb_core::{
    clock::Clock,
    group::Limits,
    id::{GroupId, LaneId},
};
use ngb_sandbox::{
    RunSpec, Sandbox,
    docker::{Docker, DockerConfig, SocketNames},
    native::{DEFAULT_UID_BASE, Native, NativeConfig, init_main},
};
use tokio::io::AsyncReadExt as _;

/// Containers are started so many times less often: each takes that much longer.
const CONTAINER_SHARE: usize = 5;

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("__sandbox") => return Ok(init_main()),
        Some("agent") => {
            std::io::stdout().write_all(b"x")?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let count: usize = args.first().map_or(Ok(200), |it| it.parse())?;
    let bench = Bench {
        home: tempfile::tempdir()?,
        exe: args.get(1).map_or_else(std::env::current_exe, |it| Ok(it.into()))?,
        args: match args.get(1) {
            Some(_) => vec!["--driver".into(), "demo".into()],
            None => Vec::new(),
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load {}", load.split(' ').next().unwrap_or_default());
    runtime.block_on(async {
        bench.native(count).await?;
        match std::env::var("DOCKER_HOST") {
            Ok(address) => bench.docker((count / CONTAINER_SHARE).max(5), address).await,
            Err(_) => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    home: tempfile::TempDir,
    exe: PathBuf,
    /// After `agent`.
    args: Vec<String>,
}

impl Bench {
    async fn native(&self, count: usize) -> anyhow::Result<()> {
        let native = Native::new(NativeConfig {
            home: self.home.path().to_owned(),
            exe: self.exe.clone(),
            install_id: format!("bench{}", std::process::id()),
            uid_base: DEFAULT_UID_BASE,
            clock: Clock::System,
        })?;
        println!("{:?}", native.probe().await?);
        for (how, pause) in
            [("50 ms apart", Duration::from_millis(50)), ("back to back", Duration::ZERO)]
        {
            let (mut ready, mut byte) = (Vec::new(), Vec::new());
            for lane in 0..i64::try_from(count)? {
                let (at_ready, at_byte) = self.start(&native, lane).await?;
                ready.push(at_ready);
                byte.push(at_byte);
                Clock::System.sleep(pause).await;
            }
            say(&format!("native, {how}, start() returns"), &mut ready);
            say(&format!("native, {how}, first byte"), &mut byte);
        }
        Ok(())
    }

    async fn docker(&self, count: usize, address: String) -> anyhow::Result<()> {
        let docker = Docker::new(DockerConfig {
            home: self.home.path().to_owned(),
            exe: self.exe.clone(),
            install_id: format!("bench{}", std::process::id()),
            uid_base: DEFAULT_UID_BASE,
            socket: SocketNames { docker_host: Some(address), ..SocketNames::default() },
            image: None,
            clock: Clock::System,
        })?;
        println!("{:?}", docker.probe().await?);
        let image = own_image()?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for lane in 0..i64::try_from(count)? {
            ours.push(self.start(&docker, lane).await?.1);
            bare.push(self.bare(&image)?);
        }
        say("docker, first byte", &mut ours);
        say("bare `docker run`, first byte", &mut bare);
        let ratio = at(&ours, 50) / at(&bare, 50);
        println!("docker by a bare `docker run`: p50 {ratio:.2}");
        Ok(())
    }

    /// Until `start` returns, and until the first byte.
    async fn start(&self, engine: &dyn Sandbox, lane: i64) -> anyhow::Result<(Duration, Duration)> {
        let spec = RunSpec {
            group: GroupId(1),
            lane: LaneId(lane),
            group_dir: self.home.path().join("group"),
            lane_dir: self.home.path().join("lane"),
            read_only: Vec::new(),
            mounts: Vec::new(),
            broker_dir: None,
            args: self.args.clone(),
            limits: Limits::default(),
        };
        std::fs::create_dir_all(&spec.group_dir)?;
        std::fs::create_dir_all(&spec.lane_dir)?;
        let started = Instant::now();
        let mut agent = engine.start(&spec).await?;
        let ready = started.elapsed();
        agent.io.read_u8().await?;
        Ok((ready, started.elapsed()))
    }

    /// What anybody would type.
    fn bare(&self, image: &str) -> anyhow::Result<Duration> {
        let mount = format!("{}:/run/nanogridbot:ro", self.exe.display());
        let fixed = ["run", "--rm", "--network", "none", "--volume", &mount, image];
        let started = Instant::now();
        let mut child = Command::new("docker")
            .args(fixed)
            .args(["/run/nanogridbot", "agent"])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = child.stdout.take().context("no output")?;
        out.read_exact(&mut [0])?;
        let took = started.elapsed();
        drop(out);
        child.wait()?;
        Ok(took)
    }
}

/// The image that the engine made for the host's programs.
fn own_image() -> anyhow::Result<String> {
    let out = Command::new("docker").args(["images", "--quiet", "nanogridbot-root"]).output()?;
    let ids = String::from_utf8(out.stdout)?;
    ids.lines().next().map(str::to_owned).context("there is no image `nanogridbot-root`")
}

fn say(what: &str, times: &mut [Duration]) {
    times.sort();
    println!(
        "{what}: p50 {:.2} ms, p99 {:.2} ms, of {}",
        at(times, 50),
        at(times, 99),
        times.len()
    );
}

/// The time, in milliseconds, that `part` of a hundred are no longer than.
fn at(times: &[Duration], part: usize) -> f64 {
    times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3
}
