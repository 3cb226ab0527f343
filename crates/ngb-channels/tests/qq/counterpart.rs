//! The adapter against a OneBot implementation that others wrote: ncatbot's simulated NapCat.
#![expect(
    clippy::disallowed_methods,
    reason = "the counterpart is a process, and scripts/test says where its Python is"
)]

use std::process::Stdio;

use ngb_channels::{Answer, Channel as _, Question, qq::Way};
use ngb_core::message::{Addressed, Happening};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{Ours, text};

#[tokio::test]
async fn a_napcat_that_others_wrote() {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ngb-sim/referee/ncatbot_napcat.py");
    // It writes logs to where it is started.
    let dir = tempfile::tempdir().unwrap();
    let mut child = tokio::process::Command::new(python)
        .args(["-u", script])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut input = child.stdin.take().unwrap();
    let port = lines.next_line().await.unwrap().unwrap();
    let mut ours = Ours::new(Way::Forward { url: format!("ws://127.0.0.1:{port}") }, "");
    let who = ours.channel.ask(&Question::WhoAmI).await.unwrap();
    let Answer::Me { id, .. } = who else { panic!("{who:?}") };

    input.write_all(format!("group 111 20001 {id} hello\n").as_bytes()).await.unwrap();
    let Happening::Message(it) = ours.hear().await else { panic!("no message") };
    assert_eq!((it.text.as_str(), it.addressed), ("hello", Addressed::Mention));
    input.write_all(b"private 20001 hi\n").await.unwrap();
    let Happening::Message(it) = ours.hear().await else { panic!("no message") };
    assert_eq!((it.text.as_str(), it.addressed), ("hi", Addressed::Direct));

    let sent = ours.send("group_111", &text("one @20001")).await.unwrap();
    assert!(sent.platform_id.is_some_and(|it| !it.is_empty()));
    ours.send("private_20001", &text("two")).await.unwrap();
    input.write_all(b"calls\n").await.unwrap();
    let calls = lines.next_line().await.unwrap().unwrap();
    assert_eq!(calls, "get_login_info send_group_msg:text,at send_private_msg:text");
}
