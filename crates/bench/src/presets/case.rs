//! One row of work.

use std::ops::RangeInclusive;

use sparse_core::DType;
use sparse_core::attention::MaskHeads;
use sparse_measure::{COLD_TOKENS, Shape};
use sparse_shaders::MatvecKernel;

use crate::cli::{Operation, Pattern};

/// How large the shapes may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeClass {
    /// A CPU that plays GPU: about 20 GFLOP/s.
    Software,
    /// Shares the memory of the CPU: about 1 TFLOP/s.
    Integrated,
    /// Has its own memory: 10 TFLOP/s and more.
    Discrete,
}

/// A row of `compare`.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// A linear layer.
    Matmul(MatmulCase),
    /// The gradient of a linear layer's weights.
    Gradient(GradientCase),
    /// An attention layer.
    Attention(AttentionCase),
    /// An attention layer over sequences of different lengths.
    Packed(PackedCase),
}

/// A linear layer `y [tokens, n_out] = x [tokens, k_in] w [n_out, k_in]^T`.
#[derive(Clone, Debug, PartialEq)]
pub struct MatmulCase {
    /// What is measured.
    pub operation: Operation,
    /// The layer that has this shape, in words.
    pub model: &'static str,
    /// Rows of x.
    pub tokens: usize,
    /// Rows of w.
    pub n_out: usize,
    /// Columns of w.
    pub k_in: usize,
    /// Storage of w and x.
    pub dtype: DType,
    /// What w is pruned to.
    pub pattern: Pattern,
}

/// The gradient `dy^T x` of the weights `[n_out, k_in]` of a linear layer, with `dy [tokens, n_out]` and `x [tokens, k_in]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCase {
    /// What is measured.
    pub operation: Operation,
    /// The layer that has this shape, in words.
    pub model: &'static str,
    /// Rows of dy and x.
    pub tokens: usize,
    /// Columns of dy, rows of the weights.
    pub n_out: usize,
    /// Columns of x and of the weights.
    pub k_in: usize,
    /// Storage of dy and x.
    pub dtype: DType,
    /// What the weights are pruned to.
    pub pattern: Pattern,
}

/// An attention layer with q `[batch, heads, q_len, head_dim]` and k, v `[batch, kv_heads, k_len, head_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionCase {
    /// What is measured.
    pub operation: Operation,
    /// The layer that has this shape, in words.
    pub model: &'static str,
    /// Items.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of k and v.
    pub kv_heads: usize,
    /// Query tokens.
    pub q_len: usize,
    /// Key tokens.
    pub k_len: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Storage of q, k and v.
    pub dtype: DType,
    /// Whether token t sees the keys up to `t + k_len - q_len` only.
    pub causal: bool,
    /// Tokens of a block.
    pub block: usize,
    /// Tokens of a group of the score.
    pub stride: usize,
    /// Share of the estimated mass that the selected blocks must reach.
    pub threshold: f64,
    /// As many blocks of each row instead, those with the most of it.
    pub top_k: Option<usize>,
    /// One mask per query head or per key head, selected from scores summed over the group.
    pub mask_heads: MaskHeads,
    /// Every block is attended to: dense attention alone, which other libraries are compared with. Only for `block_attention`.
    pub dense: bool,
}

/// XAttention of sequences of different lengths with q `[tokens, heads, head_dim]` and k, v `[tokens, kv_heads, head_dim]`, those of all items one after
/// the other.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedCase {
    /// The layer that has this shape, in words.
    pub model: &'static str,
    /// Query heads.
    pub heads: usize,
    /// Heads of k and v.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Query tokens and key tokens of each item; a chunk of a prompt has the keys of what came before it too.
    pub lengths: Vec<(usize, usize)>,
    /// Storage of q, k and v.
    pub dtype: DType,
    /// Whether token t of an item sees its keys up to `t + k_len - q_len` only.
    pub causal: bool,
    /// Tokens of a block.
    pub block: usize,
    /// Tokens of a group of the score.
    pub stride: usize,
    /// Share of the estimated mass that the selected blocks must reach.
    pub threshold: f64,
    /// One mask per query head or per key head, selected from scores summed over the group.
    pub mask_heads: MaskHeads,
    /// Whether items go without scores where those would cost more than they save.
    pub auto: bool,
}

impl PackedCase {
    /// The sizes as records show them.
    pub fn shape(&self) -> Shape {
        let heads = [self.heads, self.kv_heads, self.head_dim];
        Shape::packed(&self.lengths, heads, [self.block, self.stride])
    }

