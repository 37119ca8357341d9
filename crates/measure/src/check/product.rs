//! Products of the device against the CPU reference, at samples spread over the tokens.

use sparse_core::bounds::{Comparison, compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::{Activation, DType, Element, Epilogue, MatmulReference, Matrix};

use super::CheckError;
use super::samples::{REFERENCE_TERMS, spread_out};
use crate::PrunedWeights;

/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 2;

/// The CPU reference of one product, at as many evenly spread tokens as the CPU can take. Every kernel that computes this product is compared with it.
#[derive(Debug)]
pub struct ProductReference {
    reference: MatmulReference,
    /// The tokens that were computed.
    sampled: Vec<usize>,
    /// Of x, all of them.
    tokens: usize,
    n_out: usize,
    most_terms: usize,
    activation: Activation,
}

/// Which kernels computed a product: the bound of its errors depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Sums in f32.
    Portable,
    /// Sums of cooperative matrices.
    CooperativeMatrix {
        /// Parts that k is split into at most.
        most_parts: usize,
    },
}

/// What a result is against its reference.
#[derive(Clone, Copy, Debug)]
pub struct CheckedProduct {
    worst: Comparison,
    token: usize,
    output: usize,
}

impl ProductReference {
    /// Computes `x [tokens, k_in] w [n_out, k_in]^T` and what `epilogue` adds.
    ///
    /// # Errors
    /// [`CheckError::Product`] where the operands do not fit.
    pub fn of<T: Element>(
        w: &PrunedWeights<T>,
        x: &Matrix<T>,
        epilogue: &Epilogue,
    ) -> Result<Self, CheckError> {
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

    /// Compares `y [tokens, n_out]` under the bound of the kernels that computed it.
    ///
    /// # Errors
    /// [`CheckError::ProductSize`] where `y` has another size.
    pub fn check(&self, y: &[f32], kernels: Kernels) -> Result<CheckedProduct, CheckError> {
        let n_out = self.n_out;
        if y.len() != self.tokens * n_out {
            return Err(CheckError::ProductSize {
                numbers: y.len(),
                tokens: self.tokens,
                n_out,
            });
        }
        let sampled = self
            .sampled
            .iter()
            .flat_map(|&token| &y[token * n_out..(token + 1) * n_out])
            .map(|&y| f64::from(y));
        let (terms, activation) = (self.most_terms, self.activation);
        let reference = &self.reference;
        let bounds = match kernels {
            Kernels::Portable => matmul_bounds(reference, terms, activation, DType::F32),
            Kernels::CooperativeMatrix { most_parts } => {
                cooperative_matmul_bounds(reference, terms, most_parts, activation, DType::F32)
            }
        };
        let worst = compare(sampled, &self.reference.y, &bounds);
        let row = worst.index / n_out.max(1);
        Ok(CheckedProduct {
            worst,
            token: self.sampled.get(row).copied().unwrap_or(0),
            output: worst.index % n_out.max(1),
        })
    }
}

impl CheckedProduct {
    /// The largest error over its bound; right where it is at most 1.
    pub fn ratio(&self) -> f64 {
        self.worst.ratio
    }

    /// Where `contender` is wrong, what was found there and what the bound is; nothing where it is right.
    pub fn fault(&self, contender: &str) -> Option<String> {
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
        let reference = ProductReference::of(&w, &x, &Epilogue::NONE).unwrap();
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
        let right = reference.check(&y, Kernels::Portable).unwrap();
        assert!(right.ratio() <= 1.0 && right.fault("ours").is_none());
        y[4 * side + 17] = 1e9;
        let wrong = reference.check(&y, Kernels::Portable).unwrap();
        let fault = wrong.fault("ours").unwrap();
        assert!(wrong.ratio() > 1.0);
        assert!(fault.starts_with("ours: y[4, 17] is 1e9, but the CPU reference is "));
        assert!(fault.contains(" and the bound of the error "), "{fault}");
        let on_matrices = Kernels::CooperativeMatrix { most_parts: 4 };
        let forgiven = reference.check(&y, on_matrices).unwrap();
        assert!(forgiven.ratio() < wrong.ratio() && forgiven.ratio() > 1.0);
        let error = reference
            .check(&y[1..], Kernels::Portable)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a result of 36863 numbers is not one of 9 tokens x 4096 outputs"
        );
    }
}
