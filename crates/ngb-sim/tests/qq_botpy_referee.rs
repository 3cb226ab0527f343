//! QQ's own `qq-botpy` is satisfied with the simulated open platform.

use ngb_sim::qqbot::{Config, Server};

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the referee is a process, and scripts/test says where its Python is"
)]
async fn qqs_own_client_is_satisfied() {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/referee/qq_botpy.py");
    let out = tokio::process::Command::new(python)
        .args(["-u", script, &server.url, &server.token_url, &config.app_id, &config.secret])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    let steps = [
        "a session of the gateway",
        "messages of people",
        "answers",
        "an answer that comes",
        "a session that",
    ];
    let told = said.lines().filter(|it| steps.iter().any(|step| it.starts_with(step)));
    assert_eq!(told.count(), steps.len(), "{said}");
}
