//! Honest timing: interleaved runs, medians, spread, and what the gain could be at best.

mod ideal;
mod interleave;
mod summary;

pub use ideal::Ideal;
pub use interleave::{Budget, Clock, SystemClock, Timed, interleave};
pub use summary::Summary;
