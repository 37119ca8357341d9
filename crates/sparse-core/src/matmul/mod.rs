//! CPU references of the matmuls: `y[t, o] = activation(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o])`.
//!
//! `x` is `[tokens, k_in]`, `w` is `[n_out, k_in]` as a `Linear` of `PyTorch` keeps it, `y` is `[tokens, n_out]`. Every
//! element is widened exactly from its storage type, products are exact in f64 (at most 24 + 24 significant bits), and
//! sums run in f64 over ascending `k`. The sparse twins, [`nm_matmul`](crate::nm::nm_matmul) and
//! [`bsr_matmul`](crate::bsr::bsr_matmul), differ in one thing only: which `k` a row of `w` has.

mod activation;
mod dense;
mod elements;
mod epilogue;
mod error;
mod reference;
mod sampled;

pub use activation::Activation;
pub use dense::{dense_matmul, dense_matmul_elements, dense_matmul_tokens};
pub use epilogue::{Addend, Epilogue};
pub use error::MatmulError;
pub use reference::MatmulReference;

pub(crate) use elements::multiply_elements;
pub(crate) use reference::{Sum, columns, multiply, multiply_tokens};
pub(crate) use sampled::{column_product, scaled_and_added};
