//! Products of the device against the CPU reference, at samples spread over tokens and outputs.

use sparse_core::bounds::{Comparison, compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::{Activation, DType, Element, Epilogue, MatmulReference, Matrix};

use super::CheckError;
use super::finite::{NotFinite, are_finite};
use super::samples::{REFERENCE_TERMS, cell, one_per_cell};
use crate::PrunedWeights;

/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 256;

/// The CPU reference of one product: all of it where the CPU can take that, otherwise one element in each of as many cells of tokens and outputs as
/// it can. Every kernel that computes this product is compared with it.
#[derive(Debug)]
pub struct ProductReference {
    reference: MatmulReference,
    /// The elements `[token, output]` that were computed, where that are not all.
    sampled: Option<Vec<[usize; 2]>>,
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
    /// Any, of integers so small that f32 holds their sums: no error at all.
    Exact,
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
        let (tokens, (n_out, _)) = (x.rows(), w.shape());
        let affordable = (REFERENCE_TERMS / w.most_terms().max(1)).max(LEAST_SAMPLES);
        let cell = cell(tokens, n_out, affordable);
        let sampled = (cell != [1, 1]).then(|| one_per_cell(tokens, n_out, cell));
        Self::of_elements(w, x, epilogue, sampled)
    }

    fn of_elements<T: Element>(
        w: &PrunedWeights<T>,
        x: &Matrix<T>,
        epilogue: &Epilogue,
        sampled: Option<Vec<[usize; 2]>>,
    ) -> Result<Self, CheckError> {
        let others_are_finite = w.is_finite() && epilogue.is_finite();
        let finite = (0..x.rows()).map(|token| others_are_finite && are_finite(x.row(token)));
        let reference = match &sampled {
            Some(elements) => w.reference_of_elements(x, epilogue, elements)?,
            None => w.reference(x, epilogue, &Vec::from_iter(0..x.rows()))?,
        };
        Ok(Self {
            reference,
            sampled,
            finite: finite.collect(),
            n_out: w.shape().0,
            most_terms: w.most_terms(),
            activation: epilogue.activation,
        })
    }

    /// Compares `y [tokens, n_out]` under the bound of the kernels that computed it. No number, sampled or not, may be NaN or infinite
    /// where x, w and what the epilogue adds are finite.
    ///
    /// # Errors
    /// [`CheckError::ProductSize`] where `y` has another size.
    pub fn check(&self, y: &[f32], kernels: Kernels) -> Result<CheckedProduct, CheckError> {
        self.check_where(y, kernels, &|_| true)
    }

    /// The same at the elements, by their place in `y`, that `is_computed` names: others are not looked at. No number may be NaN or infinite as there.
    ///
    /// # Errors
    /// Those of [`ProductReference::check`].
    pub fn check_where(
        &self,
        y: &[f32],
        kernels: Kernels,
        is_computed: &dyn Fn(usize) -> bool,
    ) -> Result<CheckedProduct, CheckError> {
        let (tokens, n_out) = (self.finite.len(), self.n_out);
        if y.len() != tokens * n_out {
            return Err(CheckError::ProductSize {
                numbers: y.len(),
                tokens,
                n_out,
            });
        }
        let (terms, activation) = (self.most_terms, self.activation);
        let reference = &self.reference;
        let bounds = match kernels {
            Kernels::Portable => matmul_bounds(reference, terms, activation, DType::F32),
            Kernels::CooperativeMatrix { most_parts } => {
                cooperative_matmul_bounds(reference, terms, most_parts, activation, DType::F32)
            }
            Kernels::Exact => vec![0.0; reference.y.len()],
        };
        let expected = &reference.y;
        let number = |(at, expected): (usize, &f64)| match is_computed(at) {
            true => f64::from(y[at]),
            false => *expected,
        };
        let (worst, [token, output]) = match &self.sampled {
            Some(elements) => {
                let places = elements.iter().map(|&[token, o]| token * n_out + o);
                let worst = compare(places.zip(expected).map(number), expected, &bounds);
                (worst, elements.get(worst.index).copied().unwrap_or([0, 0]))
            }
            None => {
                let worst = compare((0..).zip(expected).map(number), expected, &bounds);
                let row = n_out.max(1);
                (worst, [worst.index / row, worst.index % row])
            }
        };
        Ok(CheckedProduct {
            worst,
            token,
            output,
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
            let sampled = [0, 4, 8].map(|token| [token, 1]).to_vec();
            let reference = ProductReference::of_elements(&w, x, epilogue, Some(sampled));
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

    /// What a kernel without errors gives, from the reference of all elements.
    fn rounded(w: &PrunedWeights<f32>, x: &Matrix<f32>) -> Vec<f32> {
        let tokens: Vec<usize> = (0..x.rows()).collect();
        let whole = w.reference(x, &Epilogue::NONE, &tokens).unwrap();
        super::super::fixture::rounded(&whole.y)
    }

    #[test]
    fn a_wrong_element_is_named_by_its_place_and_a_wrong_length_is_refused() {
        let w = PrunedWeights::Dense(normal_matrix::<f32>(64, 80, 1).unwrap());
        let x = normal_matrix(9, 80, 2).unwrap();
        let reference = ProductReference::of(&w, &x, &Epilogue::NONE).unwrap();
        assert_eq!(reference.sampled, None);
        let mut y = rounded(&w, &x);
        let right = reference.check(&y, Kernels::Portable).unwrap();
        assert!(right.ratio() <= 1.0 && right.fault("ours").is_none());
        y[4 * 64 + 17] = 1e9;
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
            "a result of 575 numbers is not one of 9 tokens x 64 outputs"
        );
    }

    #[test]
    fn only_what_is_computed_is_compared() {
        let w = PrunedWeights::Dense(normal_matrix::<f32>(64, 80, 1).unwrap());
        let x = normal_matrix(9, 80, 2).unwrap();
        let whole = ProductReference::of(&w, &x, &Epilogue::NONE).unwrap();
        let elements = vec![[4, 16], [4, 17], [8, 63]];
        let sampled = ProductReference::of_elements(&w, &x, &Epilogue::NONE, Some(elements));
        let mut y = rounded(&w, &x);
        y[4 * 64 + 17] = 0.0;
        for reference in [whole, sampled.unwrap()] {
            let check = |is_computed: &dyn Fn(usize) -> bool| {
                let checked = reference.check_where(&y, Kernels::Portable, is_computed);
                checked.unwrap().fault("ours")
            };
            let fault = check(&|at| at % 64 != 16).unwrap();
            assert!(fault.starts_with("ours: y[4, 17] is 0e0"), "{fault}");
            assert_eq!(check(&|at| at != 4 * 64 + 17), None);
        }
    }

    #[test]
    fn a_wrong_tile_or_token_of_a_large_product_is_found_wherever_it_is() {
        // So many weights that three of 128 tokens could be afforded whole, or one element of every tile of 8 x 8.
        let (tokens, n_out, k_in) = (128, 1024, 1 << 15);
        // Of few weights that are not zero, so that the test can have the whole product.
        let mut w = Matrix::zeros(n_out, k_in).unwrap();
        let mut x = Matrix::zeros(tokens, k_in).unwrap();
        for o in 0..n_out {
            w.data_mut()[o * k_in + o] = 1.0;
        }
        for token in 0..tokens {
            x.data_mut()[token * k_in..][..n_out].fill(2.0);
        }
        let w = PrunedWeights::Dense(w);
        let reference = ProductReference::of(&w, &x, &Epilogue::NONE).unwrap();
        assert_eq!(reference.sampled.as_ref().map(Vec::len), Some(16 * 128));
        let right = vec![2.0_f32; tokens * n_out];
        let check = |y: &[f32]| reference.check(y, Kernels::Portable).unwrap();
        assert_eq!(check(&right).ratio(), 0.0);
        let wrong_at = |is_wrong: &dyn Fn(usize, usize) -> bool| {
            let mut y = right.clone();
            for (at, y) in y.iter_mut().enumerate() {
                *y += f32::from(u8::from(is_wrong(at / n_out, at % n_out)));
            }
            let checked = check(&y);
            assert_eq!(checked.ratio() > 1.0, checked.fault("ours").is_some());
            checked.ratio() > 1.0 && is_wrong(checked.token, checked.output)
        };
        for down in 0..tokens / 16 {
            for across in 0..n_out / 16 {
                let is_wrong = |token, o| [token / 16, o / 16] == [down, across];
                assert!(wrong_at(&is_wrong), "{down} {across}");
            }
        }
        for token in 0..tokens {
            assert!(wrong_at(&|t, _| t == token), "{token}");
        }
        // Of a lane that is wrong in every tile.
        for place in 0..64 {
            assert!(wrong_at(&|t, o| t % 8 * 8 + o % 8 == place), "{place}");
        }
    }

    #[test]
    fn sums_of_small_integers_have_no_error() {
        let numbers = |rows: usize, cols: usize| {
            let numbers = (0..rows * cols).map(|at| (at % 7) as f32 - 3.0);
            Matrix::new(rows, cols, numbers.collect())
        };
        let (w, x) = (PrunedWeights::Dense(numbers(5, 4096)), numbers(3, 4096));
        let reference = ProductReference::of(&w, &x, &Epilogue::NONE).unwrap();
        let mut y = rounded(&w, &x);
        assert_eq!(reference.check(&y, Kernels::Exact).unwrap().ratio(), 0.0);
        // The bound of sums that are rounded forgives it.
        y[7] += 1.0;
        assert!(reference.check(&y, Kernels::Portable).unwrap().ratio() <= 1.0);
        let checked = reference.check(&y, Kernels::Exact).unwrap();
        let fault = checked.fault("ours").unwrap();
        assert!(fault.starts_with("ours: y[1, 2] is "), "{fault}");
    }
}
