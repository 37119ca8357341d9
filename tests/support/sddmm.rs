//! One product at the blocks of a matrix on the GPU, compared with the CPU reference.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::bounds::{compare, matmul_bounds};
use sparse_core::bsr::bsr_sddmm;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::{integer_matrix, normal_matrix};
use sparse_core::{Activation, BlockSelection, BsrMatrix, Element, Matrix};
use sparse_gpu::{AdapterClass, BsrSddmm, Explanation, GpuBsr, MatmulTypes};

use super::gpu::{gpu, of_class, submit};

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Tokens, rows and columns of the result.
    pub(crate) shape: [usize; 3],
    pub(crate) block: (usize, usize),
    pub(crate) density: f64,
    /// Small integers, so that every sum is exact and the result must be equal.
    pub(crate) integers: bool,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Whose defaults the plan takes; none: those of the adapter.
    pub(crate) class: Option<AdapterClass>,
}

/// Normal numbers, or integers from -1 to 1.
pub(crate) fn random<T: Element>(integers: bool, [rows, cols]: [usize; 2], seed: u64) -> Matrix<T> {
    let matrix = if integers {
        integer_matrix(rows, cols, 1, seed)
    } else {
        normal_matrix(rows, cols, seed)
    };
    matrix.unwrap()
}

impl Case {
    pub(crate) fn new(shape: [usize; 3], block: (usize, usize)) -> Self {
        Self {
            shape,
            block,
            density: 0.5,
            integers: false,
            alpha: 1.0,
            beta: 0.0,
            class: None,
        }
    }

    fn random<T: Element>(&self, rows: usize, cols: usize, seed: u64) -> Matrix<T> {
        random(self.integers, [rows, cols], seed)
    }

    fn dy<T: Element>(&self) -> Matrix<T> {
        self.random(self.shape[0], self.shape[1], 1)
    }

    fn x<T: Element>(&self) -> Matrix<T> {
        self.random(self.shape[0], self.shape[2], 2)
    }

    /// What the result holds before, with the blocks that are computed.
    fn previous<T: Element>(&self) -> BsrMatrix<T> {
        let [_, n_out, k_in] = self.shape;
        let budget = BlockBudget::Density(self.density);
        BsrMatrix::prune(&self.random::<T>(n_out, k_in, 3), self.block, budget).unwrap()
    }
}

/// The blocks that the GPU computes of dy, x and a result stored as `Y`, `X`, `W`, and how.
pub(crate) fn run<Y: Element, X: Element, W: Element>(case: &Case) -> (Vec<f64>, Explanation) {
    let [tokens, n_out, k_in] = case.shape;
    let problem = BsrSddmm {
        types: MatmulTypes {
            x: X::DTYPE,
            w: W::DTYPE,
            y: Y::DTYPE,
        },
        alpha: case.alpha,
        beta: case.beta,
        ..BsrSddmm::new(tokens, n_out, k_in, case.block)
    };
    let gpu = of_class(case.class);
    let plan = gpu.plan_blocking(&problem).unwrap();
    let dy = gpu.upload(&case.dy::<Y>()).unwrap();
    let x = gpu.upload(&case.x::<X>()).unwrap();
    let previous = case.previous::<W>();
    let mut out = if case.beta == 0.0 {
        poisoned::<W>(previous.selection())
    } else {
        gpu.upload_bsr(&previous).unwrap()
    };
    submit(&gpu, |pass| plan.record(pass, &dy, &x, &mut out).unwrap());
    let out = gpu.read_bsr_blocking::<W>(&out).unwrap();
    let values = out.values().iter().map(|v| v.to_f64()).collect();
    (values, plan.explain().clone())
}

/// Blocks full of NaN inside of the matrix.
fn poisoned<T: Element>(selection: &BlockSelection) -> GpuBsr {
    let (rows, cols) = (selection.rows(), selection.cols());
    let dense = Matrix::new(rows, cols, vec![T::from_f32(f32::NAN); rows * cols]);
    gpu()
        .upload_bsr(&BsrMatrix::from_selection(&dense, selection).unwrap())
        .unwrap()
}

/// Runs `case` and fails the test unless every element lies within its bound. Returns the largest share of a bound that was used, and how it was
/// computed.
pub(crate) fn check<Y: Element, X: Element, W: Element>(case: &Case) -> (f64, Explanation) {
    let previous = case.previous::<W>();
    let (alpha, beta) = (case.alpha, case.beta);
    let added = (beta != 0.0).then_some(&previous);
    let (dy, x) = (case.dy::<Y>(), case.x::<X>());
    let reference = bsr_sddmm(&dy, &x, previous.selection(), alpha, beta, added).unwrap();
    let bounds = if case.integers {
        vec![0.0; reference.y.len()]
    } else {
        matmul_bounds(&reference, case.shape[0], Activation::None, W::DTYPE)
    };
    let (values, explanation) = run::<Y, X, W>(case);
    let comparison = compare(values, &reference.y, &bounds);
    assert!(comparison.holds(), "{case:?}: {comparison}\n{explanation}");
    (comparison.ratio, explanation)
}
