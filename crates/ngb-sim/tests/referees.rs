//! The clients that others use against the real platforms are satisfied with the simulators.

/// Runs a script of the folder `referee`, and counts its steps.
#[expect(
    clippy::disallowed_methods,
    reason = "the referee is a process, and scripts/test says where its Python is"
)]
async fn satisfied(script: &str, args: &[&str], steps: usize) {
    let Ok(python) = std::env::var("NGB_TEST_PYTHON") else {
        panic!(
            "NGB_TEST_PYTHON is not set; `scripts/test` sets it to a Python with crates/ngb-sim/referee/requirements.txt"
        );
    };
    let out = tokio::process::Command::new(python)
        .arg(format!("{}/referee/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(args)
        .kill_on_drop(true)
        .output()
        .await
        .expect("Python starts");
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{why}");
    assert_eq!(said.lines().count(), steps, "{said}");
}

/// `python-telegram-bot` with the simulated Telegram.
#[tokio::test]
async fn an_official_grade_client_is_satisfied() {
    let config = ngb_sim::telegram::Config::default();
    let server = ngb_sim::telegram::Server::start(config).await.unwrap();
    satisfied("telegram_bot.py", &[&server.url, &server.token], 9).await;
}

/// The makers' own `anthropic`, `openai` and `ollama` with the simulated models.
#[tokio::test]
async fn the_official_clients_of_models_are_satisfied() {
    let server = ngb_sim::model::ModelServer::start().await.unwrap();
    satisfied("models.py", &[&server.url()], 15).await;
}

/// `discord.py` with the simulated Discord.
#[tokio::test]
async fn discords_clients_are_satisfied() {
    use ngb_sim::discord::{Config, DIRECT, FORUM, GENERAL, Server, THREAD};
    let server = Server::start(Config::default()).await.unwrap();
    let args = [&*server.url, &*server.token, GENERAL, THREAD, FORUM, DIRECT];
    satisfied("discord_bot.py", &args, 7).await;
}

/// Feishu's own `lark_oapi` with the simulated Feishu.
#[tokio::test]
async fn feishus_own_client_is_satisfied() {
    use ngb_sim::feishu::{Config, Server};
    let config = Config::default();
    let server = Server::start(config.clone()).await.unwrap();
    let Config { app_id, app_secret, encrypt_key, verification_token, .. } = config;
    let args = [&*server.url, &app_id, &app_secret, &encrypt_key, &verification_token];
    satisfied("feishu_bot.py", &args, 6).await;
}
