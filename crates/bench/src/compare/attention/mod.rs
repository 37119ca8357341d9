//! One attention layer: dense and sparse on the same device, checked, compared with each other, timed by turns.

mod cold;
#[cfg(test)]
mod fixture;
mod measure;
mod packed;
mod policy;
mod quality;
mod selected;
mod source;
mod steps;
mod verdict;
mod words;
mod work;

pub use cold::kv_copies;
pub use measure::{AttentionJob, AttentionResult, Contest, PartTime, PartTimes, measure};
pub use packed::{PackedItem, PackedResult, measure_packed, upload_packed};
pub use policy::{Decided, PolicyResult, measure_policy};
pub use quality::Quality;
pub(crate) use quality::reachable;
pub use source::{PLANTED_DENSITY, of_length, planted, planted_at};
pub use steps::{StepShares, step_rows};
pub use words::{BY_KEY_HEAD, by};
