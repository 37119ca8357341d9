//! Which rows are measured, in sizes that suit the adapter.

use std::time::Duration;

use sparse_core::attention::{AttentionShape, AttentionShapeError};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Nm};
use sparse_measure::{COLD_BYTES, Pattern, Shape};

/// A dense product of the square layer takes at most about this long.
const LONGEST_PRODUCT: Duration = Duration::from_millis(50);
/// The smallest and the largest side of the square layer.
const SIDES: [usize; 2] = [256, 2048];

/// How large the shapes of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens, rows and columns of the square layer.
    pub side: usize,
    /// Rows and columns of the square layer for one token.
    pub vector: usize,
    /// Tokens of attention, queries and keys.
    pub tokens: usize,
    /// Query heads, and heads of keys and values.
    pub heads: [usize; 2],
}

impl Sizes {
    /// The side that is tried first.
    pub const FIRST_SIDE: usize = SIDES[0];

    /// The side to try next where the dense product of this one took so long; nothing where the next would take too long, or there is none.
    pub fn next_side(side: usize, took: Duration) -> Option<usize> {
        let next = 2 * side;
        (next <= SIDES[1] && took * 8 <= LONGEST_PRODUCT).then_some(next)
    }

    /// What runs of one token read of their weights before they come back to the first copy. The copies of a row, of dense and of sparse weights, take twice that of
    /// the device's memory. Slow adapters, those of phones among them, have little of it, and caches that hold a small part of what they read here.
    pub fn cold_bytes(&self) -> usize {
        if self.side >= SIDES[1] {
            COLD_BYTES
        } else {
            COLD_BYTES / 2
        }
    }

    /// All sizes that go with a side. Attention has about as many multiply-adds as two to four products.
    pub fn of_side(side: usize) -> Self {
        let is_fast = side >= SIDES[1];
        Self {
            side,
            vector: (4 * side).min(4096),
            tokens: (4 * side).clamp(1024, 8192),
            heads: if is_fast { [8, 2] } else { [2, 1] },
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A linear layer.
    Product(ProductRow),
    /// An attention layer.
    Attention(AttentionRow),
}

/// A linear layer `y [tokens, n_out] = x [tokens, k_in] w [n_out, k_in]^T`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductRow {
    /// Its name in records.
    pub operation: &'static str,
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
    /// What runs read before they come back to the first copy of the weights, where tokens are few.
    pub cold_bytes: usize,
}

/// Causal self-attention with q `[1, heads, tokens, 64]` and k, v `[1, kv_heads, tokens, 64]`, f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionRow {
    /// What is timed.
    pub scope: Scope,
    /// Query heads.
    pub heads: usize,
    /// Heads of k and v.
    pub kv_heads: usize,
    /// Queries and keys.
    pub tokens: usize,
}

/// What of XAttention is timed against dense attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Attention over the selected blocks alone.
    Attend,
    /// Score, selection and attention.
    Whole,
}

impl AttentionRow {
    /// Its sizes, checked.
    ///
    /// # Errors
    /// Where they do not make an attention problem.
    pub fn shape(&self) -> Result<AttentionShape, AttentionShapeError> {
        let Self {
            heads,
            kv_heads,
            tokens,
            ..
        } = *self;
        AttentionShape::try_new(1, heads, kv_heads, tokens, tokens, 64)
    }

    /// Its options: those of `sparse-bench compare`.
    pub fn options(&self) -> XAttentionOptions {
        XAttentionOptions {
            block: 128,
            stride: 16,
            threshold: 0.9.into(),
            ..XAttentionOptions::default()
        }
    }
}

impl Row {
    /// Name of the operation, as records have it.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Product(row) => row.operation,
            Self::Attention(row) => match row.scope {
                Scope::Attend => "block_attention",
                Scope::Whole => "xattention",
            },
        }
    }

    /// Storage of the operands.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Product(row) => row.dtype,
            Self::Attention(_) => DType::F32,
        }
    }

    /// What is sparse.
    pub fn pattern(&self) -> String {
        match self {
            Self::Product(row) => row.pattern.to_string(),
            Self::Attention(row) => format!("block:{} causal threshold 0.9", row.options().block),
        }
    }

    /// The sizes as records show them.
    ///
    /// # Errors
    /// Those of [`AttentionRow::shape`].
    pub fn shape(&self) -> Result<Shape, AttentionShapeError> {
        Ok(match self {
            Self::Product(row) => Shape::matmul(row.tokens, row.n_out, row.k_in),
            Self::Attention(row) => {
                let XAttentionOptions { block, stride, .. } = row.options();
                Shape::attention(row.shape()?, block, stride)
            }
        })
    }
}

