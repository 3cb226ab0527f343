//! Simulated platforms and a simulated model, over real sockets, for tests and `nanogridbot sim`.

pub mod model;
