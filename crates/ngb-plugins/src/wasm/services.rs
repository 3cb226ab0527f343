//! What a guest may ask of the gateway: the far side of its imports.

use async_trait::async_trait;

use crate::wasm::words::{WasmGroup, WasmLevel, WasmQueue, WasmRequest, WasmResponse};

/// Why something was not done, as the plugin is told.
pub type Refusal = String;

/// Under what something is done, by the message at hand and how many things the plugin did for it before: a message that is
/// shown to the plugin again, since the gateway died meanwhile, has it done once. None for an event that has no number.
pub type Once = Option<String>;

/// The gateway, as far as a plugin reaches. The grants were checked before; each call names its plugin.
#[async_trait]
pub trait Services: Send + Sync {
    fn log(&self, plugin: &str, level: WasmLevel, text: &str);

    fn count(&self, plugin: &str, name: &str, by: f64);

    fn now_ms(&self) -> i64;

    async fn kv_get(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, Refusal>;

    /// `None` removes the key.
    async fn kv_set(&self, plugin: &str, key: &str, value: Option<Vec<u8>>) -> Result<(), Refusal>;

    async fn kv_keys(&self, plugin: &str, prefix: &str) -> Result<Vec<String>, Refusal>;

    /// What was done under `once` is not done again; see [`Once`].
    async fn send(&self, plugin: &str, chat: &str, text: &str, once: Once) -> Result<(), Refusal>;

    async fn groups(&self, plugin: &str) -> Result<Vec<WasmGroup>, Refusal>;

    /// What was done under `once` is not done again, and has the number that it had.
    async fn enqueue(
        &self,
        plugin: &str,
        group: &str,
        prompt: &str,
        once: Once,
    ) -> Result<i64, Refusal>;

    async fn queue(&self, plugin: &str) -> Result<WasmQueue, Refusal>;

    async fn http(&self, plugin: &str, request: WasmRequest) -> Result<WasmResponse, Refusal>;
}

/// Nobody: what a plugin has while it is only looked at.
struct Silent;

/// Services that do nothing and refuse everything: for a plugin that is only looked at.
pub fn silent() -> std::sync::Arc<dyn Services> {
    std::sync::Arc::new(Silent)
}

/// What it is told then.
const NOBODY: &str = "the plugin is not in use";

#[async_trait]
impl Services for Silent {
    fn log(&self, _: &str, _: WasmLevel, _: &str) {}

    fn count(&self, _: &str, _: &str, _: f64) {}

    fn now_ms(&self) -> i64 {
        0
    }

    async fn kv_get(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn kv_set(&self, _: &str, _: &str, _: Option<Vec<u8>>) -> Result<(), Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn kv_keys(&self, _: &str, _: &str) -> Result<Vec<String>, Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn send(&self, _: &str, _: &str, _: &str, _: Once) -> Result<(), Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn groups(&self, _: &str) -> Result<Vec<WasmGroup>, Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn enqueue(&self, _: &str, _: &str, _: &str, _: Once) -> Result<i64, Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn queue(&self, _: &str) -> Result<WasmQueue, Refusal> {
        Err(NOBODY.to_owned())
    }

    async fn http(&self, _: &str, _: WasmRequest) -> Result<WasmResponse, Refusal> {
        Err(NOBODY.to_owned())
    }
}
