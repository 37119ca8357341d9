//! Seeded inputs for tests and benches. The same seed gives the same numbers on every machine, up to the last bit of its
//! logarithm, sine and cosine (generator: `ChaCha8Rng`).

mod planted;
mod planted_head;
mod random;

pub use planted::{AttentionInputs, PlantedAttention, PlantedError};
pub(crate) use random::Normal;
pub use random::{integer_matrix, integer_tensor, normal_matrix, normal_tensor};
