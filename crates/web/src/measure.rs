//! Interleaved rounds, medians, ratios: the formulas of `sparse-bench`, and a loop over rounds that never blocks.

#[path = "../../bench/src/measure/budget.rs"]
mod budget;
#[path = "../../bench/src/measure/ideal.rs"]
mod ideal;
mod rounds;
#[path = "../../bench/src/measure/runs.rs"]
mod runs;
#[path = "../../bench/src/measure/samples.rs"]
mod samples;
#[path = "../../bench/src/measure/summary.rs"]
mod summary;

pub use budget::{Budget, turns};
pub use ideal::Ideal;
pub use rounds::{Progress, Stopped, enough_repeats, go_on, interleave};
pub use runs::{Runs, Speedup};
pub use samples::spread_out;
pub use summary::Summary;
