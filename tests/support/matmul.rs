//! One product on the GPU, compared with the CPU reference.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::bounds::{Comparison, compare, matmul_bounds};
use sparse_core::bsr::bsr_matmul;
use sparse_core::matmul::dense_matmul;
use sparse_core::nm::nm_matmul;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::{integer_matrix, normal_matrix};
use sparse_core::{BsrMatrix, Element, MatmulReference, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    Activation, BsrMatmul, DenseMatmul, Epilogue, Explanation, Extras, MatmulPlan, MatmulTypes,
    NmMatmul, NmMatvec, Tile, Weights,
};

use super::gpu::{gpu, name, poisoned, read, submit};

/// How the weights are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Dense,
    Nm(Nm),
    /// The same pattern through the operation for few tokens.
    NmMatvec(Nm),
    Bsr((usize, usize), f64),
}

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) format: Format,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
    pub(crate) tile: Option<Tile>,
    /// Small integers, so that every sum is exact and the result must be equal.
    pub(crate) integers: bool,
}

impl Case {
    pub(crate) fn new(format: Format, [tokens, n_out, k_in]: [usize; 3]) -> Self {
        Self {
            format,
            tokens,
            n_out,
            k_in,
            bias: false,
            activation: Activation::None,
            tile: None,
            integers: false,
        }
    }
}

enum SparseWeights<W> {
    Dense(Matrix<W>),
    Nm(NmMatrix<W>),
    Bsr(BsrMatrix<W>),
}

/// Runs `case` with x, w and y stored as `X`, `W`, `Y`.
pub(crate) fn run<X: Element, W: Element, Y: Element>(case: &Case) -> (Comparison, Explanation) {
    let Case {
        tokens,
        n_out,
        k_in,
        ..
    } = *case;
    let x: Matrix<X> = random(tokens, k_in, case, 1);
    let w: Matrix<W> = random(n_out, k_in, case, 2);
    let bias: Option<Matrix<W>> = case.bias.then(|| random(1, n_out, case, 3));
    let weights = match case.format {
        Format::Dense => SparseWeights::Dense(w),
        Format::Nm(pattern) | Format::NmMatvec(pattern) => {
            SparseWeights::Nm(NmMatrix::prune(&w, pattern).unwrap_or_else(|e| panic!("{e}")))
        }
        Format::Bsr(block, density) => {
            let budget = BlockBudget::Density(density);
            SparseWeights::Bsr(
                BsrMatrix::prune(&w, block, budget).unwrap_or_else(|e| panic!("{e}")),
            )
        }
    };
    let (reference, terms) = reference(&x, &weights, bias.as_ref(), case.activation);
    let (actual, explanation) = on_gpu::<X, W, Y>(case, &x, &weights, bias.as_ref());
    let bounds = if case.integers {
        vec![0.0; reference.y.len()]
    } else {
        matmul_bounds(
            &reference,
            terms,
            core_activation(case.activation),
            Y::DTYPE,
        )
    };
    (compare(actual, &reference.y, &bounds), explanation)
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

fn random<T: Element>(rows: usize, cols: usize, case: &Case, seed: u64) -> Matrix<T> {
    let matrix = if case.integers {
        // At most 8 bits of sum: bf16 holds no more exactly.
        integer_matrix(rows, cols, if case.k_in <= 28 { 3 } else { 1 }, seed)
    } else {
        normal_matrix(rows, cols, seed)
    };
    matrix.unwrap_or_else(|e| panic!("{e}"))
}

fn reference<X: Element, W: Element>(
    x: &Matrix<X>,
    weights: &SparseWeights<W>,
    bias: Option<&Matrix<W>>,
    activation: Activation,
) -> (MatmulReference, usize) {
    let mut epilogue =
        sparse_core::Epilogue::default().with_activation(core_activation(activation));
    if let Some(bias) = bias {
        epilogue = epilogue.with_bias(bias.data());
    }
    let (reference, terms) = match weights {
        SparseWeights::Dense(w) => (dense_matmul(x, w, &epilogue), w.cols()),
        SparseWeights::Nm(w) => (nm_matmul(x, w, &epilogue), w.kept_per_row()),
        SparseWeights::Bsr(w) => {
            let longest = w
                .indptr()
                .windows(2)
                .map(|p| (p[1] - p[0]) as usize)
                .max()
                .unwrap_or(0);
            (bsr_matmul(x, w, &epilogue), longest * w.block().1)
        }
    };
    (reference.unwrap_or_else(|e| panic!("{e}")), terms)
}

fn on_gpu<X: Element, W: Element, Y: Element>(
    case: &Case,
    x: &Matrix<X>,
    weights: &SparseWeights<W>,
    bias: Option<&Matrix<W>>,
) -> (Vec<f64>, Explanation) {
    let gpu = gpu();
    let Case {
        tokens,
        n_out,
        k_in,
        tile,
        ..
    } = *case;
    let types = MatmulTypes {
        x: X::DTYPE,
        w: W::DTYPE,
        y: Y::DTYPE,
    };
    let epilogue = Epilogue {
        bias: bias.map(|_| W::DTYPE),
        activation: case.activation,
    };
    let plan: Result<MatmulPlan, _> = match case.format {
        Format::Dense => gpu.plan_blocking(&DenseMatmul {
            types,
            epilogue,
            tile,
            ..DenseMatmul::new(tokens, n_out, k_in)
        }),
        Format::Nm(p) => gpu.plan_blocking(&NmMatmul {
            types,
            epilogue,
            tile,
            ..NmMatmul::new(tokens, n_out, k_in, p)
        }),
        Format::NmMatvec(p) => gpu.plan_blocking(&NmMatvec {
            types,
            epilogue,
            ..NmMatvec::new(tokens, n_out, k_in, p)
        }),
        Format::Bsr(b, _) => gpu.plan_blocking(&BsrMatmul {
            types,
            epilogue,
            tile,
            ..BsrMatmul::new(tokens, n_out, k_in, b)
        }),
    };
    let plan = plan.unwrap_or_else(|e| panic!("{e}"));
    let x = gpu.upload(x).unwrap_or_else(|e| panic!("{e}"));
    let bias = bias.map(|b| {
        let b = sparse_core::Tensor::new(vec![n_out], b.data().to_vec());
        gpu.upload(&b).unwrap_or_else(|e| panic!("{e}"))
    });
    let mut y = poisoned::<Y>(gpu, &[tokens, n_out]);
    let extras = Extras {
        bias: bias.as_ref(),
    };
    let mut record = |weights: Weights<'_>| {
        submit(gpu, |pass| {
            plan.record_with(pass, weights, &x, extras, &mut y)
                .unwrap_or_else(|e| panic!("{e}"));
        });
    };
    match weights {
        SparseWeights::Dense(w) => {
            record((&gpu.upload(w).unwrap_or_else(|e| panic!("{e}"))).into());
        }
        SparseWeights::Nm(w) => {
            record((&gpu.upload_nm(w).unwrap_or_else(|e| panic!("{e}"))).into());
        }
        SparseWeights::Bsr(w) => {
            record((&gpu.upload_bsr(w).unwrap_or_else(|e| panic!("{e}"))).into());
        }
    }
    (read::<Y>(gpu, &y), plan.explain().clone())
}

/// The shader's activation in the words of the reference.
fn core_activation(activation: Activation) -> sparse_core::Activation {
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
