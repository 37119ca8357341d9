//! The formulas by which sparse operations are measured, for programs that measure on their own ways: `sparse-bench` on native platforms, `sparse-web`
//! in a browser.
//!
//! Nothing here waits for a device, reads a command line or opens a file, and all of it builds for wasm32:
//!
//! - what times mean: [`Runs`] of interleaved rounds, their medians and ratios, the [`Ideal`] speed-up, the [`Work`] of an operation;
//! - whether results are right: [`check`];
//! - what is measured: weights in a [`Pattern`], [`Copies`] of operands, the [`Shape`] of a row.
#![forbid(unsafe_code)]
#![warn(unused_crate_dependencies, clippy::print_stdout)]

mod budget;
pub mod check;
mod copies;
mod ideal;
mod milliseconds;
mod output;
mod pattern;
mod runs;
mod shape;
mod summary;
mod timing;
mod weights;
mod words;
mod work;

pub use budget::{Budget, repeats_to_fill, turns};
pub use copies::{
    COLD_BYTES, COLD_TOKENS, Copies, MOST_COPIES, MOST_KV_BYTES, cold_copies, cold_copies_of,
    cold_kv_copies,
};
pub use ideal::Ideal;
pub use milliseconds::milliseconds;
pub use output::OutputAndLse;
pub use pattern::{Pattern, PatternError};
pub use runs::{Runs, Speedup};
pub use shape::Shape;
pub use summary::Summary;
pub use timing::{ClockError, Timing, elapsed};
pub use weights::PrunedWeights;
pub use words::counted;
pub use work::{Attended, Work};
