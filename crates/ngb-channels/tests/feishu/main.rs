//! The Feishu channel against the simulator, over real sockets.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod faults;
mod hook;
mod inbound;
mod outbound;
mod stage;
