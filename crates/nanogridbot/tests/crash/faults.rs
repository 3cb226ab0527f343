//! What stands around the gateway fails while 200 messages come.

use std::time::Duration;

use ngb_sim::telegram::{Fault, How, When};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{Dice, Gateway, Stage},
    disk::{Disk, fill},
};

/// How long a disk is full or a database locked.
const OUTAGE: Duration = Duration::from_secs(2);

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    SandboxesKilled,
    ModelFails,
    PlatformFails,
    UpdatesTwice,
    DatabaseLocked,
    DiskFull,
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fails_at_its_turn() {
    let table = [
        ("sandboxes killed", Trouble::SandboxesKilled),
        ("model fails 20 %", Trouble::ModelFails),
        ("platform fails 20 %", Trouble::PlatformFails),
        ("each update twice", Trouble::UpdatesTwice),
        ("database locked for 2 s", Trouble::DatabaseLocked),
        ("disk full for 2 s", Trouble::DiskFull),
    ];
    for (what, trouble) in table {
        go_through(what, trouble).await;
    }
}

async fn go_through(what: &str, trouble: Trouble) {
    let dice = Dice::roll_out(what);
    let disk = matches!(trouble, Trouble::DiskFull).then(Disk::mount);
    let mut stage = match &disk {
        Some(disk) => Stage::at(disk.home()).await,
        None => Stage::new().await,
    };
    let (gateway, chats) = stage.with_chats(20).await;
    stage.push(&chats, 100);
    stage.platform().wait(|it| it.pending == 0).await;
    let more = chats.clone();
    make(trouble, &mut stage, &gateway, dice, &more).await;
    let figures = stage.settled().await;
    stage.check(what, &figures);
    drop(gateway);
}

/// Makes the trouble, and has 100 more messages come in the midst of it.
async fn make(
    trouble: Trouble,
    stage: &mut Stage,
    gateway: &Gateway,
    mut dice: Dice,
    chats: &[i64],
) {
    let fails = |how: How| Fault { method: "send*".into(), how, when: When::Fraction(0.1) };
    match trouble {
        Trouble::SandboxesKilled => {
            stage.push(chats, 100);
            for _ in 0..10 {
                stage.clock.sleep(dice.millis(300)).await;
                kill_one(gateway.pid(), &mut dice);
            }
        }
        Trouble::ModelFails => {
            stage.model.behave(|it| it.fail_percent = 20);
            stage.push(chats, 100);
        }
        Trouble::PlatformFails => {
            stage.platform().fault(fails(How::TooManyRequests { retry_after_s: 1 }));
            stage.platform().fault(fails(How::Status { code: 500 }));
            stage.push(chats, 100);
        }
        Trouble::UpdatesTwice => {
            stage.platform().repeat_updates(true);
            stage.push(chats, 100);
        }
        Trouble::DatabaseLocked => {
            let other = rusqlite::Connection::open(stage.home.join("nanogridbot.db")).unwrap();
            other.busy_timeout(OUTAGE).unwrap();
            other.execute("BEGIN EXCLUSIVE", []).unwrap();
            stage.push(chats, 100);
            stage.clock.sleep(OUTAGE).await;
            other.execute("ROLLBACK", []).unwrap();
        }
        Trouble::DiskFull => {
            let filler = stage.home.join("filler");
            fill(&filler);
            stage.push(chats, 100);
            stage.clock.sleep(OUTAGE).await;
            std::fs::remove_file(filler).unwrap();
        }
    }
}

/// Kills one of the processes that the gateway started.
fn kill_one(gateway: u32, dice: &mut Dice) {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{gateway}/task")).unwrap() {
        let text =
            std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|it| it.parse::<i32>().ok()));
    }
    if children.is_empty() {
        return;
    }
    let n = usize::try_from(dice.below(children.len() as u64)).unwrap();
    // It may have ended by itself meanwhile.
    let _ = kill_process(Pid::from_raw(children[n]).unwrap(), Signal::KILL);
}
