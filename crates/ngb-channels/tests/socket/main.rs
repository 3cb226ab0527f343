//! The WebSocket and HTTP against a peer that does exactly what a test says, over real sockets.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod http;
mod line;
mod single;
mod stage;
