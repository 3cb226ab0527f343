//! `wechatpy` is satisfied with the simulator.

use std::process::Stdio;

use ngb_sim::wecom::{Config, Server, encrypt};
use tokio::io::AsyncWriteExt as _;

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
    let message = server.company.text("zhangsan", "77", "你好 😀");
    let echo = encrypt(&config, "1616140317555161061").echo;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/referee/wecom_wechatpy.py");
    let mut child = tokio::process::Command::new(python)
        .args([script, &server.url, &config.corp_id, &config.secret, &config.agent_id.to_string()])
        .args([&config.token, &config.encoding_aes_key, &message.query, &echo])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message.body.as_bytes()).await.unwrap();
    let out = child.wait_with_output().await.unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    assert_eq!(said.lines().count(), 6, "{said}");
}
