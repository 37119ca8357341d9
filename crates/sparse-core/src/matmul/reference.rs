//! The sum itself, shared by the dense and the sparse references.

use crate::memory::{filled, push, room_for};
use crate::{DType, Element, Epilogue, MatmulError, MatrixView, OutOfMemory};

/// What helps where there is no memory for outputs.
const FEWER_TOKENS: &str = "compute some tokens at a time";
/// What helps where there is no memory for operands.
pub(super) const FEWER_FEATURES: &str = "compute some input features at a time";

/// A product in f64, with what an error bound needs to know about it. All arrays are row-major `[tokens, n_out]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatmulReference {
    /// Rows of the output: the tokens of `x`, or the sampled ones in the order asked for; of single elements how many there are.
    pub tokens: usize,
    /// Columns of the output; 1 for single elements.
    pub n_out: usize,
    /// The output, `activation(pre)`.
    pub y: Vec<f64>,
    /// The output before the activation, `alpha sum_k x w + beta c + bias`.
    pub pre: Vec<f64>,
    /// `|alpha| sum_k |x| |w| + |beta| |c| + |bias|`, what rounding errors before the activation are relative to.
    pub magnitude: Vec<f64>,
    /// What of the magnitude rests on numbers that are subnormal in their storage type, which a device may read as zero: the
    /// products with such a factor, all of them where alpha is one; `|beta| |c|` where beta or c is, and `|bias|`. 0 for other operands.
    pub flushed: Vec<f64>,
    /// Roundings that the epilogue adds to every product's: one for an alpha other than 1, one for an addend.
    pub epilogue_roundings: usize,
    /// `max(1, |alpha|)`, what the epilogue makes of an absolute error of the sum.
    pub epilogue_gain: f64,
}

impl MatmulReference {
    /// Nothing but zeros yet. The caller has checked that so many numbers can be addressed.
    pub(crate) fn zeros(
        tokens: usize,
        n_out: usize,
        epilogue: &Epilogue,
    ) -> Result<Self, OutOfMemory> {
        let what = || format!("an output of {tokens} tokens x {n_out} features");
        let zeros = || filled(tokens * n_out, 0.0, what, FEWER_TOKENS);
        Ok(Self {
            tokens,
            n_out,
            y: zeros()?,
            pre: zeros()?,
            magnitude: zeros()?,
            flushed: zeros()?,
            epilogue_roundings: usize::from(epilogue.alpha != 1.0)
                + usize::from(epilogue.addend.is_some()),
            epilogue_gain: epilogue.alpha.abs().max(1.0),
        })
    }

    /// The output whose products have this `sum`; `[token, o]` are its row and column in the addend.
    pub(crate) fn set(
        &mut self,
        output: usize,
        [token, o]: [usize; 2],
        bias: f64,
        sum: Sum,
        epilogue: &Epilogue,
    ) {
        // A factor of 0 takes nothing, of infinities and NaN neither.
        let scaled = |factor: f64, value: f64| if factor == 0.0 { 0.0 } else { factor * value };
        let if_flushed =
            |is_flushed: bool, magnitude: f64| if is_flushed { magnitude } else { 0.0 };
        // The factors are f32.
        let is_flushed = |factor| DType::F32.is_subnormal(factor);
        let (added, added_flushed) = epilogue.addend.as_ref().map_or((0.0, 0.0), |addend| {
            let (beta, c) = (addend.beta, addend.c[token * addend.shape.1 + o]);
            let added = scaled(beta, c);
            let lost = is_flushed(beta) || addend.dtype.is_subnormal(c);
            (added, if_flushed(lost, added.abs()))
        });
        let alpha = epilogue.alpha;
        let products = scaled(alpha.abs(), sum.magnitude);
        self.pre[output] = scaled(alpha, sum.value) + added + bias;
        self.magnitude[output] = products + added.abs() + bias.abs();
        self.flushed[output] = if is_flushed(alpha) {
            products
        } else {
            scaled(alpha.abs(), sum.flushed)
        } + added_flushed
            + if_flushed(epilogue.bias_dtype.is_subnormal(bias), bias.abs());
        self.y[output] = epilogue.activation.apply(self.pre[output]);
    }
}

/// A sum of products.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    value: f64,
    magnitude: f64,
    /// The magnitude of products with a factor that may be read as zero.
    flushed: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, product: f64, is_flushed: bool) {
        self.value += product;
        self.magnitude += product.abs();
        if is_flushed {
            self.flushed += product.abs();
        }
    }
}

/// All tokens of `x` times a matrix whose row `o` has the weights `terms(o)`, pairs of `k` and a weight.
///
/// What `terms` leaves out never touches `x`, so an infinity in `x` does not turn into NaN there.
pub(crate) fn multiply<X: Element, W: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    w_shape: (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    multiply_rows::<X, W, _>(x, 0..x.rows(), w_shape, epilogue, terms)
}

