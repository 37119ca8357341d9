//! Products of the device against the CPU reference, at samples spread over the tokens.

use anyhow::ensure;
use sparse_core::bounds::{Comparison, compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::{Activation, DType, Element, Epilogue, MatmulReference, Matrix};
use sparse_gpu::defaults;

use crate::measure::spread_out;
use crate::weights::PrunedWeights;

/// Multiply-adds that the CPU reference may take; larger products are checked at sampled tokens.
const REFERENCE_TERMS: usize = 1 << 26;
/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 2;

/// The CPU reference of one product, at as many evenly spread tokens as the CPU can take. Every kernel that computes this product is compared with it.
#[derive(Debug)]
pub(crate) struct Reference {
    reference: MatmulReference,
    /// The tokens that were computed.
    sampled: Vec<usize>,
    /// Of x, all of them.
    tokens: usize,
    n_out: usize,
    most_terms: usize,
    activation: Activation,
}

/// What a result is against its reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    worst: Comparison,
    token: usize,
    output: usize,
}

impl Reference {
    /// Computes `x w^T` and what `epilogue` adds.
    pub(crate) fn of<T: Element>(
        w: &PrunedWeights<T>,
        x: &Matrix<T>,
        epilogue: &Epilogue,
    ) -> anyhow::Result<Self> {
        let (n_out, k_in) = w.shape();
        let affordable = REFERENCE_TERMS / (n_out * k_in).max(1);
        let sampled = spread_out(x.rows(), affordable.max(LEAST_SAMPLES));
        Ok(Self {
            reference: w.reference(x, epilogue, &sampled)?,
            sampled,
            tokens: x.rows(),
            n_out,
            most_terms: w.most_terms(),
            activation: epilogue.activation,
        })
    }

    /// Compares `y [tokens, n_out]` under the bound of the kernels that computed it: those on cooperative matrices have another one.
    ///
    /// # Errors
    /// Where `y` has another size.
    pub(crate) fn check(&self, y: &[f32], on_matrices: bool) -> anyhow::Result<Checked> {
        let n_out = self.n_out;
        ensure!(
            y.len() == self.tokens * n_out,
            "a result of {} numbers is not one of {} tokens x {n_out} outputs",
            y.len(),
            self.tokens
        );
        let sampled = self
            .sampled
            .iter()
            .flat_map(|&token| &y[token * n_out..(token + 1) * n_out])
            .map(|&y| f64::from(y));
        let (terms, activation) = (self.most_terms, self.activation);
        let bounds = if on_matrices {
            let parts = defaults::MOST_PARTS;
            cooperative_matmul_bounds(&self.reference, terms, parts, activation, DType::F32)
        } else {
            matmul_bounds(&self.reference, terms, activation, DType::F32)
        };
        let worst = compare(sampled, &self.reference.y, &bounds);
        let row = worst.index / n_out.max(1);
        Ok(Checked {
            worst,
            token: self.sampled.get(row).copied().unwrap_or(0),
            output: worst.index % n_out.max(1),
        })
    }
}

impl Checked {
    /// The largest error over its bound; right where it is at most 1.
    pub(crate) fn ratio(&self) -> f64 {
        self.worst.ratio
    }

    /// Where `contender` is wrong, what was found there and what the bound is; nothing where it is right.
    pub(crate) fn fault(&self, contender: &str) -> Option<String> {
        let Comparison {
            actual,
            expected,
            bound,
            ..
        } = self.worst;
        (!self.worst.holds()).then(|| {
            format!(
                "{contender}: y[{}, {}] is {actual:e}, but the CPU reference is {expected:e} and the bound of the error {bound:.3e}",
                self.token, self.output
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::synthetic::normal_matrix;

    use super::*;

    #[test]
    fn a_wrong_element_is_named_by_its_place_and_a_wrong_length_is_refused() {
        // So many weights that three of the nine tokens can be afforded: 0, 4 and 8.
        let side = 4096;
        let w = PrunedWeights::Dense(normal_matrix::<f32>(side, side + 1024, 1).unwrap());
        let x = normal_matrix(9, side + 1024, 2).unwrap();
        let reference = Reference::of(&w, &x, &Epilogue::NONE).unwrap();
        assert_eq!(reference.sampled, [0, 4, 8]);
        let mut y = vec![0.0; 9 * side];
        for (row, token) in reference.sampled.iter().enumerate() {
            for output in 0..side {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "results of the device are f32"
                )]
                let rounded = reference.reference.y[row * side + output] as f32;
                y[token * side + output] = rounded;
            }
        }
        let right = reference.check(&y, false).unwrap();
        assert!(right.ratio() <= 1.0 && right.fault("ours").is_none());
        y[4 * side + 17] = 1e9;
        let wrong = reference.check(&y, false).unwrap();
        let fault = wrong.fault("ours").unwrap();
        assert!(wrong.ratio() > 1.0);
        assert!(fault.starts_with("ours: y[4, 17] is 1e9, but the CPU reference is "));
        assert!(fault.contains(" and the bound of the error "), "{fault}");
        let error = reference.check(&y[1..], false).unwrap_err().to_string();
        assert_eq!(
            error,
            "a result of 36863 numbers is not one of 9 tokens x 4096 outputs"
        );
    }
}
