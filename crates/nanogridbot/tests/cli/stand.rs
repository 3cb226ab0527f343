//! A home of its own, commands run in it, and a gateway that is gone with its handle.
#![expect(clippy::disallowed_methods, reason = "the executable under test is a process")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

/// One installation.
pub(crate) struct Stand {
    dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A gateway that runs until this is dropped.
pub(crate) struct Gateway {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it announced.
    pub(crate) announced: String,
    socket: PathBuf,
    log: PathBuf,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With these settings.
    pub(crate) fn with(config: &str) -> Self {
        let it = Self::new();
        std::fs::create_dir(it.home()).unwrap();
        std::fs::write(it.home().join("config.toml"), config).unwrap();
        it
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The command in this home, in an environment that has nothing else.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare();
        command.arg("--home").arg(self.home()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).output().unwrap())
    }

    /// What `args` print, which must be one JSON document and an exit code of 0.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let got = self.run(&[&["--json"], args].concat());
        assert_eq!(got.code, Some(0), "{args:?}: {got:?}");
        serde_json::from_str(&got.out).unwrap_or_else(|err| panic!("{args:?}: {err}: {got:?}"))
    }

    /// Starts a gateway and waits for it to say that it runs.
    pub(crate) fn serve(&self, args: &[&str]) -> Gateway {
        self.serve_in(args, &[])
    }

    /// The same with these variables.
    pub(crate) fn serve_in(&self, args: &[&str], env: &[(&str, &str)]) -> Gateway {
        let log = self.dir.path().join("stderr");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = self.command(&[&["serve"], args].concat());
        command.envs(env.iter().copied());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let socket = self.home().join("gateway.sock");
        let mut it = Gateway { child, out, announced: String::new(), socket, log };
        // Its last line but for advice.
        while !it.announced.contains("  home  ") {
            let at = it.announced.len();
            let read = it.out.read_line(&mut it.announced).unwrap();
            assert_ne!(read, 0, "it ended: {}\n{}", it.announced, it.log());
            assert!(at < it.announced.len());
        }
        it
    }
}

impl Gateway {
    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The answer to a GET over the local socket, with its head.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut line = UnixStream::connect(&self.socket).unwrap();
        write!(line, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut res = String::new();
        line.read_to_string(&mut res).unwrap();
        res
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self) -> Done {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut out = self.announced.clone();
        self.out.read_to_string(&mut out).unwrap();
        Done { code, out, err: self.log() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The executable, in an environment that has nothing but a path for programs.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanogridbot"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

pub(crate) fn done(output: Output) -> Done {
    let text = |it| String::from_utf8(it).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Every file and folder below `dir`, without following links.
pub(crate) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut res = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            res.extend(walk(&path));
        }
        res.push(path);
    }
    res
}
