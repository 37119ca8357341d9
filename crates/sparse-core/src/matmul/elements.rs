//! Single elements of a product, wherever they lie: samples of one that is too large to compute.

use super::reference::{FEWER_FEATURES, check_operands, check_tokens};
use crate::matmul::Sum;
use crate::memory::push;
use crate::{Element, Epilogue, MatmulError, MatmulReference, MatrixView};

/// The elements `[token, output]` of `x` times a matrix whose row `o` has the weights `terms(o)`, pairs of `k` and a weight.
pub(crate) fn multiply_elements<X: Element, W: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    elements: &[[usize; 2]],
    (n_out, k_in): (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    check_operands(x, (n_out, k_in), epilogue)?;
    check_tokens(x, elements.iter().map(|&[token, _]| token))?;
    if let Some(&[_, output]) = elements.iter().find(|&&[_, output]| output >= n_out) {
        return Err(MatmulError::OutputOutOfRange { output, n_out });
    }
    let what_w = || format!("a weight row of {k_in} features in f64");
    let mut reference = MatmulReference::zeros(elements.len(), 1, epilogue)?;
    let mut weights: Vec<(usize, f64)> = Vec::new();
    let mut any_weight_flushed = false;
    let mut row_of = None;
    for (at, &[token, o]) in elements.iter().enumerate() {
        // Elements of one output mostly follow each other, and its weights are widened once for them.
        if row_of != Some(o) {
            weights.clear();
            for term in terms(o) {
                push(&mut weights, term, what_w, FEWER_FEATURES)?;
            }
            any_weight_flushed = weights.iter().any(|&(_, w)| W::DTYPE.is_subnormal(w));
            row_of = Some(o);
        }
        let mut sum = Sum::default();
        for &(k, weight) in &weights {
            let x = x.get(token, k).to_f64();
            let is_flushed =
                X::DTYPE.is_subnormal(x) || any_weight_flushed && W::DTYPE.is_subnormal(weight);
            sum.add(x * weight, is_flushed);
        }
        let bias = epilogue.bias.as_ref().map_or(0.0, |bias| bias[o]);
        reference.set(at, [token, o], bias, sum, epilogue);
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bsr::{bsr_matmul, bsr_matmul_elements};
    use crate::matmul::{dense_matmul, dense_matmul_elements};
    use crate::nm::{nm_matmul, nm_matmul_elements};
    use crate::synthetic::normal_matrix;
    use crate::{Activation, BlockBudget, BsrMatrix, Matrix, Nm, NmMatrix};

    /// Out of order, the last of each side, and one twice.
    const ELEMENTS: [[usize; 2]; 5] = [[4, 8], [0, 3], [2, 3], [1, 0], [2, 3]];

    #[test]
    fn elements_are_those_of_the_whole() {
        let x: Matrix<f32> = normal_matrix(5, 12, 1).unwrap();
        let mut w: Matrix<f32> = normal_matrix(9, 12, 2).unwrap();
        // One that a device may read as zero.
        w.data_mut()[3 * 12 + 5] = 1e-39;
        let c: Matrix<f32> = normal_matrix(5, 9, 3).unwrap();
        let bias: Vec<f32> = (0..9_u8).map(f32::from).collect();
        let epilogue = Epilogue::NONE.with_alpha(0.5).with_bias(&bias);
        let epilogue = epilogue.with_addend(2.0, &c).unwrap();
        let epilogue = &epilogue.with_activation(Activation::Silu);
        let nm = NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap();
        let bsr = BsrMatrix::prune(&w, (4, 4), BlockBudget::Density(0.5)).unwrap();
        for (whole, some) in [
            (
                dense_matmul(&x, &w, epilogue),
                dense_matmul_elements(&x, &w, epilogue, &ELEMENTS),
            ),
            (
                nm_matmul(&x, &nm, epilogue),
                nm_matmul_elements(&x, &nm, epilogue, &ELEMENTS),
            ),
            (
                bsr_matmul(&x, &bsr, epilogue),
                bsr_matmul_elements(&x, &bsr, epilogue, &ELEMENTS),
            ),
        ] {
            let (whole, some) = (whole.unwrap(), some.unwrap());
            let of = |numbers: &[f64]| ELEMENTS.map(|[token, o]| numbers[token * 9 + o]).to_vec();
            let expected = MatmulReference {
                tokens: 5,
                n_out: 1,
                y: of(&whole.y),
                pre: of(&whole.pre),
                magnitude: of(&whole.magnitude),
                flushed: of(&whole.flushed),
                ..whole
            };
            assert_eq!(some, expected);
        }
    }

    #[test]
    fn elements_that_do_not_exist_are_refused() {
        let x: Matrix<f32> = normal_matrix(5, 12, 1).unwrap();
        let w: Matrix<f32> = normal_matrix(9, 12, 2).unwrap();
        let refusal = |element| dense_matmul_elements(&x, &w, &Epilogue::NONE, &[[0, 0], element]);
        assert_eq!(
            refusal([5, 0]).unwrap_err(),
            MatmulError::TokenOutOfRange {
                token: 5,
                tokens: 5
            }
        );
        let error = refusal([0, 9]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "output 9 was asked for, but w has 9 rows"
        );
    }
}
