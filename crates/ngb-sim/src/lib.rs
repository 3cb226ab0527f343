//! Counterparts for tests and benches: servers that speak a platform's own protocol over real sockets.

pub mod telegram;
