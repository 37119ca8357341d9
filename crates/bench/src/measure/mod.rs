//! Honest timing: interleaved runs, medians, spread, speed-ups of each round, and what the gain could be at best.

mod budget;
mod ideal;
mod interleave;
mod runs;
mod samples;
mod summary;

pub use budget::{Budget, turns};
pub use ideal::Ideal;
pub use interleave::{Clock, SystemClock, Timed, interleave};
pub use runs::{Runs, Speedup};
pub use samples::spread_out;
pub use summary::Summary;
