//! What the tests put into a sandbox in place of `nanogridbot`: it is the sandbox's first process, the agent inside, and
//! a small gateway that can be killed or be run by another user.
//!
//! An example and not a binary, since `cargo test` builds it and nobody installs it.

#![expect(clippy::disallowed_methods, reason = "this is a test program, it starts processes")]
#![expect(clippy::print_stdout, reason = "its answer is what it prints")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
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
    bare::{Bare, BareConfig},
    docker::{Docker, DockerConfig, SocketNames},
    native::{DEFAULT_UID_BASE, Native, NativeConfig, init_main},
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["__sandbox", ..] => return init_main(),
        ["agent", work @ ..] => agent(work),
        ["gateway", engine, home, install_id, script] => {
            gateway(engine, home.into(), install_id, script)
        }
        ["bare-gateway", home, install_id, script] => bare_gateway(home.into(), install_id, script),
        other => Err(anyhow::anyhow!("what is {other:?}?")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

fn agent(work: &[&str]) -> anyhow::Result<()> {
    match work {
        ["sh", script] => Err(Command::new("/bin/sh").args(["-c", script]).exec().into()),
        ["calls"] => calls(),
        ["connect", address] => {
            let address: SocketAddr = address.parse()?;
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
                Ok(_) => println!("connected"),
                Err(err) => println!("{:?}", err.raw_os_error()),
            }
            Ok(())
        }
        ["unix", path] => {
            let mut said = String::new();
            std::os::unix::net::UnixStream::connect(path)?.read_to_string(&mut said)?;
            print!("{said}");
            Ok(())
        }
        ["echo"] => {
            let mut byte = [0];
            while std::io::stdin().read(&mut byte)? == 1 {
                std::io::stdout().write_all(&byte)?;
                std::io::stdout().flush()?;
            }
            Ok(())
        }
        ["hello"] => {
            println!("hello");
            Ok(())
        }
        ["memory", mib] => memory(mib.parse()?),
        ["spin", millis] => spin(Duration::from_millis(millis.parse()?)),
        ["crowd", count] => crowd(count.parse()?),
        ["files"] => files(),
        other => anyhow::bail!("what is {other:?}?"),
    }
}

/// Tries system calls that must be refused; prints what each said.
#[expect(unsafe_code, reason = "the calls have no safe wrappers, which is why they are tried")]
fn calls() -> anyhow::Result<()> {
    let dir = c"/tmp".as_ptr() as usize;
    let clone_args = [u64::try_from(libc::CLONE_NEWUSER)?, 0, 0, 0, 0, 0, 0, 0];
    let namespace = usize::try_from(libc::CLONE_NEWUSER | libc::SIGCHLD)?;
    let tiocsti = usize::try_from(libc::TIOCSTI)?;
    #[rustfmt::skip]
    let table: &[(&str, i64, [usize; 5])] = &[
        ("mount",           libc::SYS_mount,             [dir, dir, c"tmpfs".as_ptr() as usize, 0, 0]),
        ("umount2",         libc::SYS_umount2,           [dir, 0, 0, 0, 0]),
        ("pivot_root",      libc::SYS_pivot_root,        [dir, dir, 0, 0, 0]),
        ("chroot",          libc::SYS_chroot,            [dir, 0, 0, 0, 0]),
        ("open_tree",       libc::SYS_open_tree,         [0, dir, 1, 0, 0]),
        ("unshare",         libc::SYS_unshare,           [usize::try_from(libc::CLONE_NEWUSER)?, 0, 0, 0, 0]),
        ("setns",           libc::SYS_setns,             [0, 0, 0, 0, 0]),
        ("clone NEWUSER",   libc::SYS_clone,             [namespace, 0, 0, 0, 0]),
        ("clone3",          libc::SYS_clone3,            [clone_args.as_ptr() as usize, 64, 0, 0, 0]),
        ("ptrace",          libc::SYS_ptrace,            [usize::try_from(libc::PTRACE_ATTACH)?, 1, 0, 0, 0]),
        ("process_vm_readv",libc::SYS_process_vm_readv,  [1, 0, 0, 0, 0]),
        ("keyctl",          libc::SYS_keyctl,            [0, 0, 0, 0, 0]),
        ("add_key",         libc::SYS_add_key,           [0, 0, 0, 0, 0]),
        ("bpf",             libc::SYS_bpf,               [0, 0, 0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open,   [0, 0, 0, 0, 0]),
        ("userfaultfd",     libc::SYS_userfaultfd,       [0, 0, 0, 0, 0]),
        ("io_uring_setup",  libc::SYS_io_uring_setup,    [1, 0, 0, 0, 0]),
        ("kexec_load",      libc::SYS_kexec_load,        [0, 0, 0, 0, 0]),
        ("init_module",     libc::SYS_init_module,       [0, 0, 0, 0, 0]),
        ("reboot",          libc::SYS_reboot,            [0, 0, 0, 0, 0]),
        ("sethostname",     libc::SYS_sethostname,       [dir, 4, 0, 0, 0]),
        ("TIOCSTI",         libc::SYS_ioctl,             [0, tiocsti, dir, 0, 0]),
        ("vsock",           libc::SYS_socket,            [40, 1, 0, 0, 0]),
        ("netfilter",       libc::SYS_socket,            [16, 3, 12, 0, 0]),
        ("packet socket",   libc::SYS_socket,            [17, 3, 0, 0, 0]),
        ("personality",     libc::SYS_personality,       [0x40_0000, 0, 0, 0, 0]),
        ("newer than all",  9_999,                       [0, 0, 0, 0, 0]),
    ];
    for (name, number, [a, b, c, d, e]) in table {
        // SAFETY: pointers are to constants and to an array that outlives the loop; the calls are expected to be
        // refused before they look at them, and those that were not would only make this process end badly.
        let got = unsafe { libc::syscall(*number, *a, *b, *c, *d, *e) };
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        let said = match (got, errno) {
            (0.., _) => "allowed".to_owned(),
            (_, libc::EPERM) => "EPERM".to_owned(),
            (_, libc::ENOSYS) => "ENOSYS".to_owned(),
            (_, other) => format!("errno {other}"),
        };
        println!("{name}: {said}");
    }
    Ok(())
}

fn memory(mib: usize) -> anyhow::Result<()> {
    let mut held = Vec::new();
    for at in 1..=mib {
        held.push(vec![1_u8; 1 << 20]);
        println!("{at}");
    }
    println!("all of {}", held.len());
    // Lives until its input ends, so that somebody can look at it.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Two threads that burn; prints processor time by wall time, in thousandths.
fn spin(wall: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| while start.elapsed() < wall {});
        }
    });
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    // proc_pid_stat(5): utime and stime are fields 14 and 15, in hundredths of a second.
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    println!("{}", ticks * 10 * 1_000 / u64::try_from(start.elapsed().as_millis())?);
    Ok(())
}

