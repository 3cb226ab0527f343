//! Texts that are too long, or not quite text, through each door, on the database that is strict about them.

use std::path::Path;

use ngb_sim::telegram::Draft;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::common::Stage;

const MIB: usize = 1 << 20;

/// The answer to a POST over the local socket, with its head.
async fn post(home: &Path, body: &[u8]) -> String {
    let mut line = UnixStream::connect(home.join("gateway.sock")).await.unwrap();
    let head = format!(
        "POST /api/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    line.write_all(head.as_bytes()).await.unwrap();
    // One that is refused for its length is not read to its end.
    drop(line.write_all(body).await);
    let mut res = Vec::new();
    drop(line.read_to_end(&mut res).await);
    String::from_utf8(res).unwrap()
}

fn message(text: &str) -> Vec<u8> {
    json!({ "group": "main", "content": text }).to_string().into_bytes()
}

/// The files that long texts were kept in, by size.
fn kept(home: &Path) -> Vec<u64> {
    let inbox = std::fs::read_dir(home.join("groups/main/inbox")).unwrap();
    let mut sizes: Vec<u64> = inbox.map(|it| it.unwrap().metadata().unwrap().len()).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_and_what_is_no_text() {
    let mut stage = Stage::new().await;
    stage.on_postgres("texts").await;
    let (_gateway, chats) = stage.with_chats(1).await;
    let long = |word: &str, bytes: usize| format!("say:{word}\n{}", "x".repeat(bytes));
    let told = "… (the whole text is in the file `message.txt`)";

    let by_chat = long("pear", 10 * MIB);
    stage.platform().push(&[Draft::text(chats[0], &*by_chat)]);
    stage.settled_text("pear").await;
    assert!(stage.model.requests().pop().unwrap().body.to_string().contains(told));
    let by_api = long("plum", 11 * MIB);
    let answer = post(&stage.home, &message(&by_api)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("plum"), "{answer}");
    assert!(stage.model.requests().pop().unwrap().body.to_string().contains(told));
    assert_eq!(kept(&stage.home), [by_chat.len() as u64, by_api.len() as u64]);

    let answer = post(&stage.home, &message(&long("fig", 17 * MIB))).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("16777216"), "{answer}");
    let answer = post(&stage.home, b"{\"group\":\"main\",\"content\":\"\xff\"}").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("not valid UTF-8"), "{answer}");

    // A NUL stands for nothing: in what people write, in a file's name, in what the agent says.
    let answer = post(&stage.home, &message("a\0b")).await;
    assert!(answer.contains("a\u{FFFD}b"), "{answer}");
    let file = stage.platform().add_file("seven!!");
    let serde_json::Value::Object(more) = json!({
        "caption": "say:c\0d",
        "document": {"file_id": file, "file_unique_id": file, "file_name": "../e\0f\n.txt"},
    }) else {
        unreachable!("it is an object")
    };
    stage.platform().push(&[Draft { chat: chats[0], more, ..Draft::default() }]);
    stage.settled_text("c\u{FFFD}d").await;
    assert_eq!(kept(&stage.home)[0], 7);
}
