//! One linear layer: pruned, multiplied, checked, timed against its dense baseline.

mod baseline;
mod product;

use sparse_core::{Activation, Element, Matrix};
use sparse_gpu::Tier;
use sparse_measure::PrunedWeights;

use self::product::Product;
use super::bench::Bench;
use crate::cli::{Operation, Pattern};
use crate::record::Record;

/// What is multiplied.
#[derive(Clone, Debug)]
pub struct MatmulJob<T> {
    /// What the row is called.
    pub operation: Operation,
    /// `[n_out, k_in]`, not pruned yet.
    pub w: Matrix<T>,
    /// `[tokens, k_in]`.
    pub x: Matrix<T>,
    /// `[n_out]`.
    pub bias: Option<Vec<f32>>,
    /// Applied last.
    pub activation: Activation,
    /// What w is pruned to.
    pub pattern: Pattern,
    /// Which kernels compute it, and its dense twin.
    pub tier: Tier,
    /// What the time is compared with.
    pub baseline: Baseline,
}

/// What a product is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The dense kernel over the weights before pruning.
    Dense,
    /// The kernel named `naive`, one invocation per output, without bias and activation.
    Naive,
    /// The dense product on portable kernels.
    Portable,
    /// Itself: the product is dense and nothing else is asked for.
    Own,
}

/// A measured product.
#[derive(Clone, Debug)]
pub struct MatmulResult<T> {
    /// The row.
    pub record: Record,
    /// Rows of the result.
    pub tokens: usize,
    /// The result, `[tokens, n_out]`.
    pub y: Vec<f32>,
    /// The weights as multiplied.
    pub w: PrunedWeights<T>,
    /// Why this kernel and this tile.
    pub notes: Vec<String>,
}

/// Runs one job: ours and its baseline once each for their results, which are checked, then by turns for the times.
///
/// # Errors
/// Where pruning, planning or the device fails, and where a job with a bias or an activation is to be compared with the naive kernel.
pub fn measure<T: Element>(
    bench: &Bench,
    job: MatmulJob<T>,
    after_round: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<MatmulResult<T>> {
    Product::plan(bench, job)?.measure(bench, after_round)
}
