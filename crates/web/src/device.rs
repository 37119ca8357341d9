//! The device, and how its runs are timed.

mod open;
mod timer;

pub use open::open;
pub use timer::{Recorder, Timer, shortest_run, timing_words};
