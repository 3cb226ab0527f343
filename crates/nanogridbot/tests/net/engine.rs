//! A container engine that is away when the gateway starts, comes, goes, and comes back: nothing is lost, nothing is
//! answered twice, and nobody need do anything.

use std::path::{Path, PathBuf};

use ngb_core::tasks::Crew;
use tokio::net::{UnixListener, UnixStream};

use crate::common::{Figures, Stage};

/// The engine that `scripts/test` starts.
#[expect(clippy::disallowed_methods, reason = "it says where the engine is")]
fn engine() -> PathBuf {
    let address =
        std::env::var("NGB_TEST_DOCKER").expect("NGB_TEST_DOCKER is not set; run `scripts/test`");
    address.strip_prefix("unix://").unwrap().into()
}

/// The way to it, which is there as long as this lives.
struct Way {
    at: PathBuf,
    _relay: Crew,
}

impl Way {
    fn open(at: &Path) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        let mut relay = Crew::default();
        relay.spawn("way", async move {
            let mut connections = Crew::default();
            while let Ok((mut ours, _)) = listener.accept().await {
                connections.spawn("connection", async move {
                    let mut theirs = UnixStream::connect(engine()).await.unwrap();
                    // Its end is an end, whoever comes to it.
                    drop(tokio::io::copy_bidirectional(&mut ours, &mut theirs).await);
                });
            }
        });
        Self { at: at.to_owned(), _relay: relay }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        std::fs::remove_file(&self.at).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_an_engine_that_is_away() {
    let mut stage = Stage::new().await;
    stage.model.behave(|it| it.first_token_ms = 0);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    stage.env.insert("NGB_SANDBOX__ENGINE".into(), "docker".into());
    stage.env.insert("NGB_SANDBOX__SOCKET".into(), socket.display().to_string());

    let (gateway, chats) = stage.with_chats(2).await;
    stage.push(&chats[..1], 1);
    stage.typing_since(0).await;
    stage.heard("no container engine answers at").await;
    let way = Way::open(&socket);
    let all = |answered| Figures { answered, lost: 0, doubled: 0 };
    assert_eq!(stage.settled().await, all(1), "{}", stage.tail());

    // It goes: an agent that lives needs it no more, and what is new waits.
    drop(way);
    stage.push(&chats[..1], 1);
    assert_eq!(stage.settled().await, all(2), "{}", stage.tail());
    let begun = stage.platform().calls("sendChatAction").len();
    stage.push(&chats[1..], 1);
    stage.typing_since(begun).await;
    let _way = Way::open(&socket);
    assert_eq!(stage.settled().await, all(3), "{}", stage.tail());
    drop(gateway);
}
