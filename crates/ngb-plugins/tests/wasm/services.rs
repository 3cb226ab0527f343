//! A gateway for guests: it keeps what they say and do.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use ngb_plugins::wasm::{
    Once, Refusal, Services, WasmGroup, WasmLevel, WasmQueue, WasmRequest, WasmResponse,
};

/// What was asked of the gateway.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) kept: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) sent: Mutex<Vec<(String, String)>>,
    pub(crate) counts: Mutex<BTreeMap<String, f64>>,
    pub(crate) now_ms: AtomicI64,
}

#[async_trait]
impl Services for Desk {
    fn log(&self, _: &str, _: WasmLevel, text: &str) {
        self.log.lock().unwrap().push(text.to_owned());
    }

    fn count(&self, _: &str, name: &str, by: f64) {
        *self.counts.lock().unwrap().entry(name.to_owned()).or_default() += by;
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    async fn kv_get(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.kept.lock().unwrap().get(key).cloned())
    }

    async fn kv_set(&self, _: &str, key: &str, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let mut kept = self.kept.lock().unwrap();
        match value {
            Some(value) => drop(kept.insert(key.to_owned(), value)),
            None => drop(kept.remove(key)),
        }
        Ok(())
    }

    async fn kv_keys(&self, _: &str, prefix: &str) -> Result<Vec<String>, Refusal> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.keys().filter(|it| it.starts_with(prefix)).cloned().collect())
    }

    async fn send(&self, _: &str, chat: &str, text: &str, _: Once) -> Result<(), Refusal> {
        self.sent.lock().unwrap().push((chat.to_owned(), text.to_owned()));
        Ok(())
    }

    async fn groups(&self, _: &str) -> Result<Vec<WasmGroup>, Refusal> {
        let chats = vec!["web@default:a".to_owned(), "telegram@main:7".to_owned()];
        Ok(vec![WasmGroup { name: "main".to_owned(), chats }])
    }

    async fn enqueue(&self, _: &str, group: &str, _: &str, _: Once) -> Result<i64, Refusal> {
        if group == "main" { Ok(1) } else { Err(format!("there is no group `{group}`")) }
    }

    async fn queue(&self, _: &str) -> Result<WasmQueue, Refusal> {
        Ok(WasmQueue { queued: 3, running: 2, dead: 1 })
    }

    async fn http(&self, _: &str, _: WasmRequest) -> Result<WasmResponse, Refusal> {
        Ok(WasmResponse { status: 204, headers: Vec::new(), body: Vec::new() })
    }
}
