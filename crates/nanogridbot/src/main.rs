//! nanogridbot
fn main() {}
