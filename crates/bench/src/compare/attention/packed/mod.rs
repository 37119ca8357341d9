//! XAttention over packed sequences of different lengths: dense and own on the same device, checked item by item, timed by turns.

mod check;
mod contenders;
#[cfg(test)]
mod fixture;
mod inputs;
mod measure;
mod work;

pub use inputs::upload_packed;
pub use measure::{PackedItem, PackedResult, measure_packed};
