//! Results of the device against the CPU references of `sparse-core`, at samples spread over problems that are too large for them.

mod attention;
mod checks;
mod error;
mod product;
mod samples;
mod score_rows;
mod scores;
mod selection;
mod sizes;

#[cfg(test)]
mod fixture;

pub use attention::{attention, attention_output};
pub use checks::Checks;
pub use error::CheckError;
pub use product::{CheckedProduct, Kernels, ProductReference};
pub use scores::scores;
pub use selection::wrong_mask_rows;
