//! Machines that forbid sandboxes, and what their users are told: the real executable in a real container, under each of
//! the walls that Docker puts up, and the parser of AppArmor.
//!
//! `scripts/test` starts the engine (`NGB_TEST_DOCKER` is its address), installs the parser (`NGB_TEST_APPARMOR` is its
//! command) and names the executable (`NGB_TEST_BIN`).

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]
#![expect(clippy::disallowed_methods, reason = "the tests start containers")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run `scripts/test`"))
}

fn docker(args: &[&str]) -> Output {
    let mut command = Command::new("docker");
    command.env("DOCKER_HOST", named("NGB_TEST_DOCKER")).args(args).output().unwrap()
}

/// An image that has the static executable in it, and nothing else but a folder that anybody may write to.
fn image() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        let name = format!("ngb-test:{}", std::process::id());
        let root = tempfile::tempdir().unwrap();
        std::fs::copy(named("NGB_TEST_BIN"), root.path().join("nanogridbot")).unwrap();
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        let mut tar = Command::new("tar")
            .args(["--create", "--mode=a+rwX", "--directory"])
            .arg(root.path())
            .arg(".")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let import = Command::new("docker")
            .env("DOCKER_HOST", named("NGB_TEST_DOCKER"))
            .args(["import", "-", &name])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(tar.wait().unwrap().success() && import.status.success(), "{import:?}");
        name
    })
}

/// Runs the executable in a container that was given `options`.
fn run(options: &[&str], args: &[&str]) -> (Option<i32>, String, String) {
    let fixed = ["run", "--rm", "--network", "none", "--env", "PATH=/"];
    let program = [image(), "/nanogridbot", "--home", "/tmp/home"];
    let out = docker(&[&fixed, options, &program, args].concat());
    let text = |it| String::from_utf8(it).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

const NO_SECCOMP: &str = "--security-opt=seccomp=unconfined";
const WHOLE_PROC: &str = "--security-opt=systempaths=unconfined";

#[test]
fn each_wall_of_docker_is_told_apart_with_its_command() {
    #[rustfmt::skip]
    let table: [(&[&str], &str, &str); 5] = [
        (&[],                           "seccomp",     "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ..."),
        (&["--user", "1000"],           "seccomp",     "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ..."),
        (&[WHOLE_PROC],                 "seccomp",     "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ..."),
        (&[NO_SECCOMP],                 "masked_proc", "docker run --security-opt systempaths=unconfined ..."),
        (&[NO_SECCOMP, "--user", "1000"], "masked_proc", "docker run --security-opt systempaths=unconfined ..."),
    ];
    for (options, reason, mend) in table {
        let (code, out, err) = run(options, &["--json", "doctor"]);
        let said: Value =
            serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {out} {err}"));
        let findings = said["findings"].as_array().unwrap();
        let sandbox = findings.iter().find(|it| it["what"] == "sandbox").unwrap();
        assert_eq!(sandbox["reason"], reason, "{options:?}: {sandbox}");
        assert_eq!(sandbox["mend"], mend, "{options:?}");
        assert_eq!((&sandbox["ok"], &said["ok"]), (&false.into(), &false.into()), "{options:?}");
        assert!(code.is_some_and(|it| it != 0), "{options:?}: {code:?}");
    }
}

/// What each command says is what helps.
#[test]
fn with_both_walls_down_a_container_has_its_sandbox() {
    for options in [&[NO_SECCOMP, WHOLE_PROC][..], &[NO_SECCOMP, WHOLE_PROC, "--user", "1000"]] {
        let (code, out, err) = run(options, &["--json", "doctor"]);
        let said: Value =
            serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {out} {err}"));
        assert_eq!((code, &said["sandbox"]["engine"]), (Some(0), &"native".into()), "{out} {err}");
        // Docker shows control groups read-only.
        assert_eq!(said["sandbox"]["memory"], "watcher");
        assert_eq!(said["sandbox"]["cpu"], "not_enforced");
        assert_eq!(said["sandbox"]["pids"], "kernel");
        let (code, out, err) = run(options, &["run", "-p", "hello"]);
        assert_eq!(code, Some(0), "{out} {err}");
        assert!(!out.trim().is_empty(), "{err}");
    }
}

#[test]
fn without_a_sandbox_no_agent_runs_and_the_user_is_told() {
    let (code, out, err) = run(&[], &["run", "-p", "hello"]);
    assert!(code.is_some_and(|it| it != 0), "{out} {err}");
    assert!(format!("{out}{err}").contains("doctor"), "{out} {err}");
}

#[test]
fn apparmors_parser_takes_the_profile() {
    for exe in ["/usr/local/bin/nanogridbot", "/opt/with a space/nanogridbot"] {
        let profile = ngb_sandbox::apparmor_profile(Path::new(exe));
        let mut parser = Command::new("sh")
            .args([
                "-c",
                &format!("{} --skip-kernel-load --skip-cache", named("NGB_TEST_APPARMOR")),
            ])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        parser.stdin.take().unwrap().write_all(profile.as_bytes()).unwrap();
        let out = parser.wait_with_output().unwrap();
        assert!(out.status.success(), "{exe}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

/// A gateway in a container asks the engine for containers beside its own, and names its folders as the host does.
#[test]
fn a_gateway_in_a_container_has_its_agents_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let engine = named("NGB_TEST_DOCKER");
    let data = format!("--volume={}:/data", home.path().display());
    let socket =
        format!("--volume={}:/var/run/docker.sock", engine.strip_prefix("unix://").unwrap());
    let fixed =
        ["run", "--rm", "--network=none", "--env=NGB_SANDBOX__ENGINE=docker", &data, &socket];
    let run = |args: &[&str]| {
        let out = docker(&[&fixed, [image(), "/nanogridbot"].as_slice(), args].concat());
        let text = |it| String::from_utf8(it).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    let (code, out, err) = run(&["--home", "/data", "run", "-p", "hello from a container"]);
    assert_eq!(code, Some(0), "{out} {err}");
    assert!(out.contains("hello from a container"), "{out}");
    assert!(home.path().join("groups/main").is_dir(), "the home is the host's");
    let label = "label=nanogridbot.install";
    let left = docker(&["ps", "--all", "--quiet", "--filter", label]);
    let left = String::from_utf8(left.stdout).unwrap();
    for id in left.lines() {
        let of = docker(&["inspect", "--format", "{{json .Mounts}}", id]).stdout;
        let of = String::from_utf8(of).unwrap();
        assert!(!of.contains(home.path().to_str().unwrap()), "{id} is left: {of}");
    }

    // What the engine can't reach is refused, with the line that mends it.
    let (code, out, err) = run(&["--home", "/tmp/home", "--json", "doctor", "--offline"]);
    let said: Value = serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {out} {err}"));
    let findings = said["findings"].as_array().unwrap();
    let sandbox = findings.iter().find(|it| it["what"] == "sandbox").unwrap();
    assert!(code.is_some_and(|it| it != 0) && sandbox["ok"] == false, "{sandbox}");
    let mend = sandbox["mend"].as_str().unwrap();
    assert!(mend.starts_with("docker run --volume /srv/nanogridbot:/tmp/home"), "{sandbox}");
}
