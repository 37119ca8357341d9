//! Seeded inputs for tests and benches: the same seed gives the same numbers on every machine and in every release
//! of the generator's library (`ChaCha8Rng`).

mod random;

pub use random::{integer_matrix, integer_tensor, normal_matrix, normal_tensor};
