//! One product on the GPU, compared with the CPU reference.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::bounds::{Comparison, compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::synthetic::{integer_matrix, normal_matrix};
use sparse_core::{Element, Matrix, Nm};
use sparse_gpu::{Activation, AdapterClass, Batch, Explanation, NmVariant, Tier, Tile, Transposed};

use super::gpu::name;
use super::product::{HostWeights, Inputs, on_gpu};

/// How the weights are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Dense,
    Nm(Nm),
    /// The same pattern through the operation for few tokens.
    NmMatvec(Nm),
    Bsr((usize, usize), f64),
}

impl Format {
    /// Of a pattern such as `8:2:4`.
    pub(crate) fn nm(pattern: &str) -> Self {
        Self::Nm(pattern.parse().unwrap_or_else(|e| panic!("{e}")))
    }

    /// The same for few tokens.
    pub(crate) fn nm_matvec(pattern: &str) -> Self {
        Self::NmMatvec(pattern.parse().unwrap_or_else(|e| panic!("{e}")))
    }
}

/// Small integers, whose sums of products are exact.
pub(crate) fn integers(rows: usize, cols: usize, seed: u64) -> Matrix<f32> {
    integer_matrix(rows, cols, 3, seed).unwrap_or_else(|e| panic!("{e}"))
}

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) format: Format,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    pub(crate) transposed: Transposed,
    pub(crate) batch: Batch,
    pub(crate) alpha: f32,
    pub(crate) addend: Added,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
    pub(crate) tile: Option<Tile>,
    /// Whose defaults; none: those of the adapter.
    pub(crate) class: Option<AdapterClass>,
    /// Of N:M weights.
    pub(crate) variant: Option<NmVariant>,
    pub(crate) split_k: Option<usize>,
    pub(crate) tier: Tier,
    /// Small integers, so that every sum is exact and the result must be equal.
    pub(crate) integers: bool,
}

/// What is added to the product, times beta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Added {
    Nothing,
    /// What y held; with beta = 0 that is NaN.
    Previous(f32),
    /// Another tensor, stored as x is.
    Residual(f32),
}

/// Epilogues that meet every sign and kind of addend: alpha, what is added, whether with a bias, activation.
pub(crate) const EPILOGUES: [(f32, Added, bool, Activation); 5] = [
    (1.0, Added::Previous(1.0), false, Activation::None),
    (1.3, Added::Previous(-0.7), true, Activation::Relu),
    (-2.0, Added::Residual(1.0), true, Activation::Gelu),
    (0.5, Added::Residual(3.0), false, Activation::Silu),
    (5.0, Added::Nothing, true, Activation::None),
];

impl Case {
    pub(crate) fn new(format: Format, [tokens, n_out, k_in]: [usize; 3]) -> Self {
        Self {
            format,
            tokens,
            n_out,
            k_in,
            transposed: Transposed::NONE,
            batch: Batch::None,
            alpha: 1.0,
            addend: Added::Nothing,
            bias: false,
            activation: Activation::None,
            tile: None,
            class: None,
            variant: None,
            split_k: None,
            tier: Tier::Portable,
            integers: false,
        }
    }

    /// Matrices of x and y.
    pub(crate) fn items(&self) -> usize {
        match self.batch {
            Batch::None => 1,
            Batch::Shared(items) | Batch::PerItem(items) => items,
        }
    }

    /// Matrices of w.
    fn w_items(&self) -> usize {
        match self.batch {
            Batch::PerItem(items) => items,
            _ => 1,
        }
    }

    fn random<T: Element>(&self, rows: usize, cols: usize, seed: u64) -> Matrix<T> {
        let matrix = if self.integers {
            // At most 8 bits of sum: bf16 holds no more exactly.
            integer_matrix(rows, cols, if self.k_in <= 28 { 3 } else { 1 }, seed)
        } else {
            normal_matrix(rows, cols, seed)
        };
        matrix.unwrap_or_else(|e| panic!("{e}"))
    }
}

