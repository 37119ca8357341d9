//! One product at the slots of N:M weights on the GPU, compared with the CPU reference.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::bounds::{compare, matmul_bounds};
use sparse_core::nm::nm_sddmm;
use sparse_core::{Activation, Element, Matrix, Nm, NmMatrix, NmSelection};
use sparse_gpu::{AdapterClass, Explanation, GpuNm, MatmulTypes, NmSddmm};

use super::gpu::{gpu, of_class, submit};
use super::sddmm::random;

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Tokens, rows and columns of the result.
    pub(crate) shape: [usize; 3],
    pub(crate) pattern: Nm,
    /// Small integers, so that every sum is exact and the result must be equal.
    pub(crate) integers: bool,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Whose defaults the plan takes; none: those of the adapter.
    pub(crate) class: Option<AdapterClass>,
}

impl Case {
    pub(crate) fn new(shape: [usize; 3], pattern: Nm) -> Self {
        Self {
            shape,
            pattern,
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

    /// What the result holds before, with the slots that are computed.
    fn previous<T: Element>(&self) -> NmMatrix<T> {
        let [_, n_out, k_in] = self.shape;
        NmMatrix::prune(&self.random::<T>(n_out, k_in, 3), self.pattern).unwrap()
    }

    fn problem<Y: Element, X: Element, W: Element>(&self) -> NmSddmm {
        let [tokens, n_out, k_in] = self.shape;
        NmSddmm {
            types: MatmulTypes {
                x: X::DTYPE,
                w: W::DTYPE,
                y: Y::DTYPE,
            },
            alpha: self.alpha,
            beta: self.beta,
            ..NmSddmm::new(tokens, n_out, k_in, self.pattern)
        }
    }
}

/// The slots that the GPU computes, and how.
fn run<Y: Element, X: Element, W: Element>(
    case: &Case,
    dy: &Matrix<Y>,
    x: &Matrix<X>,
    previous: &NmMatrix<W>,
    selection: &NmSelection,
) -> (Vec<f64>, Explanation) {
    let gpu = of_class(case.class);
    let plan = gpu.plan_blocking(&case.problem::<Y, X, W>()).unwrap();
    let (dy, x) = (gpu.upload(dy).unwrap(), gpu.upload(x).unwrap());
    let mut out = if case.beta == 0.0 {
        poisoned::<W>(selection)
    } else {
        gpu.upload_nm(previous).unwrap()
    };
    submit(&gpu, |pass| plan.record(pass, &dy, &x, &mut out).unwrap());
    let out = gpu.read_nm_blocking::<W>(&out).unwrap();
    assert_eq!(out.packed_indices(), previous.packed_indices());
    let values = out.values().iter().map(|v| v.to_f64()).collect();
    (values, plan.explain().clone())
}

/// Slots full of NaN, where they stand for columns.
pub(crate) fn poisoned<T: Element>(selection: &NmSelection) -> GpuNm {
    let (rows, cols) = (selection.rows(), selection.cols());
    let dense = Matrix::new(rows, cols, vec![T::from_f32(f32::NAN); rows * cols]);
    gpu()
        .upload_nm(&NmMatrix::from_selection(&dense, selection).unwrap())
        .unwrap()
}

/// Runs `case` and fails the test unless every element lies within its bound. Returns the largest share of a bound that was used, and how it was
/// computed.
pub(crate) fn check<Y: Element, X: Element, W: Element>(case: &Case) -> (f64, Explanation) {
    let previous = case.previous::<W>();
    let selection = previous.selection().unwrap();
    let (alpha, beta) = (case.alpha, case.beta);
    let added = (beta != 0.0).then_some(&previous);
    let (dy, x) = (case.dy::<Y>(), case.x::<X>());
    let reference = nm_sddmm(&dy, &x, &selection, alpha, beta, added).unwrap();
    let bounds = if case.integers {
        vec![0.0; reference.y.len()]
    } else {
        matmul_bounds(&reference, case.shape[0], Activation::None, W::DTYPE)
    };
    let (values, explanation) = run(case, &dy, &x, &previous, &selection);
    let comparison = compare(values, &reference.y, &bounds);
    assert!(comparison.holds(), "{case:?}: {comparison}\n{explanation}");
    (comparison.ratio, explanation)
}
