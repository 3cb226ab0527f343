//! The floor: only what can't be avoided between a message and its answer. It has no queue, no agent and no isolation.
//!
//! ```text
//! getUpdates ──▶ one durable commit ──▶ one model call ──▶ sendMessage ──▶ one durable commit
//! ```
//!
//! `floor <telegram url> <token> <model url> <database file>`; `scripts/bench` runs it beside the gateway.
#![expect(
    clippy::disallowed_methods,
    reason = "it is the bare program that the gateway is measured against"
)]

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::block_in_place;

struct Floor {
    http: Client,
    /// `<url>/bot<token>`
    bot: String,
    model: String,
    database: Mutex<rusqlite::Connection>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [telegram, token, model, file] = args.as_slice() else {
        anyhow::bail!("usage: floor TELEGRAM_URL TOKEN MODEL_URL DATABASE_FILE");
    };
    let database = rusqlite::Connection::open(file)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    let table = "CREATE TABLE IF NOT EXISTS messages
                    (update_id INTEGER PRIMARY KEY, chat INTEGER NOT NULL, text TEXT NOT NULL, sent INTEGER)";
    database.execute(table, [])?;
    // Plain HTTP only; a TLS backend has to be named all the same.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    let floor = Arc::new(Floor {
        http: Client::builder().tls_backend_preconfigured(tls).no_proxy().build()?,
        bot: format!("{telegram}/bot{token}"),
        model: format!("{model}/v1/messages"),
        database: Mutex::new(database),
    });
    let mut offset = 0;
    loop {
        let poll = json!({"offset": offset, "timeout": 50});
        let updates = floor.call("getUpdates", &poll).await?;
        let messages: Vec<(i64, i64, String)> =
            updates.as_array().into_iter().flatten().filter_map(message).collect();
        offset = messages.iter().map(|it| it.0 + 1).fold(offset, i64::max);
        block_in_place(|| floor.store(&messages))?;
        for (update, chat, text) in messages {
            let floor = Arc::clone(&floor);
            tokio::spawn(async move {
                if let Err(err) = floor.answer(update, chat, &text).await {
                    eprintln!("error: {err:#}");
                }
            });
        }
    }
}

fn message(update: &Value) -> Option<(i64, i64, String)> {
    let message = &update["message"];
    Some((
        update["update_id"].as_i64()?,
        message["chat"]["id"].as_i64()?,
        message["text"].as_str()?.to_owned(),
    ))
}

impl Floor {
    async fn call(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let response = self.http.post(format!("{}/{method}", self.bot)).json(params).send().await?;
        let mut answer: Value = serde_json::from_slice(&response.bytes().await?)?;
        anyhow::ensure!(answer["ok"] == true, "{method}: {answer}");
        Ok(answer["result"].take())
    }

    /// What one poll brought, in one transaction.
    fn store(&self, messages: &[(i64, i64, String)]) -> anyhow::Result<()> {
        let mut database = self.database();
        let tx = database.transaction()?;
        for (update, chat, text) in messages {
            let insert = "INSERT INTO messages (update_id, chat, text) VALUES (?1, ?2, ?3)";
            tx.prepare_cached(insert)?.execute((update, chat, text))?;
        }
        Ok(tx.commit()?)
    }

    fn receipt(&self, update: i64, sent: Option<i64>) -> anyhow::Result<()> {
        let receipt = "UPDATE messages SET sent = ?1 WHERE update_id = ?2";
        self.database().prepare_cached(receipt)?.execute((sent, update))?;
        Ok(())
    }

    fn database(&self) -> MutexGuard<'_, rusqlite::Connection> {
        self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn answer(&self, update: i64, chat: i64, text: &str) -> anyhow::Result<()> {
        let ask = json!({
            "model": "model", "max_tokens": 1024, "messages": [{"role": "user", "content": text}],
        });
        let request = self.http.post(&self.model).header("anthropic-version", "2023-06-01");
        let response = request.json(&ask).send().await?;
        let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
        let said = answer["content"][0]["text"].as_str().context("the model said nothing")?;
        let sent = self.call("sendMessage", &json!({"chat_id": chat, "text": said})).await?;
        block_in_place(|| self.receipt(update, sent["message_id"].as_i64()))
    }
}
