//! Limits, each shown by a hog.

use std::time::Duration;

use crate::common::{self, House};
use ngb_core::{clock::Clock, group::Limits};
use ngb_sandbox::{Kept, Sandbox as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The limits of the issue.
fn tight() -> Limits {
    Limits { memory_mib: 256, cpu_millis: 500, pids: 64, ..Limits::default() }
}

#[tokio::test]
async fn memory_256_mib() {
    let house = House::new();
    assert_eq!(house.native.probe().await.unwrap().memory, Kept::Kernel);
    let mut spec = house.spec(1, &["memory", "1000"]);
    spec.limits = tight();
    let left = house.run_spec(&spec).await;
    let most: u64 = left.said.lines().last().unwrap().parse().unwrap();
    assert!((200..=260).contains(&most), "it got {most} MiB");
    assert!(!left.status.success());
}

#[tokio::test]
async fn memory_of_one_hog_leaves_the_agent_alive() {
    let house = House::new();
    let mut spec =
        house.spec(1, &["sh", "/run/nanogridbot agent memory 1000 >/dev/null; echo hog $?"]);
    spec.limits = tight();
    assert_eq!(house.run_spec(&spec).await.said, "hog 137\n");
}

#[tokio::test]
async fn memory_is_gauged() {
    let house = House::new();
    let mut agent = house.start(&house.spec(1, &["memory", "100"])).await;
    let mut lines = BufReader::new(&mut agent.io).lines();
    while lines.next_line().await.unwrap().unwrap() != "all of 100" {}
    let mib = (agent.memory)().unwrap() >> 20;
    assert!((100..140).contains(&mib), "{mib}");
}

#[tokio::test]
async fn half_a_processor() {
    let house = House::new();
    let mut spec = house.spec(1, &["spin", "2000"]);
    spec.limits = tight();
    let left = house.run_spec(&spec).await;
    let millis: u64 = left.said.trim().parse().unwrap();
    // A started period may be used up whole: 100 ms of 2 s.
    assert!(millis <= 600, "it got {millis} thousandths of a core");
}

#[tokio::test]
async fn sixty_four_processes() {
    let house = House::new();
    let mut spec = house.spec(1, &["crowd", "500"]);
    spec.limits = tight();
    let got: u64 = house.run_spec(&spec).await.said.trim().parse().unwrap();
    assert!((60..=64).contains(&got), "it got {got}");
}

#[tokio::test]
async fn a_fork_bomb_is_contained_and_dies() {
    let house = House::new();
    // One fork by the shell itself, since it ends at the first that it is refused.
    let bomb = "bomb() { bomb | bomb & }; (bomb) 2>/dev/null & echo lit; exec sleep 1000";
    let mut spec = house.spec(1, &["sh", bomb]);
    spec.limits = tight();
    let mut agent = house.start(&spec).await;
    let mut line = String::new();
    BufReader::new(&mut agent.io).read_line(&mut line).await.unwrap();
    assert_eq!(line, "lit\n");
    let clock = Clock::System;
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(common::processes(&house.install_id).len());
        clock.sleep(Duration::from_millis(10)).await;
    }
    assert!(most <= 66, "{most} processes");
    drop(agent);
    let dead = clock.timeout(Duration::from_secs(10), async {
        while !common::processes(&house.install_id).is_empty() {
            clock.sleep(Duration::from_millis(5)).await;
        }
    });
    dead.await.unwrap();
}

#[tokio::test]
async fn a_file_has_an_end() {
    let house = House::new();
    let mut spec = house.spec(1, &["sh", "head -c 20M /dev/zero > big; echo $?; stat -c %s big"]);
    spec.limits = Limits { file_mib: 10, ..tight() };
    let left = house.run_spec(&spec).await;
    assert_eq!(left.said, format!("{}\n{}\n", 128 + 25 /* SIGXFSZ */, 10 << 20), "{}", left.words);
}

#[tokio::test]
async fn a_disk_filler_is_ended() {
    let house = House::new();
    let script = "i=0; while :; do i=$((i+1)); head -c 1M /dev/zero > $HOME/$i; done";
    let mut spec = house.spec(1, &["sh", script]);
    spec.limits = Limits { disk_mib: 20, ..tight() };
    let left = house.run_spec(&spec).await;
    assert!(!left.status.success());
    assert_eq!(left.words.trim(), "ended: its folders hold more than 20 MiB");
}

#[tokio::test]
async fn a_filler_of_tmp_hits_its_end() {
    let house = House::new();
    let mut spec =
        house.spec(1, &["sh", "head -c 200M /dev/zero > /tmp/x 2>/dev/null; stat -c %s /tmp/x"]);
    spec.limits = tight();
    let bytes: u64 = house.run_spec(&spec).await.said.trim().parse().unwrap();
    assert!(bytes <= 128 << 20, "{bytes}");
}

#[tokio::test]
async fn a_filler_with_empty_files_is_ended() {
    let house = House::new();
    let script = "i=0; while :; do i=$((i+1)); mkdir $i; done";
    let mut spec = house.spec(1, &["sh", script]);
    spec.limits = Limits { disk_mib: 4, ..tight() };
    let left = house.run_spec(&spec).await;
    assert_eq!(left.words.trim(), "ended: its folders hold more than 4 MiB");
}

#[tokio::test]
async fn open_files_have_an_end() {
    let house = House::new();
    let said = house.run(&["files"]).await.said;
    // Three are its streams.
    assert_eq!(said, format!("{} Some({})\n", 4_096 - 3, libc::EMFILE));
}

#[tokio::test]
async fn a_flood_of_last_words_is_read_and_forgotten() {
    let house = House::new();
    let left =
        house.run(&["sh", "yes words | head -c 100M >&2; echo the end >&2; echo done"]).await;
    assert_eq!(left.said, "done\n");
    assert!(left.words.len() <= 4 << 10 && left.words.ends_with("the end\n"), "{}", left.words);
}

#[tokio::test]
async fn a_flood_that_nobody_reads_stands_still_and_dies() {
    let house = House::new();
    let mut agent = house.start(&house.spec(1, &["sh", "yes"])).await;
    let mut line = String::new();
    BufReader::new(&mut agent.io).read_line(&mut line).await.unwrap();
    assert_eq!(line, "y\n");
    drop(agent);
    let dead = Clock::System.timeout(Duration::from_secs(10), async {
        while !common::processes(&house.install_id).is_empty() {
            Clock::System.sleep(Duration::from_millis(5)).await;
        }
    });
    dead.await.unwrap();
}