/// Starts processes until it may not; prints how many.
fn crowd(count: usize) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for _ in 0..count {
        match Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).spawn() {
            Ok(child) => all.push(child),
            Err(_) => break,
        }
    }
    println!("{}", all.len());
    Ok(())
}

/// Opens files until it may not; prints how many, and why not.
fn files() -> anyhow::Result<()> {
    let mut all = Vec::new();
    let refused = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => all.push(file),
            Err(err) => break err,
        }
    };
    println!("{} {:?}", all.len(), refused.raw_os_error());
    Ok(())
}

/// A gateway with one agent; it prints what the agent prints, until the agent ends or this is killed.
fn gateway(engine: &str, home: PathBuf, install_id: &str, script: &str) -> anyhow::Result<()> {
    let engine: Box<dyn Sandbox> = if engine == "docker" {
        Box::new(Docker::new(DockerConfig {
            home: home.clone(),
            exe: std::env::current_exe()?,
            install_id: install_id.into(),
            uid_base: DEFAULT_UID_BASE,
            socket: SocketNames {
                docker_host: std::env::var("NGB_TEST_DOCKER").ok(),
                ..SocketNames::default()
            },
            image: None,
            clock: Clock::System,
        })?)
    } else {
        Box::new(Native::new(NativeConfig {
            home: home.clone(),
            exe: std::env::current_exe()?,
            install_id: install_id.into(),
            uid_base: DEFAULT_UID_BASE,
            clock: Clock::System,
        })?)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        println!("{:?}", engine.probe().await?);
        converse(&*engine, home, script).await
    })
}

/// The same without walls; it first prints the number of its child.
fn bare_gateway(home: PathBuf, install_id: &str, script: &str) -> anyhow::Result<()> {
    let config = BareConfig {
        home: home.clone(),
        exe: std::env::current_exe()?,
        install_id: install_id.into(),
        clock: Clock::System,
    };
    let bare = Bare::new(config, [("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(converse(&bare, home, &format!("echo $PPID; {script}")))
}

async fn converse(engine: &dyn Sandbox, home: PathBuf, script: &str) -> anyhow::Result<()> {
    let (group_dir, lane_dir) = (home.join("group"), home.join("lane"));
    for dir in [&group_dir, &lane_dir] {
        std::fs::create_dir_all(dir)?;
    }
    let spec = RunSpec {
        group: GroupId(1),
        lane: LaneId(1),
        group_dir,
        lane_dir,
        read_only: Vec::new(),
        mounts: Vec::new(),
        broker_dir: None,
        args: vec!["sh".into(), script.into()],
        limits: Limits { file_mib: 10, disk_mib: 20, ..Limits::default() },
    };
    let mut agent = engine.start(&spec).await?;
    tokio::io::copy(&mut agent.io, &mut tokio::io::stdout()).await?;
    let status = agent.exited.as_mut().await?;
    eprintln!("{}", agent.last_words.text());
    anyhow::ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}
