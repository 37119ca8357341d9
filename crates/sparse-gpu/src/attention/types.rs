//! How the operands of attention are stored.

use sparse_core::DType;

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
    /// `[batch, tokens, heads, head_dim]`: all heads of a token lie side by side, as projections write them.
    TokenMajor,
}
