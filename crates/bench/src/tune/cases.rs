//! What is measured, as plain data: shapes by class of adapter and budget.

use std::fmt;

use clap::ValueEnum;
use sparse_core::{DType, Nm};
use sparse_gpu::{KernelTile, TileWalk};

use crate::cli::{Pattern, TuneBudget, TuneOperation};
use crate::presets::SizeClass;

/// A kernel at one number of tokens in one storage type.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneCase {
    /// What is tuned.
    pub operation: TuneOperation,
    /// Rows of x; of q and k in attention, of k alone in decoding.
    pub tokens: usize,
    /// Storage of weights and x, or of q, k and v.
    pub dtype: DType,
    /// The rest of the shape.
    pub work: TuneWork,
}

/// The shape beside the tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TuneWork {
    /// A linear layer.
    Product {
        /// Rows of w.
        n_out: usize,
        /// Columns of w.
        k_in: usize,
        /// What w is pruned to.
        pattern: Pattern,
    },
    /// Dense causal attention, blocks of 128.
    Attention {
        /// Heads, each with keys of its own.
        heads: usize,
        /// Numbers of a head.
        head_dim: usize,
    },
    /// One query of each head over all keys.
    Decoding {
        /// Heads of k and v, each shared by eight query heads.
        kv_heads: usize,
        /// Numbers of a head.
        head_dim: usize,
    },
    /// Causal scores of blocks of 128.
    Scores {
        /// Heads, each with keys of its own.
        heads: usize,
        /// Numbers of a head.
        head_dim: usize,
        /// Tokens of a group.
        stride: usize,
    },
}

impl TuneCase {
    /// Whether this is a product of sparse weights that `kernel`, which its plan took, multiplies as dense ones.
    pub(super) fn is_of_dense_kernel(&self, kernel: &KernelTile) -> bool {
        let sparse =
            matches!(self.work, TuneWork::Product { pattern, .. } if pattern != Pattern::Dense);
        sparse
            && matches!(
                kernel,
                KernelTile::Matmul {
                    walk: TileWalk::Dense,
                    ..
                }
            )
    }
}

impl fmt::Display for TuneCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, dtype) = (self.tokens, self.dtype);
        match self.work {
            TuneWork::Product {
                n_out,
                k_in,
                pattern,
            } => write!(f, "{pattern} {dtype}, {tokens} x {n_out} x {k_in}"),
            TuneWork::Attention { heads, head_dim } => {
                write!(f, "attention {dtype}, {heads} x {tokens} x {head_dim}")
            }
            TuneWork::Decoding { kv_heads, head_dim } => write!(
                f,
                "decoding {dtype}, {} heads on {kv_heads} x {tokens} x {head_dim}",
                DECODING_GROUP * kv_heads
            ),
            TuneWork::Scores {
                heads,
                head_dim,
                stride,
            } => write!(
                f,
                "scores {dtype}, {heads} x {tokens} x {head_dim}, stride {stride}"
            ),
        }
    }
}

/// Query heads of decoding that share their keys: as many as the largest tile takes, so that every number of queries competes. Where fewer share them plans
/// take fewer of the winner's.
pub(super) const DECODING_GROUP: usize = 8;
/// Fewest tokens of attention and scores: a block.
const BLOCK: usize = 128;
/// The most tokens of a mat-vec.
const FEW: usize = sparse_shaders::MatvecKernel::MAX_TOKENS;

/// Sizes by class.
struct Sizes {
    /// Sides of the weights.
    side: usize,
    /// Sides of the weights that meet few tokens.
    vector: usize,
    tokens: &'static [usize],
    attention: &'static [usize],
    /// Keys of decoding.
    decoding: &'static [usize],
    scores: &'static [usize],
    heads: usize,
}

fn sizes(class: SizeClass, is_full: bool) -> Sizes {
    match (class, is_full) {
        (SizeClass::Software, false) => Sizes {
            side: 768,
            vector: 2048,
            tokens: &[256],
            attention: &[1024],
            decoding: &[4096],
            scores: &[4096],
            heads: 2,
        },
        (SizeClass::Software, true) => Sizes {
            side: 1024,
            vector: 2048,
            tokens: &[16, 64, 256, 1024],
            attention: &[512, 2048],
            decoding: &[1024, 8192],
            scores: &[2048, 8192],
            heads: 2,
        },
        (class, is_full) => Sizes {
            side: if class == SizeClass::Discrete {
                4096
            } else {
                2048
            },
            vector: if class == SizeClass::Discrete {
                8192
            } else {
                4096
            },
            tokens: if is_full {
                &[16, 64, 256, 1024, 4096]
            } else {
                &[64, 1024]
            },
            attention: if is_full { &[512, 2048, 8192] } else { &[4096] },
            decoding: if is_full {
                &[2048, 8192, 32768]
            } else {
                &[8192]
            },
            scores: if is_full {
                &[2048, 8192, 32768]
            } else {
                &[16384]
            },
            heads: 8,
        },
    }
}

