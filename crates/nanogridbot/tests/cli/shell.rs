//! `nanogridbot shell`, in a real terminal and from a pipe, with a gateway and without one.
#![expect(clippy::disallowed_methods, reason = "the executable under test is a process")]

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::stand::{Done, Stand, done};

/// A shell in a pseudo terminal, which util-linux's `script` makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// Everything that was shown, as the terminal got it.
    shown: String,
    /// How much of it was looked at.
    seen: usize,
}

impl Terminal {
    fn open(stand: &Stand, args: &[&str]) -> Self {
        let exe = env!("CARGO_BIN_EXE_nanogridbot");
        // Without `exec` a shell stands between, and a Ctrl-C that the program took ends the shell at the end.
        let line = format!("exec {exe} --home {} shell {}", stand.home().display(), args.join(" "));
        // Whoever waits for what never comes is told what did.
        let mut command = Command::new("timeout");
        command.args([
            "--foreground",
            "60",
            "script",
            "--quiet",
            "--flush",
            "--return",
            "--command",
            &line,
            "/dev/null",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        let screen = child.stdout.take().unwrap();
        Self { child, keys, screen, shown: String::new(), seen: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until `text` is shown after what was waited for before.
    fn wait_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            let count = self.screen.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "it ended before {text:?}: {}", self.shown);
            self.shown += &String::from_utf8_lossy(&bytes[..count]);
        }
    }

    /// Its exit code, and what it showed until then.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, self.shown.clone() + &String::from_utf8_lossy(&rest))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn piped(stand: &Stand, args: &[&str], input: &str) -> Done {
    let mut command = stand.command(&[&["shell"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    done(child.wait_with_output().unwrap())
}

/// A conversation in a terminal: one line, several lines, an answer that is stopped, history, and the way out.
fn converse(stand: &Stand) {
    let mut terminal = Terminal::open(stand, &[]);
    terminal.wait_for("group main");
    terminal.wait_for("Ctrl-C stops the answer");
    terminal.wait_for("main> ");
    terminal.press("echo one\r");
    terminal.wait_for("\none\r\n");
    terminal.wait_for("main> ");
    // A backslash at the end, and Alt+Enter.
    terminal.press("echo two\\\r");
    terminal.press("three\u{1b}\rfour\r");
    terminal.wait_for("\ntwo\r\nthree\r\nfour\r\n");
    terminal.wait_for("main> ");
    terminal.press("a long answer\r");
    terminal.wait_for("Line 1 of");
    terminal.press("\u{3}");
    terminal.wait_for("stopping; Ctrl-C again leaves");
    terminal.wait_for("Stopped.");
    terminal.wait_for("main> ");
    // What was said before it, by two arrows up.
    terminal.press("echo after\r");
    terminal.wait_for("\nafter\r\n");
    terminal.wait_for("main> ");
    terminal.press("\u{1b}[A\u{1b}[A");
    terminal.wait_for("a long answer");
    terminal.press("\u{3}");
    terminal.wait_for("Ctrl-C again, or Ctrl-D, leaves");
    terminal.wait_for("main> ");
    terminal.press("/quit\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");

    // It goes on where it was, with its history.
    let mut terminal = Terminal::open(stand, &["--resume"]);
    terminal.wait_for("after");
    terminal.wait_for("main> ");
    // The way out stands in the history too.
    terminal.press("\u{1b}[A\u{1b}[A");
    terminal.wait_for("echo after");
    terminal.press("\r");
    terminal.wait_for("\nafter\r\n");
    terminal.wait_for("main> ");
    terminal.press("/quit\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn a_conversation_without_a_gateway() {
    converse(&Stand::new());
}

#[test]
fn a_conversation_with_a_gateway() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    converse(&stand);
    let done = gateway.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn two_interrupts_leave() {
    let stand = Stand::new();
    let gateway = stand.serve(&[]);
    let mut terminal = Terminal::open(&stand, &[]);
    terminal.wait_for("main> ");
    terminal.press("\u{3}");
    terminal.wait_for("leaves");
    terminal.wait_for("main> ");
    terminal.press("\u{3}");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
    drop(gateway);
}

/// A question of the agent's is answered where it is put.
#[test]
fn a_question_is_answered_by_its_number() {
    let stand = Stand::new();
    let mut terminal = Terminal::open(&stand, &[]);
    terminal.wait_for("main> ");
    terminal.press("ask for an approval\r");
    terminal.wait_for("  1  ");
    terminal.wait_for("main> ");
    terminal.press("1\r");
    terminal.wait_for("main> ");
    terminal.press("\u{4}");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("The answer was: Yes"), "{shown}");
}

#[test]
fn lines_of_a_pipe_are_messages() {
    let stand = Stand::new();
    let got = piped(&stand, &[], "echo one\n\necho two\\\nthree\necho last");
    assert_eq!((got.code, got.out.as_str()), (Some(0), "one\ntwo\nthree\nlast\n"), "{got:?}");
    // Of a group that was made without a terminal.
    stand.json(&["group", "add", "team"]);
    let got = piped(&stand, &["-g", "team"], "echo hi\n/quit\necho no\n");
    assert_eq!((got.code, got.out.as_str()), (Some(0), "hi\n"), "{got:?}");
    let bindings = stand.json(&["group", "show", "team"])["bindings"].to_string();
    assert!(bindings.contains("terminal@main:team"), "{bindings}");
}

#[test]
fn what_a_shell_refuses() {
    let stand = Stand::new();
    #[rustfmt::skip]
    let table: &[(&[&str], &str)] = &[
        (&["-g", "nobody"],         "there is no group `nobody`"),
        (&["--resume"],             "`main` has no conversation to go on with"),
        (&["--resume", "x"],        "`main` has no conversation `x` to go on with"),
        (&["--json"],               "`shell` is for people"),
    ];
    for (args, needle) in table {
        let got = piped(&stand, args, "echo hi\n");
        assert_eq!(got.code, Some(2), "{args:?}: {got:?}");
        assert!((got.out.clone() + &got.err).contains(needle), "{args:?}: {got:?}");
    }
}
