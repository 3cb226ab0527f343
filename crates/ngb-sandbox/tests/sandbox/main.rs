//! Sandboxes for real, in each engine that has walls: these tests need root, and a Docker engine whose address is
//! `NGB_TEST_DOCKER`; they fail without.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]
#![expect(clippy::disallowed_methods, reason = "the tests start gateways and victims of their own")]

#[macro_use]
mod common;
mod death;
mod engines;
mod hogs;
mod images;
mod mounts;
mod refusals;
mod walls;
