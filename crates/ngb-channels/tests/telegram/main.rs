//! The Telegram channel against the simulator, over real sockets.

mod faults;
mod inbound;
mod outbound;
mod stage;
mod webhook;