/// The cases of `operations`, at `tokens` where there are any, in the order of the table.
pub fn cases(
    class: SizeClass,
    budget: TuneBudget,
    operations: &[TuneOperation],
    tokens: &[usize],
) -> Vec<TuneCase> {
    let is_full = budget.is_full;
    let sizes = sizes(class, is_full);
    let asked = |range: std::ops::RangeInclusive<usize>, default: &[usize]| -> Vec<usize> {
        let mut chosen: Vec<usize> = if tokens.is_empty() { default } else { tokens }.to_vec();
        chosen.retain(|t| range.contains(t));
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    };
    let many = asked(FEW + 1..=usize::MAX, sizes.tokens);
    let few = asked(1..=FEW, if is_full { &[1, 4, 8] } else { &[1] });
    let mut cases = Vec::new();
    for &operation in TuneOperation::value_variants() {
        if !operations.is_empty() && !operations.contains(&operation) {
            continue;
        }
        let mut add = |tokens: &[usize], work: TuneWork| {
            for dtype in [DType::F32, DType::F16] {
                cases.extend(tokens.iter().map(|&tokens| TuneCase {
                    operation,
                    tokens,
                    dtype,
                    work,
                }));
            }
        };
        let product = |side, pattern| TuneWork::Product {
            n_out: side,
            k_in: side,
            pattern,
        };
        match operation {
            TuneOperation::DenseMatmul => {
                add(&few, product(sizes.vector, Pattern::Dense));
                add(&many, product(sizes.side, Pattern::Dense));
            }
            TuneOperation::NmMatmul => {
                for pattern in nm_patterns(is_full) {
                    add(&many, product(sizes.side, pattern));
                }
            }
            TuneOperation::NmMatvec => {
                for pattern in nm_patterns(is_full) {
                    add(&few, product(sizes.vector, pattern));
                }
            }
            TuneOperation::BsrMatmul => {
                let sides: &[usize] = if is_full {
                    &[16, 32, 64, 128]
                } else {
                    &[32, 64]
                };
                for &side in sides {
                    let pattern = Pattern::Bsr {
                        block_rows: side,
                        block_cols: side,
                        density: 0.25,
                    };
                    add(&many, product(sizes.side, pattern));
                }
            }
            TuneOperation::BlockAttention => {
                let head_dims: &[usize] = if is_full {
                    &[64, 96, 128, 256]
                } else {
                    &[64, 128]
                };
                for &head_dim in head_dims {
                    let heads = sizes.heads;
                    add(
                        &asked(BLOCK..=usize::MAX, sizes.attention),
                        TuneWork::Attention { heads, head_dim },
                    );
                    add(
                        &asked(BLOCK..=usize::MAX, sizes.decoding),
                        TuneWork::Decoding {
                            kv_heads: heads,
                            head_dim,
                        },
                    );
                }
            }
            TuneOperation::XattentionScore => {
                let strides: &[usize] = if is_full { &[8, 16] } else { &[16] };
                for &stride in strides {
                    let (heads, head_dim) = (sizes.heads, 64);
                    add(
                        &asked(BLOCK..=usize::MAX, sizes.scores),
                        TuneWork::Scores {
                            heads,
                            head_dim,
                            stride,
                        },
                    );
                }
            }
        }
    }
    cases
}

fn nm_patterns(is_full: bool) -> Vec<Pattern> {
    let nm = |v, n, m| Pattern::Nm(Nm::new(n, m, v));
    let mut patterns = vec![nm(1, 2, 4), nm(8, 2, 4), nm(8, 2, 8)];
    if is_full {
        patterns.extend([
            nm(1, 2, 8),
            nm(4, 2, 4),
            nm(16, 2, 4),
            nm(16, 2, 8),
            nm(32, 2, 16),
        ]);
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(budget: &str, operations: &[TuneOperation], tokens: &[usize]) -> Vec<TuneCase> {
        let budget = budget.parse().unwrap();
        cases(SizeClass::Software, budget, operations, tokens)
    }

    #[test]
    fn every_operation_has_cases_in_both_widths() {
        for budget in ["quick", "full"] {
            let all = of(budget, &[], &[]);
            for &operation in TuneOperation::value_variants() {
                for dtype in [DType::F32, DType::F16] {
                    let fits = |c: &&TuneCase| c.operation == operation && c.dtype == dtype;
                    assert!(
                        all.iter().any(|c| fits(&c)),
                        "{budget} {operation:?} {dtype}"
                    );
                }
            }
        }
        assert!(of("full", &[], &[]).len() > 3 * of("quick", &[], &[]).len());
    }

    #[test]
    fn attention_is_tuned_for_many_queries_and_for_few() {
        for budget in ["quick", "full"] {
            let all = of(budget, &[TuneOperation::BlockAttention], &[]);
            let decoding = |case: &&TuneCase| matches!(case.work, TuneWork::Decoding { .. });
            let few: Vec<&TuneCase> = all.iter().filter(decoding).collect();
            assert_eq!(2 * few.len(), all.len());
            assert_eq!(few[0].tokens, if budget == "full" { 1024 } else { 4096 });
            // Two tiles that displaced the default at the same keys would be two for one problem.
            for (i, case) in few.iter().enumerate() {
                assert!(!few[..i].contains(case), "{case}");
            }
        }
        let case = &of("quick", &[TuneOperation::BlockAttention], &[300])[2];
        assert_eq!(case.to_string(), "decoding f32, 16 heads on 2 x 300 x 64");
    }

    #[test]
    fn tokens_go_to_the_operations_that_take_them() {
        let tokens = |operation| -> Vec<usize> {
            let mut tokens: Vec<_> = of("quick", &[operation], &[300, 3, 9, 300])
                .iter()
                .map(|case| case.tokens)
                .collect();
            tokens.sort_unstable();
            tokens.dedup();
            tokens
        };
        assert_eq!(tokens(TuneOperation::DenseMatmul), [3, 9, 300]);
        assert_eq!(tokens(TuneOperation::NmMatmul), [9, 300]);
        assert_eq!(tokens(TuneOperation::NmMatvec), [3]);
        assert_eq!(tokens(TuneOperation::BlockAttention), [300]);
        assert!(of("quick", &[TuneOperation::NmMatvec], &[64]).is_empty());
    }
}
