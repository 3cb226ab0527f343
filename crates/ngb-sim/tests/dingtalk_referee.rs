//! DingTalk's own `dingtalk-stream` is satisfied with the simulator.

use ngb_sim::dingtalk::{CARD_KEY, CARD_TEMPLATE, Config, Server};

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the referee is a process, and scripts/test says where its Python is"
)]
async fn dingtalks_own_client_is_satisfied() {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/referee/dingtalk_stream_bot.py");
    let out = tokio::process::Command::new(python)
        .args(["-u", script, &server.url, &config.client_id, &config.client_secret])
        .args([CARD_TEMPLATE, CARD_KEY])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    let steps = said.lines().filter(|it| {
        it.starts_with("a ")
            || it.starts_with("messages")
            || it.starts_with("answers")
            || it.starts_with("another")
    });
    assert_eq!(steps.count(), 8, "{said}");
}