/// The operands of `case`, stored as `X`, `W`, `Y`.
pub(crate) fn inputs<X: Element, W: Element, Y: Element>(case: &Case) -> Inputs<X, W, Y> {
    let (tokens, n_out, k_in, items) = (case.tokens, case.n_out, case.k_in, case.items());
    let (rows, cols) = if case.transposed.w {
        (k_in, n_out)
    } else {
        (n_out, k_in)
    };
    let weights = (0..case.w_items())
        .map(|item| {
            let w = case.random::<W>(rows, cols, 2 + 10 * item as u64);
            HostWeights::prune(w, case.format)
        })
        .collect();
    Inputs {
        x: case.random(items * tokens, k_in, 1),
        weights,
        bias: case.bias.then(|| case.random(1, n_out, 3)),
        previous: match case.addend {
            Added::Previous(beta) if beta != 0.0 => Some(case.random(items * tokens, n_out, 4)),
            _ => None,
        },
        residual: match case.addend {
            Added::Residual(_) => Some(case.random(items * tokens, n_out, 5)),
            _ => None,
        },
    }
}

/// Runs `case` with x, w and y stored as `X`, `W`, `Y`.
pub(crate) fn run<X: Element, W: Element, Y: Element>(case: &Case) -> (Comparison, Explanation) {
    let inputs = inputs::<X, W, Y>(case);
    let (mut expected, mut bounds) = (Vec::new(), Vec::new());
    for item in 0..case.items() {
        let (reference, terms) = inputs.reference(case, item);
        let activation = core_activation(case.activation);
        let bound = match case.tier {
            Tier::Portable => matmul_bounds(&reference, terms, activation, Y::DTYPE),
            _ => {
                let parts = case.split_k.unwrap_or(16);
                cooperative_matmul_bounds(&reference, terms, parts, activation, Y::DTYPE)
            }
        };
        bounds.extend(if case.integers {
            vec![0.0; bound.len()]
        } else {
            bound
        });
        expected.extend(reference.y);
    }
    let (actual, explanation) = on_gpu(case, &inputs);
    (compare(actual, &expected, &bounds), explanation)
}

/// Runs `case` and fails the test unless every element lies within its bound. Returns the largest share of a bound that was used.
pub(crate) fn check<X: Element, W: Element, Y: Element>(case: &Case) -> f64 {
    let (comparison, explanation) = run::<X, W, Y>(case);
    let types = (name::<X>(), name::<W>(), name::<Y>());
    assert!(
        comparison.holds(),
        "{case:?} stored as {types:?}: {comparison}\n{explanation}"
    );
    comparison.ratio
}

/// The shader's activation in the words of the reference.
pub(crate) fn core_activation(activation: Activation) -> sparse_core::Activation {
    match activation {
        Activation::None => sparse_core::Activation::None,
        Activation::Relu => sparse_core::Activation::Relu,
        Activation::Gelu => sparse_core::Activation::Gelu,
        Activation::Silu => sparse_core::Activation::Silu,
    }
}

/// `[tokens, n_out, k_in]` around the edges of the kernels: nothing, one, odd, around a row tile, around a panel, several panels.
pub(crate) const EDGES: [[usize; 3]; 14] = [
    [0, 5, 7],
    [5, 0, 7],
    [9, 7, 0],
    [1, 1, 1],
    [3, 5, 9],
    [8, 9, 4],
    [9, 7, 15],
    [33, 8, 16],
    [63, 9, 17],
    [64, 16, 32],
    [65, 31, 33],
    [129, 40, 64],
    [257, 33, 77],
    [40, 130, 96],
];

/// Smaller than [`EDGES`], for what multiplies many kinds.
pub(crate) const FEW: [[usize; 3]; 3] = [[9, 7, 15], [65, 32, 64], [40, 19, 33]];
