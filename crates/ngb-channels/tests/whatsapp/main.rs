//! WhatsApp: Meta's JSON to `Inbound`, `Outbound` to Graph calls, signatures and faults, against the simulator.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod faults;
mod hook;
mod inbound;
mod outbound;
mod stage;
