//! Attacks from inside: each wall is pushed against by a process that wants out.

mod common;

use common::House;

#[tokio::test]
async fn the_probe_proves_itself() {
    use ngb_sandbox::{Kept, Sandbox as _};
    let house = House::new();
    let probe = house.native.probe().await.unwrap();
    assert_eq!((probe.engine, probe.network, probe.disk), ("native", Kept::Kernel, Kept::Watcher));
}

#[tokio::test]
async fn it_says_hello() {
    let house = House::new();
    let left = house.run(&["hello"]).await;
    assert_eq!(left.said, "hello\n", "{}", left.words);
    assert!(left.status.success());
}
