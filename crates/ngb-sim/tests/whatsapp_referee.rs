//! `pywa` is satisfied with the simulator.

use ngb_sim::whatsapp::{Config, Server};

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the referee is a process, and scripts/test says where its Python is"
)]
async fn an_independent_client_is_satisfied() {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/referee/whatsapp_pywa.py");
    let out = tokio::process::Command::new(python)
        .args([script, &server.url, &config.access_token, &config.phone_number_id])
        .args([&config.app_secret, &config.verify_token])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    assert_eq!(said.lines().count(), 9, "{said}");
}
