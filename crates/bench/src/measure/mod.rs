//! Honest timing: interleaved runs, medians, spread, speed-ups of each round, and what the gain could be at best.

mod ideal;
mod interleave;
mod runs;
mod summary;

pub use ideal::Ideal;
pub use interleave::{Budget, Clock, SystemClock, Timed, interleave};
pub use runs::{Runs, Speedup};
pub use summary::Summary;
