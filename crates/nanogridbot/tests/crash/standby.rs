//! Two gateways on one PostgreSQL: one works, the other stands by, and takes over when the first is killed.

use crate::common::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn one_works_and_the_other_takes_over() {
    let mut stage = Stage::new().await;
    stage.on_postgres("standby").await;
    let (first, chats) = stage.with_chats(10).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let home = std::mem::replace(&mut stage.home, elsewhere.path().join("home"));
    let second = stage.start();
    stage.heard("works on this database; this one stands by").await;

    // A command elsewhere changes nothing under the gateway that works.
    stage.home = elsewhere.path().join("third");
    let refused = stage.output(&["group", "list"]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("works on this database"), "{said}");
    assert!(said.contains("hint: run the command where that gateway runs"), "{said}");

    stage.home = home;
    let sent = stage.platform().figures().sent;
    stage.push(&chats, 50);
    stage.platform().wait(|it| sent + 10 <= it.sent).await;
    stage.kill(first).await;
    stage.push(&chats, 50);
    stage.home = elsewhere.path().join("home");
    let figures = stage.settled().await;
    stage.check("a gateway that takes over", &figures);
    drop(second);
}
