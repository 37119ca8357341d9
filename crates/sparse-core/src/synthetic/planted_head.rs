//! One head of planted attention inputs.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Normal;
use super::planted::PlantedAttention;
use crate::Element;

/// Feature dimensions of a head: sink, two sets of stripes; the rest is a position code.
const SINK: usize = 0;
const STRIPES: [usize; 2] = [1, 2];
const POSITION: usize = 3;

/// Tokens of a block. Distances of slashes are whole blocks, and a stripe lies inside one, so that the density is the planted one.
const BLOCK: usize = 128;
/// Sink keys, at the start.
const SINK_KEYS: usize = 4;
/// Keys of a stripe: it holds a whole group of 16 wherever it starts.
const STRIPE_KEYS: usize = 32;
/// Position codes forget in about this many tokens.
const CODE_LENGTH: f64 = 64.0;
/// Noise of every feature.
const KEY_NOISE: f64 = 0.05;
const QUERY_NOISE: f64 = 0.5;

/// What the keys of one key/value head hold.
pub(super) struct HeadPlan {
    head_dim: usize,
    /// Logit of a planted pair.
    strength: f64,
    /// `[k_len, head_dim - POSITION]`, each token of norm `sqrt(head_dim - POSITION)`.
    codes: Vec<f64>,
    /// Per set, whether a key is in a stripe.
    stripes: [Vec<bool>; 2],
    /// Distance of the slash of odd heads, in tokens.
    slash: Option<usize>,
}

impl HeadPlan {
    #[expect(
        clippy::cast_precision_loss,
        reason = "token and block counts are at most 2^30"
    )]
    pub(super) fn new(planted: &PlantedAttention, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (k_len, head_dim) = (planted.shape.k_len(), planted.shape.head_dim());
        let blocks = k_len.div_ceil(BLOCK);
        let reachable = (blocks * (blocks + 1) / 2) as f64;
        let forced = (2 * blocks).saturating_sub(1) as f64;
        let budget = planted.density * reachable - forced;
        // A slash `m` blocks back meets one block in each row from `m + 1` on that is not forced already.
        let distance = blocks / 2 + rng.random_range(0..=blocks / 8);
        let slash_cost = blocks.saturating_sub(distance + 1) as f64;
        let slash = (slash_cost > 0.0 && slash_cost <= budget).then_some(distance * BLOCK);
        let mut stripe_set = |budget| plan_stripes(k_len, budget, &mut rng);
        let stripes = [
            stripe_set(budget),
            stripe_set(budget - slash.map_or(0.0, |_| slash_cost)),
        ];
        Self {
            head_dim,
            // The background has k_len keys of logit about 0; planted keys must outweigh all of them together.
            strength: (k_len.max(2) as f64).ln() + 3.5,
            codes: position_codes(k_len, head_dim - POSITION, rng.random()),
            stripes,
            slash,
        }
    }

    fn code(&self, token: usize) -> &[f64] {
        let dim = self.head_dim - POSITION;
        &self.codes[token * dim..(token + 1) * dim]
    }

    /// Keys hold every feature at strength 1.
    pub(super) fn fill_keys<T: Element>(&self, keys: &mut [T], seed: u64) {
        let mut noise = Normal::new(seed);
        for (token, key) in keys.chunks_exact_mut(self.head_dim).enumerate() {
            let mut features = vec![0.0; self.head_dim];
            features[SINK] = f64::from(token < SINK_KEYS);
            for (set, dim) in STRIPES.into_iter().enumerate() {
                features[dim] = f64::from(self.stripes[set][token]);
            }
            // Keys that all queries look at alike have no position: chance products of two codes would otherwise
            // make some stripes matter many times more than others.
            if features[..POSITION].iter().all(|&x| x == 0.0) {
                features[POSITION..].copy_from_slice(self.code(token));
            }
            for (x, feature) in key.iter_mut().zip(features) {
                *x = T::from_f64(feature + KEY_NOISE * noise.next());
            }
        }
    }

    /// Queries hold each feature at the strength that makes `strength` of `<q, k> / sqrt(head_dim)`.
    #[expect(clippy::cast_precision_loss, reason = "a head dimension is small")]
    pub(super) fn fill_queries<T: Element>(
        &self,
        queries: &mut [T],
        q_len: usize,
        parity: usize,
        seed: u64,
    ) {
        let mut noise = Normal::new(seed);
        let logit = (self.head_dim as f64).sqrt() * self.strength;
        let code_logit = logit / (self.head_dim - POSITION) as f64;
        let k_len = self.stripes[0].len();
        for (t, query) in queries.chunks_exact_mut(self.head_dim).enumerate() {
            let mut features = vec![0.0; self.head_dim];
            features[SINK] = logit;
            features[STRIPES[parity]] = logit;
            // Queries before the first key have no position of their own.
            if let Some(position) = (t + k_len).checked_sub(q_len) {
                let slash = self.slash.filter(|_| parity == 1);
                let back = slash.and_then(|slash| position.checked_sub(slash));
                for place in [Some(position), back].into_iter().flatten() {
                    for (feature, code) in features[POSITION..].iter_mut().zip(self.code(place)) {
                        *feature += code_logit * code;
                    }
                }
            }
            for (x, feature) in query.iter_mut().zip(features) {
                *x = T::from_f64(feature + QUERY_NOISE * noise.next());
            }
        }
    }
}

/// Stripes in random blocks until they meet about `budget` blocks that are not forced already.
#[expect(clippy::cast_precision_loss, reason = "block counts are small")]
fn plan_stripes(k_len: usize, budget: f64, rng: &mut ChaCha8Rng) -> Vec<bool> {
    let blocks = k_len.div_ceil(BLOCK);
    let mut in_stripe = vec![false; k_len];
    let mut order: Vec<usize> = (1..blocks).collect();
    order.shuffle(rng);
    let mut left = budget;
    for block in order {
        // The rows below the diagonal of that block.
        let rows = (blocks - 1 - block) as f64;
        if rows > left {
            continue;
        }
        left -= rows;
        let start = block * BLOCK + rng.random_range(0..=BLOCK - STRIPE_KEYS);
        let end = (start + STRIPE_KEYS).min(k_len);
        in_stripe[start.min(end)..end].fill(true);
    }
    in_stripe
}

/// A random walk on the sphere: near tokens have similar codes, far ones unrelated codes.
#[expect(clippy::cast_precision_loss, reason = "a head dimension is small")]
fn position_codes(tokens: usize, dim: usize, seed: u64) -> Vec<f64> {
    let mut normal = Normal::new(seed);
    let keep = (-1.0 / CODE_LENGTH).exp();
    let step = (1.0 - keep * keep).sqrt();
    let mut walk: Vec<f64> = (0..dim).map(|_| normal.next()).collect();
    let mut codes = Vec::with_capacity(tokens * dim);
    for _ in 0..tokens {
        for x in &mut walk {
            *x = keep * *x + step * normal.next();
        }
        let norm = walk.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = (dim as f64).sqrt() / norm;
        codes.extend(walk.iter().map(|x| x * scale));
    }
    codes
}
