//! The real executable from outside: what it takes, what it prints, how it ends, and what it leaves in its home.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod alerts;
mod channel;
mod declare;
mod dingtalk;
mod discord;
mod doctor;
mod feishu;
mod frames;
mod groups;
mod home;
mod hooks;
mod import;
mod installed;
mod logs;
mod onboard;
mod output;
mod pages;
mod people;
mod plugins;
mod qq;
mod refusals;
mod secrets;
mod service;
mod setup;
mod shell;
mod sim;
mod simulate;
mod stand;
mod tasks;
mod wecom;
mod whatsapp;
