//! Products of the device against the CPU reference, at samples spread over the tokens.

use sparse_core::bounds::{Comparison, compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::{Activation, DType, Element, Epilogue, MatmulReference, Matrix};

use super::CheckError;
use super::finite::{NotFinite, are_finite};
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
    /// Of every token of x, whether all that its outputs are computed from is finite.
    finite: Vec<bool>,
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
    /// Anywhere, sampled or not.
    not_finite: Option<NotFinite>,
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
        Self::of_tokens(w, x, epilogue, sampled)
    }

    fn of_tokens<T: Element>(
        w: &PrunedWeights<T>,
        x: &Matrix<T>,
        epilogue: &Epilogue,
        sampled: Vec<usize>,
    ) -> Result<Self, CheckError> {
        let others_are_finite = w.is_finite() && epilogue.is_finite();
        let finite = (0..x.rows()).map(|token| others_are_finite && are_finite(x.row(token)));
        Ok(Self {
            reference: w.reference(x, epilogue, &sampled)?,
            sampled,
            finite: finite.collect(),
            n_out: w.shape().0,
            most_terms: w.most_terms(),
            activation: epilogue.activation,
        })
    }

    /// Compares `y [tokens, n_out]` under the bound of the kernels that computed it. At tokens that are not sampled no number may be NaN or
    /// infinite where x, w and what the epilogue adds are finite.
    ///
    /// # Errors
    /// [`CheckError::ProductSize`] where `y` has another size.
    pub fn check(&self, y: &[f32], kernels: Kernels) -> Result<CheckedProduct, CheckError> {
        let (tokens, n_out) = (self.finite.len(), self.n_out);
        if y.len() != tokens * n_out {
            return Err(CheckError::ProductSize {
                numbers: y.len(),
                tokens,
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
            not_finite: self.not_finite(y),
        })
    }

    /// The first number that is not finite although it must be.
    fn not_finite(&self, y: &[f32]) -> Option<NotFinite> {
        let n_out = self.n_out.max(1);
        let mut odd = y.iter().enumerate().filter(|(_, y)| !y.is_finite());
        odd.find(|(at, _)| self.finite[at / n_out])
            .map(|(at, &value)| NotFinite {
                what: "y",
                place: [at / n_out, at % n_out, 0, 0],
                dimensions: 2,
                value,
            })
    }
}

impl CheckedProduct {
    /// The largest error over its bound; right where it is at most 1. Infinite where a number is not finite that must be, sampled or not.
    pub fn ratio(&self) -> f64 {
        match self.not_finite {
            Some(_) => f64::INFINITY,
            None => self.worst.ratio,
        }
    }

    /// Where `contender` is wrong, what was found there and what the bound is; nothing where it is right.
    pub fn fault(&self, contender: &str) -> Option<String> {
        let Comparison {
            actual,
            expected,
            bound,
            ..
        } = self.worst;
        if !self.worst.holds() {
            return Some(format!(
                "{contender}: y[{}, {}] is {actual:e}, but the CPU reference is {expected:e} and the bound of the error {bound:.3e}",
                self.token, self.output
            ));
        }
        self.not_finite.map(|found| format!("{contender}: {found}"))
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::synthetic::normal_matrix;

    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_wrong_wherever_it_is() {
        let (n_out, k_in) = (5, 7);
        let w: Matrix<f32> = normal_matrix(n_out, k_in, 1).unwrap();
        let x = Matrix::new(9, k_in, vec![0.0_f32; 9 * k_in]);
        let check = |w: &Matrix<f32>, x: &Matrix<f32>, epilogue: &Epilogue, y: &[f32]| {
            let w = PrunedWeights::Dense(w.clone());
            let reference = ProductReference::of_tokens(&w, x, epilogue, vec![0, 4, 8]);
            reference.unwrap().check(y, Kernels::Portable).unwrap()
        };
        let right = vec![0.0; 9 * n_out];
        assert_eq!(check(&w, &x, &Epilogue::NONE, &right).ratio(), 0.0);
        for value in [f32::NAN, f32::INFINITY] {
            let mut wrong = right.clone();
            wrong[5 * n_out + 3] = value;
            let checked = check(&w, &x, &Epilogue::NONE, &wrong);
            let fault = format!(
                "ours: y[5, 3] is {value}, although all that it is computed from is finite"
            );
            assert_eq!(checked.fault("ours"), Some(fault));
            assert_eq!(checked.ratio(), f64::INFINITY);
            // What is not finite in an operand may come through.
            let mut numbers = x.data().to_vec();
            numbers[5 * k_in] = f32::NAN;
            let odd_x = Matrix::new(9, k_in, numbers);
            assert_eq!(
                check(&w, &odd_x, &Epilogue::NONE, &wrong).fault("ours"),
                None
            );
            let mut numbers = w.data().to_vec();
            numbers[3 * k_in] = f32::INFINITY;
            let odd_w = PrunedWeights::Dense(Matrix::new(n_out, k_in, numbers));
            let odd = ProductReference::of(&odd_w, &x, &Epilogue::NONE).unwrap();
            assert_eq!(odd.not_finite(&wrong), None);
            let bias = Epilogue::NONE.with_bias(&[0.0, 0.0, 0.0, f32::INFINITY, 0.0]);
            let odd = ProductReference::of(&PrunedWeights::Dense(w.clone()), &x, &bias).unwrap();
            assert_eq!(odd.not_finite(&wrong), None);
            // Of another token it does not.
            wrong[6 * n_out + 1] = value;
            let fault = check(&w, &odd_x, &Epilogue::NONE, &wrong).fault("ours");
            assert!(fault.unwrap().starts_with("ours: y[6, 1] is "));
        }
    }

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
