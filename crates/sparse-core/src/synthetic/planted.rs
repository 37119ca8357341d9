//! Attention inputs with planted structure, so that block-sparse attention has something to find.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::normal_tensor;
use super::planted_head::HeadPlan;
use crate::attention::AttentionShape;
use crate::{Element, ShapeError, Tensor};

/// Inputs that cannot be planted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlantedError {
    /// Too few dimensions to keep the patterns apart.
    #[error("head dimension {head_dim} has no room for planted patterns; give at least {min}")]
    HeadDim {
        /// The head dimension asked for.
        head_dim: usize,
        /// The smallest possible.
        min: usize,
    },
    /// A density that is no share.
    #[error("density {density} is not a share of the blocks; give a number above 0, up to 1")]
    Density {
        /// The density asked for.
        density: f64,
    },
    /// The tensors are too large.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Seeded q, k and v whose causal attention is block-sparse.
///
/// Every query looks at the first few keys (sinks) and at its near past (window). Queries of even heads look at vertical stripes of 32 keys as well, those of odd heads at the
/// keys a fixed distance back (a slash) and at other stripes. Stripes are added until about
/// `density` of the blocks of 128 x 128 tokens that a causal query can reach matter; sinks and diagonal alone
/// are a share of `4 / blocks per row` that cannot be undercut. v and the background are normal.
///
/// ```
/// use sparse_core::attention::AttentionShape;
/// use sparse_core::synthetic::PlantedAttention;
/// let shape = AttentionShape::try_new(1, 4, 2, 512, 512, 32)?;
/// let inputs = PlantedAttention { shape, density: 0.5, seed: 1 }.generate::<f32>()?;
/// assert_eq!(inputs.q.shape(), [1, 4, 512, 32]);
/// assert_eq!(inputs.k.shape(), [1, 2, 512, 32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlantedAttention {
    /// Sizes. Queries stand at the end of the keys.
    pub shape: AttentionShape,
    /// Share of the causally reachable blocks that should matter, above 0, up to 1.
    pub density: f64,
    /// The same seed gives the same tensors.
    pub seed: u64,
}

/// Inputs of attention: q `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionInputs<T> {
    /// Queries.
    pub q: Tensor<T>,
    /// Keys.
    pub k: Tensor<T>,
    /// Values.
    pub v: Tensor<T>,
}

impl PlantedAttention {
    /// The smallest head dimension.
    pub const MIN_HEAD_DIM: usize = 16;

