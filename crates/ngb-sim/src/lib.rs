//! Simulated platforms and a simulated model, over real sockets: for tests, benches and `nanogridbot sim`.
//!
//! Each speaks its platform's real protocol, and each can be told to fail: to answer 429, to cut a connection, to send
//! something twice.

pub mod all;
mod call;
pub mod dingtalk;
pub mod discord;
pub mod fault;
pub mod feishu;
pub mod model;
pub mod qq;
pub mod qqbot;
pub mod slack;
pub mod telegram;
pub mod wecom;
pub mod whatsapp;
mod wire;
