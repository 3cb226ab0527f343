//! What a guest may ask of the gateway: the far side of its imports.

use async_trait::async_trait;

use crate::wasm::words::{WasmGroup, WasmLevel, WasmQueue, WasmRequest, WasmResponse};

/// Why something was not done, as the plugin is told.
pub type Refusal = String;

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

    async fn send(&self, plugin: &str, chat: &str, text: &str) -> Result<(), Refusal>;

    async fn groups(&self, plugin: &str) -> Result<Vec<WasmGroup>, Refusal>;

    async fn enqueue(&self, plugin: &str, group: &str, prompt: &str) -> Result<i64, Refusal>;

    async fn queue(&self, plugin: &str) -> Result<WasmQueue, Refusal>;

    async fn http(&self, plugin: &str, request: WasmRequest) -> Result<WasmResponse, Refusal>;
}
