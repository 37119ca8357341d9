//! One attention layer: dense and sparse on the same device, checked, compared with each other, timed by turns.

mod check;
mod measure;
mod quality;
mod score_rows;
mod source;

pub use check::Checks;
pub(crate) use check::{attention as check_attention, scores as check_scores};
pub use measure::{AttentionJob, AttentionResult, Contest, PartTimes, measure};
pub use quality::Quality;
pub(crate) use quality::reachable;
pub use source::{PLANTED_DENSITY, planted};
