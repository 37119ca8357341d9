//! Dot products in f64 with the magnitude that error bounds need.

use crate::{Element, Tensor};

/// `sum a_d b_d`, and `sum |a_d b_d|`, what rounding errors of that sum are proportional to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dot {
    pub(crate) value: f64,
    pub(crate) magnitude: f64,
}

impl Dot {
    pub(crate) fn of(a: &[f64], b: &[f64]) -> Self {
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
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.value += other.value;
        self.magnitude += other.magnitude;
    }
}

/// One head of a `[batch, heads, tokens, head_dim]` tensor, widened once.
#[derive(Debug)]
pub(crate) struct HeadRows {
    head_dim: usize,
    data: Vec<f64>,
}

impl HeadRows {
    /// `tensor` must have rank 4 and the head must exist.
    pub(crate) fn new<T: Element>(tensor: &Tensor<T>, batch: usize, head: usize) -> Self {
        let [_, heads, tokens, head_dim] = [0, 1, 2, 3].map(|axis| tensor.shape()[axis]);
        let len = tokens * head_dim;
        let start = (batch * heads + head) * len;
        Self {
            head_dim,
            data: tensor.data()[start..start + len]
                .iter()
                .map(|x| x.to_f64())
                .collect(),
        }
    }

    pub(crate) fn token(&self, token: usize) -> &[f64] {
        &self.data[token * self.head_dim..(token + 1) * self.head_dim]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_counts_every_element_of_any_length() {
        for len in 0..35 {
            let a: Vec<f64> = (0..len).map(|i| f64::from(i) - 9.0).collect();
            let b: Vec<f64> = (0..len).map(|i| f64::from(2 * i + 1)).collect();
            let dot = Dot::of(&a, &b);
            let value: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let magnitude: f64 = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
            assert_eq!((dot.value, dot.magnitude), (value, magnitude), "len {len}");
        }
    }
}
