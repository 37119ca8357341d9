//! The speed-up that skipping work could give at best.

use crate::Attended;

/// Which share of the dense work an operation cannot skip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ideal {
    /// What is kept: of the weights, or of the pairs of a query and a key that attention looks at. Those are not the blocks: under a causal mask a
    /// block on the diagonal holds half as many pairs as another one, in dense attention too, and nearly every mask keeps all of these.
    Kept,
    /// XAttention end to end: what is kept, and the score, which costs `1 / (2 stride)` of the dense attention of the heads that are scored.
    Xattention {
        /// Tokens of a group of the score.
        stride: usize,
        /// Share of the heads that are scored; of items of different lengths, the share of their dense work that is done by such heads.
        scored: f64,
    },
}

impl Ideal {
    /// XAttention of several items: for each what its dense attention looks at, and the share of its heads that are scored.
    pub fn of_items(stride: usize, items: impl IntoIterator<Item = (Attended, f64)>) -> Self {
        let (mut all, mut scored) = (0.0, 0.0);
        for (dense, share) in items {
            all += dense.pairs;
            scored += share * dense.pairs;
        }
        Self::Xattention {
            stride,
            scored: if all > 0.0 { scored / all } else { 0.0 },
        }
    }

    /// Best speed-up where the share `kept` of the dense work is kept. Infinite where nothing is left to do.
    pub fn speedup(self, kept: f64) -> f64 {
        1.0 / (kept + self.beside())
    }

    /// The share of the dense work that is kept where this is the best speed-up.
    pub fn kept(self, speedup: f64) -> f64 {
        1.0 / speedup - self.beside()
    }

    /// The share of the dense work that finding out what is kept takes.
    #[expect(clippy::cast_precision_loss, reason = "strides are far below 2^52")]
    pub fn beside(self) -> f64 {
        match self {
            Self::Kept => 0.0,
            Self::Xattention { stride, scored } => scored / (2.0 * stride as f64),
        }
    }

    /// The share of the heads that are scored, or of the dense work of all items.
    pub fn scored(self) -> f64 {
        match self {
            Self::Kept => 0.0,
            Self::Xattention { scored, .. } => scored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_eight_is_at_best_four_times_as_fast() {
        assert_eq!(Ideal::Kept.speedup(2.0 / 8.0), 4.0);
    }

    #[test]
    fn the_score_limits_xattention() {
        let ideal = |scored| Ideal::Xattention { stride: 8, scored };
        assert_eq!(ideal(1.0).speedup(0.1875), 4.0);
        assert_eq!(ideal(1.0).speedup(0.0), 16.0);
        assert_eq!(ideal(1.0).kept(4.0), 0.1875);
        // Heads that are not scored cost nothing beside what they keep.
        assert_eq!(ideal(0.5).speedup(0.09375), 8.0);
        assert_eq!(ideal(0.0).speedup(0.25), 4.0);
    }

    #[test]
    fn only_items_that_are_scored_pay_for_scores() {
        let dense = |pairs| Attended { pairs, keys: 7.0 };
        let of = |items: &[(Attended, f64)]| Ideal::of_items(4, items.iter().copied());
        // Of 40 pairs 30 are of an item whose heads are scored, and 8 of one of which half are.
        let ideal = of(&[(dense(30.0), 1.0), (dense(2.0), 0.0), (dense(8.0), 0.5)]);
        assert_eq!(ideal.scored(), 34.0 / 40.0);
        assert_eq!(ideal.beside(), 34.0 / 320.0);
        assert_eq!(ideal.speedup(46.0 / 320.0), 4.0);
        // Nothing is scored, or there is nothing.
        assert_eq!(of(&[(dense(3.0), 0.0)]).speedup(1.0), 1.0);
        assert_eq!(of(&[(dense(0.0), 1.0)]).scored(), 0.0);
        assert_eq!(of(&[]).scored(), 0.0);
    }
}
