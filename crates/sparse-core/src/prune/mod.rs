//! Choosing what to keep, and checking what a dense matrix already keeps.
//!
//! A pruning method makes a selection: [`NmSelection`](crate::NmSelection) by
//! [`by_magnitude`](crate::NmSelection::by_magnitude), [`by_scores`](crate::NmSelection::by_scores) or
//! [`at_random`](crate::NmSelection::at_random), and [`BlockSelection`](crate::BlockSelection) by methods of the same
//! names. `from_selection` of the formats compresses to it; their `prune` is the short way by magnitude.
//!
//! Rules of all methods:
//! - Weights that are kept or dropped together (the `v` rows of a column, the elements of a block) are scored together,
//!   by the sum of their scores in f64.
//! - Higher scores are kept first; among equal scores the lower index (column; block in row-major order).
//! - A NaN is an error, not a silent last place. `-0.0` is zero.
//! - Columns that pad a tail group and elements outside of an edge block score nothing, are chosen last and are never
//!   counted as kept.
//! - Nothing changes a weight; the same input and seed give the same selection.

mod blocks;
mod budget;
mod check;
mod detect;
mod error;
mod nm;
mod random;
mod score;

pub use budget::BlockBudget;
pub use check::{NmViolation, check_blocks, check_nm};
pub use detect::{BlockOccupancy, default_ladder, detect_blocks, detect_nm, nonzero_share};
pub use error::PruneError;
pub use score::Norm;
