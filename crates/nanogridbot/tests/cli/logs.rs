//! `nanogridbot logs`: what was written, as it grows, of one message, and how much of it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::stand::Stand;

/// A command that runs until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_lines_of_a_message_once_the_level_lets_them_through() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    let level = |args: &[&str]| stand.run(&[&["logs", "level"], args].concat()).out;
    assert_eq!(level(&[]), "info\n");
    assert_eq!(stand.json(&["run", "-p", "echo one"])["id"], 1);
    let quiet = stand.run(&["logs", "--message", "1"]);
    assert_eq!((quiet.code, quiet.out.as_str()), (Some(0), ""), "{quiet:?}");
    assert!(quiet.err.contains("`nanogridbot why 1`"), "{quiet:?}");

    assert_eq!(level(&["debug", "--target", "ngb_gateway"]), "info,ngb_gateway=debug\n");
    let message = stand.json(&["run", "-p", "echo two"])["id"].to_string();
    let told = stand.run(&["logs", "--message", &message]);
    for what in ["stored", "run begins", "run ended"] {
        assert!(told.out.contains(what), "no {what:?}: {told:?}");
    }
    assert!(told.out.lines().all(|it| it.contains("DEBUG")), "{told:?}");
    let json = stand.run(&["--json", "logs", "--message", &message]);
    for line in json.out.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "DEBUG", "{line}");
    }
    assert_eq!(level(&["warn"]), "warn\n");
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    // Without a gateway the log is still there, and there is nobody whose level could be set.
    let later = stand.run(&["logs", "--message", &message]).out;
    assert!(later.starts_with(&told.out) && later.contains("sent row"), "{later}");
    assert_eq!(stand.run(&["logs", "level", "info"]).code, Some(1));
}

#[test]
fn a_log_is_followed() {
    let stand = Stand::new();
    let gateway = stand.serve(&["--debug"]);
    let mut command: Command = stand.command(&["logs", "-f", "-n", "1000"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _running = Running(child);
    let mut asked = 0;
    stand.json(&["run", "-p", "echo hi"]);
    while asked < 3 {
        let line = lines.next().unwrap().unwrap();
        asked += usize::from(line.contains("run ended"));
        if line.contains("run ended") {
            stand.json(&["run", "-p", "echo hi"]);
        }
    }
    drop(gateway);
}
