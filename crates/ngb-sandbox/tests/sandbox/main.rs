//! Sandboxes for real: these tests need root, and fail without.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]
#![expect(clippy::disallowed_methods, reason = "the tests start gateways and victims of their own")]

mod common;
mod death;
mod engines;
mod hogs;
mod mounts;
mod refusals;
mod walls;
