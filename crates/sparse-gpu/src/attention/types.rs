//! How the operands of attention are stored.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;

/// Storage types of the operands of attention; each may be any. Log-sum-exps are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionTypes {
    /// Of the queries.
    pub q: DType,
    /// Of the keys.
    pub k: DType,
    /// Of the values.
    pub v: DType,
    /// Of the output.
    pub out: DType,
}

impl AttentionTypes {
    /// The same storage type for everything.
    pub const fn all(dtype: DType) -> Self {
        Self {
            q: dtype,
            k: dtype,
            v: dtype,
            out: dtype,
        }
    }
}

impl Default for AttentionTypes {
    fn default() -> Self {
        Self::all(DType::F32)
    }
}

/// Where the heads of a token lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenLayout {
    /// `[batch, heads, tokens, head_dim]`: each head is a matrix of its own.
    #[default]
    HeadMajor,
    /// `[batch, tokens, heads, head_dim]`: all heads of a token lie side by side, as projections write them. An item of the batch is bound whole.
    TokenMajor,
}

impl TokenLayout {
    /// Shapes of q and out, and of k and v with room for `k_capacity` tokens.
    pub(crate) fn tensor_shapes(
        self,
        shape: &AttentionShape,
        k_capacity: usize,
    ) -> [[usize; 4]; 2] {
        let [batch, kv_heads, _, head_dim] = shape.kv_shape();
        [shape.q_shape(), [batch, kv_heads, k_capacity, head_dim]].map(|head_major| {
            let [batch, heads, tokens, head_dim] = head_major;
            match self {
                Self::HeadMajor => head_major,
                Self::TokenMajor => [batch, tokens, heads, head_dim],
            }
        })
    }
}
