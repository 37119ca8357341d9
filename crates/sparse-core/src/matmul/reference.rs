//! The sum itself, shared by the dense and the sparse references.

use crate::{Element, Epilogue, MatmulError, MatrixView};

/// A product in f64, with what an error bound needs to know about it. All arrays are row-major `[tokens, n_out]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatmulReference {
    /// Rows of the output: the tokens of `x`, or the sampled ones in the order asked for.
    pub tokens: usize,
    /// Columns of the output.
    pub n_out: usize,
    /// The output, `activation(pre)`.
    pub y: Vec<f64>,
    /// The output before the activation, `sum_k x w + bias`.
    pub pre: Vec<f64>,
    /// `sum_k |x| |w| + |bias|`, what rounding errors before the activation are relative to.
    pub magnitude: Vec<f64>,
}

/// All tokens of `x` times a matrix whose row `o` has the weights `terms(o)`, pairs of `k` and a weight.
///
/// What `terms` leaves out never touches `x`, so an infinity in `x` does not turn into NaN there.
pub(crate) fn multiply<X: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    w_shape: (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    multiply_rows(x, 0..x.rows(), w_shape, epilogue, terms)
}

/// As [`multiply`], of the tokens listed only.
pub(crate) fn multiply_tokens<X: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    tokens: &[usize],
    w_shape: (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    if let Some(&token) = tokens.iter().find(|&&token| token >= x.rows()) {
        return Err(MatmulError::TokenOutOfRange {
            token,
            tokens: x.rows(),
        });
    }
    multiply_rows(x, tokens.iter().copied(), w_shape, epilogue, terms)
}

fn multiply_rows<X: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    tokens: impl ExactSizeIterator<Item = usize>,
    (n_out, k_in): (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    if x.cols() != k_in {
        return Err(MatmulError::InputFeatures {
            x_cols: x.cols(),
            w_cols: k_in,
        });
    }
    if let Some(bias) = epilogue.bias.as_ref().filter(|bias| bias.len() != n_out) {
        return Err(MatmulError::BiasLength {
            n_out,
            actual: bias.len(),
        });
    }
    let token_count = tokens.len();
    let len = token_count
        .checked_mul(n_out)
        .filter(|len| {
            len.checked_mul(size_of::<f64>())
                .is_some_and(|bytes| isize::try_from(bytes).is_ok())
        })
        .ok_or(MatmulError::TooLarge {
            tokens: token_count,
            n_out,
        })?;
    let mut reference = MatmulReference {
        tokens: token_count,
        n_out,
        y: vec![0.0; len],
        pre: vec![0.0; len],
        magnitude: vec![0.0; len],
    };
    if len == 0 {
        return Ok(reference);
    }

    let x_rows: Vec<Vec<f64>> = tokens
        .map(|t| (0..k_in).map(|k| x.get(t, k).to_f64()).collect())
        .collect();
    for o in 0..n_out {
        let weights: Vec<(usize, f64)> = terms(o).collect();
        let bias = epilogue.bias.as_ref().map_or(0.0, |bias| bias[o]);
        for (t, x_row) in x_rows.iter().enumerate() {
            let mut sum = 0.0;
            let mut magnitude = 0.0;
            for &(k, weight) in &weights {
                sum += x_row[k] * weight;
                magnitude += (x_row[k] * weight).abs();
            }
            let output = t * n_out + o;
            reference.pre[output] = sum + bias;
            reference.magnitude[output] = magnitude + bias.abs();
            reference.y[output] = epilogue.activation.apply(reference.pre[output]);
        }
    }
    Ok(reference)
}