    /// The rule that the row violates, if any.
    fn violation(&self) -> Option<&'static str> {
        match self {
            c if !c.heads.is_multiple_of(c.kv_heads) => HEADS,
            c if !c.block.is_multiple_of(c.stride) => STRIDE,
            c if !HEAD_DIMS.contains(&c.head_dim) => HEAD_DIM,
            c if !c.block.is_multiple_of(16) => Some("blocks are multiples of 16 tokens"),
            c if c.lengths.iter().any(|&(queries, keys)| queries > keys) => {
                Some("the queries of an item stand at the end of its keys")
            }
            // Runs find keys and values in a cache, where those of few queries must not be.
            c if c.lengths.iter().all(|&(queries, _)| queries <= COLD_TOKENS) => {
                Some("one item has more queries than decoding")
            }
            _ => None,
        }
    }
}

const OTHER_PATTERN: Option<&str> = Some("the pattern does not belong to the operation");

/// What the violated rules of attention say.
const HEADS: Option<&str> = Some("the heads of k and v divide the query heads");
const STRIDE: Option<&str> = Some("the stride divides the block");
const HEAD_DIM: Option<&str> = Some("head dims are 32 to 256");
const HEAD_DIMS: RangeInclusive<usize> = 32..=256;

impl Case {
    /// What is measured.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Matmul(case) => case.operation,
            Self::Gradient(case) => case.operation,
            Self::Attention(case) => case.operation,
            Self::Packed(_) => Operation::VarlenXattention,
        }
    }

    /// The layer that has this shape, in words.
    pub fn model(&self) -> &'static str {
        match self {
            Self::Matmul(case) => case.model,
            Self::Gradient(case) => case.model,
            Self::Attention(case) => case.model,
            Self::Packed(case) => case.model,
        }
    }

    /// The sizes as records show them.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Matmul(c) => Shape::matmul(c.tokens, c.n_out, c.k_in),
            Self::Gradient(c) => Shape::matmul(c.tokens, c.n_out, c.k_in),
            Self::Attention(c) => Shape::new(&[
                ("batch", c.batch),
                ("heads", c.heads),
                ("kv_heads", c.kv_heads),
                ("q_len", c.q_len),
                ("k_len", c.k_len),
                ("head_dim", c.head_dim),
                ("block", c.block),
                ("stride", c.stride),
            ]),
            Self::Packed(c) => c.shape(),
        }
    }

    /// The rule of its operation that the row violates, if any.
    pub fn violation(&self) -> Option<&'static str> {
        match self {
            Self::Matmul(c) => match (c.operation, c.pattern) {
                (Operation::DenseMatmul, Pattern::Dense)
                | (Operation::NmMatmul, Pattern::Nm(_))
                | (Operation::BsrMatmul, Pattern::Bsr { .. }) => None,
                (Operation::NmMatvec, Pattern::Nm(_)) if c.tokens <= MatvecKernel::MAX_TOKENS => {
                    None
                }
                (Operation::NmMatvec, _) => {
                    Some("nm_matvec takes N:M weights and at most 8 tokens")
                }
                _ => OTHER_PATTERN,
            },
            Self::Gradient(c) => match (c.operation, c.pattern) {
                (Operation::NmSddmm, Pattern::Nm(_))
                | (Operation::BsrSddmm, Pattern::Bsr { .. }) => None,
                _ => OTHER_PATTERN,
            },
            Self::Attention(c) => match c {
                c if !c.heads.is_multiple_of(c.kv_heads) => HEADS,
                c if !c.block.is_multiple_of(c.stride) => STRIDE,
                c if c.dense && c.operation != Operation::BlockAttention => {
                    Some("only block_attention is measured dense")
                }
                c if !HEAD_DIMS.contains(&c.head_dim) => HEAD_DIM,
                _ => None,
            },
            Self::Packed(c) => c.violation(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_rows_that_break_a_rule_say_which() {
        let right = PackedCase {
            model: "test",
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            lengths: vec![(9, 9), (1, 40)],
            dtype: DType::F32,
            causal: true,
            block: 32,
            stride: 8,
            threshold: 0.9,
            mask_heads: MaskHeads::Query,
            auto: false,
        };
        let violation = |change: fn(&mut PackedCase)| {
            let mut case = right.clone();
            change(&mut case);
            Case::Packed(case).violation()
        };
        assert_eq!(violation(|_| ()), None);
        assert_eq!(violation(|case| case.kv_heads = 3), HEADS);
        assert_eq!(violation(|case| case.stride = 5), STRIDE);
        assert_eq!(violation(|case| case.head_dim = 16), HEAD_DIM);
        let block = violation(|case| case.block = 24);
        assert_eq!(block, Some("blocks are multiples of 16 tokens"));
        let more_queries = violation(|case| case.lengths.push((3, 2)));
        assert!(more_queries.is_some_and(|rule| rule.contains("at the end of its keys")));
        for few in [
            violation(|case| case.lengths[0].0 = 8),
            violation(|case| case.lengths.clear()),
        ] {
            assert_eq!(few, Some("one item has more queries than decoding"));
        }
    }
}
