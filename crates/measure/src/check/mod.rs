//! Results of the device against the CPU references of `sparse-core`, at samples spread over problems that are too large for them.
//!
//! Between the samples a result is only looked at for numbers that are NaN or infinite: operands that are finite give none, so that one is a
//! fault, of a kernel that left a place unwritten for instance. Operands that are not finite may give such numbers, which the samples alone judge.

mod attention;
mod checked;
mod checks;
mod error;
mod finite;
mod product;
mod samples;
mod score_rows;
mod scores;
mod selection;
mod sizes;

#[cfg(test)]
mod fixture;

pub use attention::{attention, attention_output};
pub use checked::CheckedAttention;
pub use checks::Checks;
pub use error::CheckError;
pub use product::{CheckedProduct, Kernels, ProductReference};
pub use scores::scores;
pub use selection::wrong_mask_rows;
