//! Dot products in f64 with the magnitudes that error bounds need.

use crate::{DType, Element, Tensor};

/// `sum a_d b_d`, and `sum |a_d b_d|`, what rounding errors of that sum are proportional to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dot {
    pub(crate) value: f64,
    pub(crate) magnitude: f64,
    /// What of the magnitude has a factor that is subnormal in its storage type, which a device may read as zero.
    pub(crate) flushed: f64,
}

impl Dot {
    /// Of two tokens.
    pub(crate) fn of(a: Token<'_>, b: Token<'_>) -> Self {
        let mut dot = Self::of_normal(a.values, b.values);
        // Subnormal numbers are rare, and to look for them takes as long as the products.
        if a.any_subnormal || b.any_subnormal {
            let pairs = a.values.iter().zip(b.values);
            let flushed = pairs.filter(|&(&x, &y)| a.is_flushed(x) || b.is_flushed(y));
            dot.flushed = flushed.map(|(x, y)| (x * y).abs()).sum();
        }
        dot
    }

    fn of_normal(a: &[f64], b: &[f64]) -> Self {
        // Independent partial sums: the compiler may not reorder one long f64 sum, and a reference that takes
        // minutes is run too seldom.
        const LANES: usize = 8;
        let mut value = [0.0_f64; LANES];
        let mut magnitude = [0.0_f64; LANES];
        let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let tail = a_chunks.remainder().iter().zip(b_chunks.remainder());
        for (a, b) in a_chunks.zip(b_chunks) {
            for lane in 0..LANES {
                let product = a[lane] * b[lane];
                value[lane] += product;
                magnitude[lane] += product.abs();
            }
        }
        for (lane, (a, b)) in tail.enumerate() {
            value[lane] += a * b;
            magnitude[lane] += (a * b).abs();
        }
        Self {
            value: value.iter().sum(),
            magnitude: magnitude.iter().sum(),
            flushed: 0.0,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.value += other.value;
        self.magnitude += other.magnitude;
        self.flushed += other.flushed;
    }

    /// Times a factor that is not negative.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            value: factor * self.value,
            magnitude: factor * self.magnitude,
            flushed: factor * self.flushed,
        }
    }
}

/// The numbers of one head of a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) values: &'a [f64],
    dtype: DType,
    /// Whether there is a number that a device may read as zero.
    pub(crate) any_subnormal: bool,
}

impl Token<'_> {
    /// Whether a device may read `value`, one of the token's, as zero.
    pub(crate) fn is_flushed(self, value: f64) -> bool {
        self.dtype.is_subnormal(value)
    }
}

/// One head of a `[batch, heads, tokens, head_dim]` tensor, widened once.
#[derive(Debug)]
pub(crate) struct HeadRows {
    head_dim: usize,
    dtype: DType,
    data: Vec<f64>,
    any_subnormal: Vec<bool>,
}

impl HeadRows {
    /// `tensor` must have rank 4 and the head must exist.
    pub(crate) fn new<T: Element>(tensor: &Tensor<T>, batch: usize, head: usize) -> Self {
        let [_, heads, tokens, head_dim] = [0, 1, 2, 3].map(|axis| tensor.shape()[axis]);
        let len = tokens * head_dim;
        let start = (batch * heads + head) * len;
        let dtype = T::DTYPE;
        let data: Vec<f64> = tensor.data()[start..start + len]
            .iter()
            .map(|x| x.to_f64())
            .collect();
        let any_subnormal = (0..tokens)
            .map(|token| {
                let mut values = data[token * head_dim..(token + 1) * head_dim].iter();
                values.any(|&x| dtype.is_subnormal(x))
            })
            .collect();
        Self {
            head_dim,
            dtype,
            data,
            any_subnormal,
        }
    }

    pub(crate) fn token(&self, token: usize) -> Token<'_> {
        Token {
            values: &self.data[token * self.head_dim..(token + 1) * self.head_dim],
            dtype: self.dtype,
            any_subnormal: self.any_subnormal[token],
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn a_dot_product_counts_every_element_of_any_length() {
        for len in 0..35 {
            let a: Vec<f64> = (0..len).map(|i| f64::from(i) - 9.0).collect();
            let b: Vec<f64> = (0..len).map(|i| f64::from(2 * i + 1)).collect();
            let dot = Dot::of_normal(&a, &b);
            let value: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let magnitude: f64 = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
            assert_eq!((dot.value, dot.magnitude), (value, magnitude), "len {len}");
        }
    }

    #[test]
    fn products_with_a_subnormal_factor_are_counted_by_the_type_of_each() {
        fn head<T: Element>(values: [f64; 4]) -> HeadRows {
            let values = values.map(T::from_f64).to_vec();
            HeadRows::new(&Tensor::new(vec![1, 1, 2, 2], values), 0, 0)
        }
        // 2^-15 is subnormal in f16 only.
        let small = 2.0_f64.powi(-15);
        let numbers = [small, -2.0, 3.0, 4.0];
        let (halves, singles) = (head::<f16>(numbers), head::<f32>(numbers));
        let flushed = |a: &HeadRows, b: &HeadRows, token| {
            Dot::of(a.token(0), b.token(token)).times(2.0).flushed
        };
        assert_eq!(flushed(&halves, &singles, 1), 2.0 * 3.0 * small);
        assert_eq!(flushed(&singles, &halves, 1), 0.0);
        assert_eq!(flushed(&singles, &halves, 0), 2.0 * small * small);
        let mut both = Dot::of(halves.token(0), halves.token(1));
        both.add(both);
        assert_eq!(both.flushed, 2.0 * 3.0 * small);
    }
}
