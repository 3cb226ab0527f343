//! The gateway is killed at random instants, five times in a row.

use crate::common::{Dice, Stage};

/// How often the gateway is killed.
const KILLS: u32 = 5;

/// Messages that come before each start, and again while that gateway runs.
const PUSHED: usize = 20;

/// The latest instant of a kill after the start, in milliseconds.
const LATEST_KILL_MS: u64 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn kill_dash_nine_five_times() {
    killed("kill -9", Stage::new().await).await;
}

/// The database outlives the gateway and knows of its claims only by their leases and the name of its node.
#[tokio::test(flavor = "multi_thread")]
async fn kill_dash_nine_five_times_on_postgres() {
    let mut stage = Stage::new().await;
    stage.on_postgres("crash_kill").await;
    killed("kill -9 on PostgreSQL", stage).await;
}

async fn killed(how: &str, mut stage: Stage) {
    let what = format!("{how} x{KILLS}");
    let mut dice = Dice::roll_out(&what);
    let (first, chats) = stage.with_chats(20).await;
    stage.kill(first).await;
    for _ in 0..KILLS {
        stage.push(&chats, PUSHED);
        let gateway = stage.start();
        let kill_after = dice.millis(LATEST_KILL_MS);
        let more_after = kill_after.mul_f64(0.5);
        stage.clock.sleep(more_after).await;
        stage.push(&chats, PUSHED);
        stage.clock.sleep(kill_after - more_after).await;
        stage.kill(gateway).await;
    }
    let gateway = stage.start();
    let figures = stage.settled().await;
    stage.check(&what, &figures);
    drop(gateway);
}
