//! Measures a start, from the call to the first byte that the agent prints: `start_time [COUNT] [EXECUTABLE]`.
//!
//! EXECUTABLE is a `nanogridbot`, whose first byte is that of its first frame; without it this program stands for it, which
//! is smaller than the real one.

#![expect(clippy::disallowed_methods, reason = "it measures")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use ngb_core::{
    clock::Clock,
    group::Limits,
    id::{GroupId, LaneId},
};
use ngb_sandbox::{
    RunSpec, Sandbox as _,
    native::{DEFAULT_UID_BASE, Native, NativeConfig, init_main},
};
use tokio::io::AsyncReadExt as _;

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (how, pause) in
        [("50 ms apart", Duration::from_millis(50)), ("back to back", Duration::ZERO)]
    {
        let exe = args.get(1).map(Into::into);
        let (mut ready, mut byte) = runtime.block_on(measure(count, exe, pause))?;
        for (name, times) in [("start() returns", &mut ready), ("first byte", &mut byte)] {
            times.sort();
            let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
            println!("{how}, {name}: p50 {:.2} ms, p99 {:.2} ms, of {count}", at(50), at(99));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(
    count: usize,
    exe: Option<std::path::PathBuf>,
    pause: Duration,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let home = tempfile::tempdir()?;
    let args = if exe.is_some() { vec!["--driver".into(), "demo".into()] } else { Vec::new() };
    let native = Native::new(NativeConfig {
        home: home.path().to_owned(),
        exe: exe.map_or_else(std::env::current_exe, Ok)?,
        install_id: format!("bench{}", std::process::id()),
        uid_base: DEFAULT_UID_BASE,
        clock: Clock::System,
    })?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load {}; {:?}", load.split(' ').next().unwrap_or_default(), native.probe().await?);
    let mut ready = Vec::new();
    let mut byte = Vec::new();
    for lane in 0..i64::try_from(count)? {
        let spec = RunSpec {
            group: GroupId(1),
            lane: LaneId(lane),
            group_dir: home.path().join("group"),
            lane_dir: home.path().join("lane"),
            read_only: Vec::new(),
            mounts: Vec::new(),
            broker_dir: None,
            args: args.clone(),
            limits: Limits::default(),
        };
        std::fs::create_dir_all(&spec.group_dir)?;
        std::fs::create_dir_all(&spec.lane_dir)?;
        let started = Instant::now();
        let mut agent = native.start(&spec).await?;
        ready.push(started.elapsed());
        agent.io.read_u8().await?;
        byte.push(started.elapsed());
        drop(agent);
        Clock::System.sleep(pause).await;
    }
    Ok((ready, byte))
}
