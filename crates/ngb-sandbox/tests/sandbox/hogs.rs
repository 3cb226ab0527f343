//! Limits, each shown by a hog.

use std::time::Duration;

use crate::common::{self, House};
use ngb_core::{clock::Clock, group::Limits};
use ngb_sandbox::Kept;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The limits of the issue.
fn tight() -> Limits {
    Limits { memory_mib: 256, cpu_millis: 500, pids: 64, ..Limits::default() }
}

async fn memory_256_mib(house: House) {
    assert_eq!(house.engine.probe().await.unwrap().memory, Kept::Kernel);
    let mut spec = house.spec(1, &["memory", "1000"]);
    spec.limits = tight();
    let left = house.run_spec(&spec).await;
    let most: u64 = left.said.lines().last().unwrap().parse().unwrap();
    assert!((200..=260).contains(&most), "it got {most} MiB");
    assert!(!left.status.success());
}

async fn memory_of_one_hog_leaves_the_agent_alive(house: House) {
    let mut spec =
        house.spec(1, &["sh", "/run/nanogridbot agent memory 1000 >/dev/null; echo hog $?"]);
    spec.limits = tight();
    assert_eq!(house.run_spec(&spec).await.said, "hog 137\n");
}

async fn memory_is_gauged(house: House) {
    let mut agent = house.start(&house.spec(1, &["memory", "100"])).await;
    let mut lines = BufReader::new(&mut agent.io).lines();
    while lines.next_line().await.unwrap().unwrap() != "all of 100" {}
    let mib = (agent.memory)().unwrap() >> 20;
    assert!((100..140).contains(&mib), "{mib}");
}

async fn half_a_processor(house: House) {
    let mut spec = house.spec(1, &["spin", "2000"]);
    spec.limits = tight();
    let left = house.run_spec(&spec).await;
    let millis: u64 = left.said.trim().parse().unwrap();
    // A started period may be used up whole: 100 ms of 2 s.
    assert!(millis <= 600, "it got {millis} thousandths of a core");
}

async fn sixty_four_processes(house: House) {
    let mut spec = house.spec(1, &["crowd", "500"]);
    spec.limits = tight();
    let got: u64 = house.run_spec(&spec).await.said.trim().parse().unwrap();
    assert!((60..=64).contains(&got), "it got {got}");
}

async fn a_fork_bomb_is_contained_and_dies(house: House) {
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

async fn a_file_has_an_end(house: House) {
    let mut spec = house.spec(1, &["sh", "head -c 20M /dev/zero > big; echo $?; stat -c %s big"]);
    spec.limits = Limits { file_mib: 10, ..tight() };
    let left = house.run_spec(&spec).await;
    assert_eq!(left.said, format!("{}\n{}\n", 128 + 25 /* SIGXFSZ */, 10 << 20), "{}", left.words);
}

async fn a_disk_filler_is_ended(house: House) {
    let script = "i=0; while :; do i=$((i+1)); head -c 1M /dev/zero > $HOME/$i; done";
    let mut spec = house.spec(1, &["sh", script]);
    spec.limits = Limits { disk_mib: 20, ..tight() };
    let left = house.run_spec(&spec).await;
    assert!(!left.status.success());
    assert_eq!(left.words.trim(), "ended: its folders hold more than 20 MiB");
}

async fn a_filler_of_tmp_hits_its_end(house: House) {
    let mut spec =
        house.spec(1, &["sh", "head -c 200M /dev/zero > /tmp/x 2>/dev/null; stat -c %s /tmp/x"]);
    spec.limits = tight();
    let bytes: u64 = house.run_spec(&spec).await.said.trim().parse().unwrap();
    assert!(bytes <= 128 << 20, "{bytes}");
}

async fn a_filler_with_empty_files_is_ended(house: House) {
    let script = "i=0; while :; do i=$((i+1)); mkdir $i; done";
    let mut spec = house.spec(1, &["sh", script]);
    spec.limits = Limits { disk_mib: 4, ..tight() };
    let left = house.run_spec(&spec).await;
    assert_eq!(left.words.trim(), "ended: its folders hold more than 4 MiB");
}

async fn open_files_have_an_end(house: House) {
    let said = house.run(&["files"]).await.said;
    // Three are its streams.
    assert_eq!(said, format!("{} Some({})\n", 4_096 - 3, libc::EMFILE));
}

async fn a_flood_of_last_words_is_read_and_forgotten(house: House) {
    let left =
        house.run(&["sh", "yes words | head -c 100M >&2; echo the end >&2; echo done"]).await;
    assert_eq!(left.said, "done\n");
    assert!(left.words.len() <= 4 << 10 && left.words.ends_with("the end\n"), "{}", left.words);
}

async fn a_flood_that_nobody_reads_stands_still_and_dies(house: House) {
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

in_each_engine! {
    memory_256_mib,
    memory_of_one_hog_leaves_the_agent_alive,
    memory_is_gauged,
    half_a_processor,
    sixty_four_processes,
    a_fork_bomb_is_contained_and_dies,
    a_file_has_an_end,
    a_disk_filler_is_ended,
    a_filler_of_tmp_hits_its_end,
    a_filler_with_empty_files_is_ended,
    open_files_have_an_end,
    a_flood_of_last_words_is_read_and_forgotten,
    a_flood_that_nobody_reads_stands_still_and_dies,
}