/// The rows of a run: one per claim, as in `sparse-bench compare`.
pub fn rows(sizes: Sizes) -> Vec<Row> {
    let square = |operation, dtype, pattern| {
        Row::Product(ProductRow {
            operation,
            tokens: sizes.side,
            n_out: sizes.side,
            k_in: sizes.side,
            dtype,
            pattern,
            cold_bytes: sizes.cold_bytes(),
        })
    };
    let one_token = |pattern| {
        Row::Product(ProductRow {
            operation: "nm_matvec",
            tokens: 1,
            n_out: sizes.vector,
            k_in: sizes.vector,
            dtype: DType::F16,
            pattern,
            cold_bytes: sizes.cold_bytes(),
        })
    };
    let attention = |scope| {
        Row::Attention(AttentionRow {
            scope,
            heads: sizes.heads[0],
            kv_heads: sizes.heads[1],
            tokens: sizes.tokens,
        })
    };
    vec![
        square("dense_matmul", DType::F32, Pattern::Dense),
        square("nm_matmul", DType::F32, nm(1, 2, 4)),
        square("nm_matmul", DType::F32, nm(8, 2, 4)),
        square("nm_matmul", DType::F32, nm(8, 2, 8)),
        square("nm_matmul", DType::F16, nm(8, 2, 8)),
        one_token(nm(1, 2, 4)),
        one_token(nm(8, 2, 8)),
        square("bsr_matmul", DType::F32, bsr(32, 0.25)),
        square("bsr_matmul", DType::F32, bsr(64, 0.125)),
        attention(Scope::Attend),
        attention(Scope::Whole),
    ]
}

/// N of every M weights kept, V rows share one choice.
///
/// # Panics
/// For numbers that make no pattern: they stand in [`rows`], and a test builds them.
fn nm(v: usize, n: usize, m: usize) -> Pattern {
    Pattern::Nm(Nm::new(n, m, v))
}

const fn bsr(side: usize, density: f64) -> Pattern {
    Pattern::Bsr {
        block_rows: side,
        block_cols: side,
        density,
    }
}

#[cfg(test)]
mod tests {
    use sparse_measure::MOST_COPIES;

    use super::*;

    /// The side that an adapter of so many multiply-adds a second gets.
    fn side_at(rate: f64) -> usize {
        let mut side = Sizes::FIRST_SIDE;
        loop {
            let multiply_adds = [side as f64; 3].iter().product::<f64>();
            match Sizes::next_side(side, Duration::from_secs_f64(multiply_adds / rate)) {
                Some(next) => side = next,
                None => return side,
            }
        }
    }

    #[test]
    fn sides_follow_the_adapter() {
        assert_eq!(side_at(1e8), 256, "a slow processor");
        assert_eq!(side_at(5e9), 512, "a software adapter");
        assert_eq!(side_at(3e10), 1024, "a small integrated GPU");
        assert_eq!(side_at(5e11), 2048, "an integrated GPU");
        assert_eq!(side_at(1e14), 2048, "any other");
    }

    #[test]
    fn every_size_makes_eleven_legal_rows() {
        for side in [256, 512, 1024, 2048] {
            let rows = rows(Sizes::of_side(side));
            assert_eq!(rows.len(), 11);
            for row in rows {
                let shape = row.shape().unwrap().to_string();
                let tokens = match &row {
                    Row::Product(row) => format!("tokens={}", row.tokens),
                    Row::Attention(row) => format!("q_len={}", row.tokens),
                };
                assert!(shape.contains(&tokens), "{shape}");
            }
        }
    }

    /// No copy is left out for their number: the smallest weights are those of 8:2:8, a quarter of the dense ones and their lists.
    #[test]
    fn both_sides_of_a_row_of_one_token_read_as_much() {
        for side in [256, 512, 1024, 2048] {
            let sizes = Sizes::of_side(side);
            let smallest = sizes.vector * sizes.vector * 2 / 4;
            assert!(smallest * MOST_COPIES >= sizes.cold_bytes(), "{side}");
        }
    }

    #[test]
    fn a_row_says_what_it_measures() {
        let rows = rows(Sizes::of_side(512));
        let words = |at: usize| {
            let row: &Row = &rows[at];
            let dtype = row.dtype().name();
            format!("{} {dtype} {}", row.operation(), row.pattern())
        };
        assert_eq!(words(6), "nm_matvec f16 8:2:8");
        assert_eq!(words(7), "bsr_matmul f32 bsr:32x32@0.25");
        assert_eq!(words(10), "xattention f32 block:128 causal threshold 0.9");
        let shape = rows[9].shape().unwrap();
        assert_eq!(
            (shape.get("q_len"), shape.get("heads")),
            (Some(2048), Some(2))
        );
    }
}
