//! Slack's own `slack_sdk` is satisfied with the simulator.

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the referee is a process, and scripts/test says where its Python is"
)]
async fn slacks_own_client_is_satisfied() {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let server = ngb_sim::slack::Server::start(ngb_sim::slack::Config::default()).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/referee/slack_bot.py");
    let out = tokio::process::Command::new(python)
        .args([script, &server.url, &server.bot_token, &server.app_token])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    assert_eq!(said.lines().count(), 6, "{said}");
}
