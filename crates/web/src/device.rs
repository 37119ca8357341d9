//! The device, how its runs are timed, and the operands that runs take by turns.

#[path = "../../bench/src/device/copies.rs"]
mod copies;
mod open;
#[path = "../../bench/src/device/output.rs"]
mod output;
mod timer;

pub use copies::{COLD_TOKENS, Copies, cold_copies};
pub use open::open;
pub use output::OutputAndLse;
pub use timer::{Recorder, Timer, Timing};
