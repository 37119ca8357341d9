//! q, k and v of one attention layer, their shapes checked against each other.

use std::path::Path;

use sparse_core::attention::{AttentionShape, AttentionShapeError};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::{DType, Element};

use super::{AnyTensor, TensorFile, TensorFileError};

const Q: &str = "q [batch, heads, q_len, head_dim]";
const K: &str = "k [batch, kv_heads, k_len, head_dim]";
const V: &str = "v [batch, kv_heads, k_len, head_dim]";

/// The operands of attention.
#[derive(Debug)]
pub struct Qkv {
    /// `[batch, heads, q_len, head_dim]`.
    pub q: AnyTensor,
    /// `[batch, kv_heads, k_len, head_dim]`.
    pub k: AnyTensor,
    /// `[batch, kv_heads, k_len, head_dim]`.
    pub v: AnyTensor,
    /// The sizes of all three.
    pub shape: AttentionShape,
}

/// Operands that do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QkvError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The sizes do not make an attention problem.
    #[error(transparent)]
    Shape(#[from] AttentionShapeError),
    /// q, k and v are stored differently.
    #[error(
        "q is stored as {q}, k as {k} and v as {v}; the kernels read all three in one storage type"
    )]
    StorageTypes {
        /// Of q.
        q: DType,
        /// Of k.
        k: DType,
        /// Of v.
        v: DType,
    },
}

impl Qkv {
    /// Reads the tensors `q`, `k` and `v` of a file.
    ///
    /// # Errors
    /// [`QkvError`], the first rule broken.
    pub fn read(path: &Path) -> Result<Self, QkvError> {
        let mut file = TensorFile::open(path)?;
        let q = file.ranked("q", 4, Q)?;
        let k = file.ranked("k", 4, K)?;
        let v = file.ranked("v", 4, V)?;
        if q.dtype() != k.dtype() || q.dtype() != v.dtype() {
            return Err(QkvError::StorageTypes {
                q: q.dtype(),
                k: k.dtype(),
                v: v.dtype(),
            });
        }
        let shape = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape())?;
        Ok(Self { q, k, v, shape })
    }

    /// The storage type of all three.
    pub fn dtype(&self) -> DType {
        self.q.dtype()
    }

    /// The operands as `T`, each number rounded to nearest.
    pub fn cast<T: Element>(&self) -> AttentionInputs<T> {
        AttentionInputs {
            q: self.q.cast(),
            k: self.k.cast(),
            v: self.v.cast(),
        }
    }
}
