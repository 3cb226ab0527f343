//! What goes into the store and what comes out of it.

mod arrival;
mod change;
mod rows;
mod run;
mod send;
mod state;

pub use arrival::*;
pub use change::*;
pub use rows::*;
pub use run::*;
pub use send::*;
pub use state::*;