/// As [`multiply`], of the tokens listed only.
pub(crate) fn multiply_tokens<X: Element, W: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    tokens: &[usize],
    w_shape: (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    check_tokens(x, tokens.iter().copied())?;
    multiply_rows::<X, W, _>(x, tokens.iter().copied(), w_shape, epilogue, terms)
}

/// Whether x has all of `tokens`.
pub(super) fn check_tokens<X: Element>(
    x: MatrixView<'_, X>,
    mut tokens: impl Iterator<Item = usize>,
) -> Result<(), MatmulError> {
    let tokens_of_x = x.rows();
    match tokens.find(|&token| token >= tokens_of_x) {
        Some(token) => Err(MatmulError::TokenOutOfRange {
            token,
            tokens: tokens_of_x,
        }),
        None => Ok(()),
    }
}

/// Whether the operands make a product.
pub(super) fn check_operands<X: Element>(
    x: MatrixView<'_, X>,
    (n_out, k_in): (usize, usize),
    epilogue: &Epilogue,
) -> Result<(), MatmulError> {
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
    let addend = epilogue.addend.as_ref();
    if let Some(addend) = addend.filter(|addend| addend.shape != (x.rows(), n_out)) {
        return Err(MatmulError::AddendShape {
            tokens: x.rows(),
            n_out,
            actual: addend.shape,
        });
    }
    Ok(())
}

fn multiply_rows<X: Element, W: Element, Terms: Iterator<Item = (usize, f64)>>(
    x: MatrixView<'_, X>,
    tokens: impl ExactSizeIterator<Item = usize>,
    (n_out, k_in): (usize, usize),
    epilogue: &Epilogue,
    terms: impl Fn(usize) -> Terms,
) -> Result<MatmulReference, MatmulError> {
    check_operands(x, (n_out, k_in), epilogue)?;
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
    let mut reference = MatmulReference::zeros(token_count, n_out, epilogue)?;
    if len == 0 {
        return Ok(reference);
    }

    // Views may repeat what they hold, so that neither operand need be as small as what it is made from.
    let (what_x, what_w) = (
        || format!("an input of {token_count} tokens x {k_in} features in f64"),
        || format!("a weight row of {k_in} features in f64"),
    );
    let mut x_rows = room_for(token_count, what_x, FEWER_TOKENS)?;
    for token in tokens {
        let mut x_row: Vec<f64> = room_for(k_in, what_x, FEWER_FEATURES)?;
        x_row.extend((0..k_in).map(|k| x.get(token, k).to_f64()));
        let any_flushed = x_row.iter().any(|&x| X::DTYPE.is_subnormal(x));
        x_rows.push((token, x_row, any_flushed));
    }
    let mut weights: Vec<(usize, f64)> = Vec::new();
    for o in 0..n_out {
        weights.clear();
        for term in terms(o) {
            push(&mut weights, term, what_w, FEWER_FEATURES)?;
        }
        let any_weight_flushed = weights.iter().any(|&(_, w)| W::DTYPE.is_subnormal(w));
        let bias = epilogue.bias.as_ref().map_or(0.0, |bias| bias[o]);
        for (sample, (token, x_row, any_x_flushed)) in x_rows.iter().enumerate() {
            let mut sum = Sum::default();
            // Subnormal numbers are rare, and to look for them takes as long as the products.
            let any_flushed = any_weight_flushed || *any_x_flushed;
            for &(k, weight) in &weights {
                let x = x_row[k];
                let is_flushed =
                    any_flushed && (X::DTYPE.is_subnormal(x) || W::DTYPE.is_subnormal(weight));
                sum.add(x * weight, is_flushed);
            }
            let output = sample * n_out + o;
            reference.set(output, [*token, o], bias, sum, epilogue);
        }
    }
    Ok(reference)
}

/// What each of `cols` columns has, top to bottom, of a matrix whose row `r` has `terms(r)`, pairs of a column and a weight.
pub(crate) fn columns<Terms: Iterator<Item = (usize, f64)>>(
    rows: usize,
    cols: usize,
    terms: impl Fn(usize) -> Terms,
) -> Result<Vec<Vec<(usize, f64)>>, OutOfMemory> {
    let what = || format!("the columns of a {rows} x {cols} matrix in f64");
    let mut columns = filled(cols, Vec::new(), what, "split the matrix")?;
    // Without columns no row has anything, however many rows there are.
    for row in 0..if cols == 0 { 0 } else { rows } {
        for (column, weight) in terms(row) {
            push(
                &mut columns[column],
                (row, weight),
                what,
                "split the matrix",
            )?;
        }
    }
    Ok(columns)
}
