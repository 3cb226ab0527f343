//! Components for real: what a hook may say, what a bad guest does to nobody but itself, and the cache.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod bad;
mod cache;
mod folder;
mod grants;
mod guests;
mod live;
mod rehearsal;
mod reload;
mod seat;
mod services;

use std::{path::PathBuf, sync::Arc};

use ngb_plugins::wasm::{
    Cache, Capabilities, ComponentError, Limits, Manifest, Program, Running, WasmEngine, WasmEvent,
    WasmMessage, WasmVerdict,
};

use crate::{
    guests::{ANSWER, CHANGE, component, on_message, verdict},
    services::Desk,
};

/// An engine and a cache in a folder that ends with the test.
struct Bench {
    dir: tempfile::TempDir,
    engine: WasmEngine,
    desk: Arc<Desk>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, engine: WasmEngine::new().unwrap(), desk: Arc::default() }
    }

    fn cache(&self) -> Cache {
        Cache::new(self.dir.path().join("cache"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn program(
        &self,
        manifest: &Manifest,
        bytes: &[u8],
        granted: Capabilities,
    ) -> Result<Program, ComponentError> {
        let loaded = self.cache().load(&self.engine, &self.write("guest.wasm", bytes))?;
        Program::new(&self.engine, &loaded.component, manifest, granted, Limits::default())
    }

    /// A running guest that was granted what it declares.
    async fn run(&self, manifest: &Manifest, bytes: &[u8]) -> Running {
        let program = self.program(manifest, bytes, manifest.capabilities.clone()).unwrap();
        program.start(self.desk.clone()).await.unwrap()
    }
}

fn message(text: &str) -> WasmEvent {
    let chat = "telegram@main:7".to_owned();
    WasmEvent::MessageReceived(WasmMessage {
        chat,
        text: text.to_owned(),
        ..WasmMessage::default()
    })
}

/// The text's address and length in the record, behind id, chat, thread, group, sender and the sender's name.
const TEXT: &str = "(i32.load offset=56 (local.get $at))";
const TEXT_BYTES: &str = "(i32.load offset=60 (local.get $at))";

#[tokio::test]
async fn a_verdict_comes_back_with_its_text() {
    let bench = Bench::new();
    let manifest = guests::manifest("'message-received'", "");
    for (number, want) in [
        (CHANGE, WasmVerdict::Change("日本 hello".into())),
        (ANSWER, WasmVerdict::Answer("日本 hello".into())),
    ] {
        let body = on_message(&verdict(number, TEXT, TEXT_BYTES));
        let mut running = bench.run(&manifest, &component(&manifest, "", &body)).await;
        for _ in 0..1_000 {
            assert_eq!(running.ask(message("日本 hello"), "{}".into()).await, Ok(want.clone()));
        }
    }
}
