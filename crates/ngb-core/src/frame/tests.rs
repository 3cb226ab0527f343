//! Tests of `frame`.

use tokio::io::{AsyncWriteExt, BufReader};

use super::*;

#[tokio::test]
async fn frames() {
    let done = FromAgent::Done {
        prompts: vec![PromptId(7)],
        outcome: Outcome::Answered { text: "hi".into() },
        session: None,
    };
    let done_line = serde_json::to_string(&done).unwrap() + "\n";
    #[rustfmt::skip]
    let table = [
        ("{\"type\":\"ready\",\"protocol\":1}\n",   Ok(Some(FromAgent::Ready { protocol: 1 }))),
        (done_line.as_str(),                        Ok(Some(done))),
        (r#"{"type":"call","prompt":1,"call":2,"what":{"name":"send_message","text":"a\u0000\\\\u0000"}}"#, Ok(Some(FromAgent::Call {
            prompt: PromptId(1), call: 2, what: HostCall::SendMessage { text: "a\u{FFFD}\\\\u0000".into(), to: None },
        }))),
        ("",                                        Ok(None)),
        ("hello\n",                                 Err("not a known frame: `hello`")),
        ("{\"type\":\"format_disk\"}\n",            Err("not a known frame")),
        ("{\"type\":\"ready\",\"protocol\":1,\"x\":2}\n", Err("not a known frame")),
    ];
    for (wire, want) in table {
        let got = FrameReader::new(wire.as_bytes()).next::<FromAgent>().await;
        match want {
            Ok(want) => assert_eq!(got.unwrap(), want, "{wire}"),
            Err(needle) => {
                let err = got.unwrap_err().to_string();
                assert!(err.contains(needle), "{wire}: {err}");
            }
        }
    }
}

#[tokio::test]
async fn an_endless_line_is_refused() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let flood = async { while far.write_all(&[b'x'; 4096]).await.is_ok() {} };
    let mut reader = FrameReader::new(BufReader::new(near));
    tokio::select! {
        got = reader.next::<FromAgent>() => assert!(matches!(got, Err(ProtocolError::TooLong))),
        () = flood => panic!("the reader hung up first"),
    }
}

#[tokio::test]
async fn a_read_that_was_dropped_half_way_loses_nothing() {
    let (near, mut far) = tokio::io::duplex(1024);
    let mut reader = FrameReader::new(BufReader::new(near));
    far.write_all(b"{\"type\":\"ready\",").await.unwrap();
    let mut first = tokio_test::task::spawn(reader.next::<FromAgent>());
    assert!(first.poll().is_pending());
    drop(first);
    far.write_all(b"\"protocol\":1}\n").await.unwrap();
    assert_eq!(reader.next().await.unwrap(), Some(FromAgent::Ready { protocol: 1 }));
}
