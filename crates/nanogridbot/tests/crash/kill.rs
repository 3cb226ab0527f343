//! The gateway is killed at random instants, five times in a row.

use ngb_plugins::wasm::{Manifest, encode};

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

/// Plugins see each message on its way in and out, also those that were under way at a death.
#[tokio::test(flavor = "multi_thread")]
async fn kill_dash_nine_with_plugins() {
    let stage = Stage::new().await;
    let dir = tempfile::tempdir().unwrap();
    stage.cli(&["plugin", "install", passing(dir.path()).to_str().unwrap()]).await;
    let settings = "[plugins.redactor]\n\
         [plugins.word_filter.config]\nwords = ['hello']\naction = 'replace'\nreplacement = 'howdy'\n";
    std::fs::write(stage.home.join("config.toml"), settings).unwrap();
    let stage = killed("kill -9 with plugins", stage).await;
    for it in stage.platform().sent(0).iter().filter(|it| it.text.contains("marker-")) {
        assert!(it.text.contains("howdy") && !it.text.contains("hello"), "{}", it.text);
    }
}

/// The folder of an installed plugin that lets each message pass.
fn passing(dir: &std::path::Path) -> std::path::PathBuf {
    let manifest_text =
        "name = 'passer'\nversion = '1.0.0'\nhooks = ['message-received']\nrequired = true\n";
    let module = r#"(module
        (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "nanogridbot:plugin/message-received@0.1.0#handle") (param i32) (result i32)
            (i32.store (i32.const 0) (i32.const 0))
            (i32.store (i32.const 4) (i32.const 0))
            (i32.const 0)))"#;
    let module = wat::parse_str(module).unwrap();
    let component = encode(&module, &manifest_text.parse::<Manifest>().unwrap()).unwrap();
    let folder = dir.join("passer");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), manifest_text).unwrap();
    std::fs::write(folder.join("plugin.wasm"), component).unwrap();
    folder
}

async fn killed(how: &str, mut stage: Stage) -> Stage {
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
    stage
}