    /// Makes the tensors, rounded to `T`.
    ///
    /// # Errors
    /// [`PlantedError`], the first rule broken.
    pub fn generate<T: Element>(&self) -> Result<AttentionInputs<T>, PlantedError> {
        let (head_dim, min) = (self.shape.head_dim(), Self::MIN_HEAD_DIM);
        if head_dim < min {
            return Err(PlantedError::HeadDim { head_dim, min });
        }
        if !(self.density > 0.0 && self.density <= 1.0) {
            let density = self.density;
            return Err(PlantedError::Density { density });
        }
        let [q_shape, kv_shape] = [self.shape.q_shape(), self.shape.kv_shape()].map(Vec::from);
        let mut seeds = ChaCha8Rng::seed_from_u64(self.seed);
        let v = normal_tensor(kv_shape.clone(), seeds.random())?;
        let (mut q, mut k) = (Tensor::zeros(q_shape)?, Tensor::zeros(kv_shape)?);
        let shape = &self.shape;
        let q_group = shape.q_heads() / shape.kv_heads();
        let (q_size, k_size) = (shape.q_len() * head_dim, shape.k_len() * head_dim);
        for kv_head in 0..shape.batch() * shape.kv_heads() {
            let plan = HeadPlan::new(self, seeds.random());
            let start = kv_head * k_size;
            plan.fill_keys(&mut k.data_mut()[start..start + k_size], seeds.random());
            for q_head in kv_head * q_group..(kv_head + 1) * q_group {
                let start = q_head * q_size;
                let out = &mut q.data_mut()[start..start + q_size];
                let parity = q_head % shape.q_heads() % 2;
                plan.fill_queries(out, shape.q_len(), parity, seeds.random());
            }
        }
        Ok(AttentionInputs { q, k, v })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{AttentionOptions, block_attention_of_queries};
    use crate::mask::BlockMask;
    use crate::xattention::{XAttentionOptions, xattention_score, xattention_select};

    fn planted(tokens: usize, density: f64) -> (AttentionInputs<f32>, BlockMask) {
        let shape = AttentionShape::try_new(1, 4, 2, tokens, tokens, 64).unwrap();
        let seed = 1;
        let inputs = PlantedAttention {
            shape,
            density,
            seed,
        }
        .generate()
        .unwrap();
        let options = XAttentionOptions {
            stride: 16,
            ..XAttentionOptions::default()
        };
        let scores = xattention_score(&inputs.q, &inputs.k, &options).unwrap();
        let mask = xattention_select(&scores.scores, &options.layout(shape).unwrap()).unwrap();
        (inputs, mask)
    }

    /// Of the blocks that causal attention can reach.
    fn density_of(mask: &BlockMask) -> f64 {
        let blocks = mask.q_blocks();
        let reachable = mask.heads() * blocks * (blocks + 1) / 2;
        f64::from(u32::try_from(mask.count()).unwrap())
            / f64::from(u32::try_from(reachable).unwrap())
    }

    #[test]
    fn xattention_finds_the_density_that_was_planted() {
        for (tokens, wanted, range) in [
            (2048, 0.3, 0.25..=0.35),
            (4096, 0.15, 0.12..=0.18),
            (4096, 0.3, 0.25..=0.33),
        ] {
            let density = density_of(&planted(tokens, wanted).1);
            let case = format!("{tokens} tokens, {wanted} planted: {density}");
            assert!(range.contains(&density), "{case}");
        }
    }

    #[test]
    fn attention_over_the_found_blocks_is_close_to_dense() {
        let (AttentionInputs { q, k, v }, mask) = planted(4096, 0.15);
        let queries: Vec<usize> = (31..4096).step_by(64).collect();
        let options = AttentionOptions::default();
        let [sparse, dense] = [Some(&mask), None].map(|mask| {
            block_attention_of_queries(&q, &k, &v, mask, &options, &queries)
                .unwrap()
                .out
        });
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        let error = norm(&mut sparse.iter().zip(&dense).map(|(a, b)| a - b));
        let relative = error / norm(&mut dense.iter().copied());
        assert!(relative < 0.2, "{relative}");
        // The dropped background is there: an error of 0 would mean that nothing was dropped.
        assert!(relative > 0.01, "{relative}");
    }

    #[test]
    fn every_length_can_be_planted() {
        for (q_len, k_len) in [(0, 0), (0, 5), (1, 1), (7, 130), (300, 129), (129, 300)] {
            let shape = AttentionShape::try_new(2, 2, 1, q_len, k_len, 16).unwrap();
            let inputs = PlantedAttention {
                shape,
                density: 1.0,
                seed: 3,
            }
            .generate::<f32>()
            .unwrap();
            assert_eq!(inputs.q.shape(), shape.q_shape());
            assert!(
                inputs
                    .q
                    .data()
                    .iter()
                    .chain(inputs.k.data())
                    .all(|x| x.is_finite())
            );
        }
    }

    #[test]
    fn every_broken_rule_has_its_own_error() {
        let planted = |head_dim, density| {
            let shape = AttentionShape::try_new(1, 1, 1, 8, 8, head_dim).unwrap();
            PlantedAttention {
                shape,
                density,
                seed: 0,
            }
            .generate::<f32>()
            .map(|_| ())
        };
        let (head_dim, min) = (15, 16);
        assert_eq!(
            planted(head_dim, 0.5),
            Err(PlantedError::HeadDim { head_dim, min })
        );
        for density in [0.0, 1.5] {
            assert_eq!(planted(16, density), Err(PlantedError::Density { density }));
        }
    }
}
