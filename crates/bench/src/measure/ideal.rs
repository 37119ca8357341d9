//! The speed-up that skipping work could give at best.

/// Which share of the dense work an operation cannot skip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ideal {
    /// Work in proportion to the density: matmul with sparse weights (N:M: `m / n`), attention over given blocks.
    Density,
    /// XAttention end to end: the kept blocks and the score, which costs `1 / (2 stride)` of the dense attention.
    Xattention {
        /// Tokens of a group of the score.
        stride: usize,
    },
}

impl Ideal {
    /// Best speed-up at `density`, the share of the dense work's weights or blocks that is kept. Infinite where
    /// nothing is left to do.
    #[expect(clippy::cast_precision_loss, reason = "strides are far below 2^52")]
    pub fn speedup(self, density: f64) -> f64 {
        match self {
            Self::Density => 1.0 / density,
            Self::Xattention { stride } => 1.0 / (density + 1.0 / (2.0 * stride as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_eight_is_at_best_four_times_as_fast() {
        assert_eq!(Ideal::Density.speedup(2.0 / 8.0), 4.0);
    }

    #[test]
    fn the_score_limits_xattention() {
        let ideal = Ideal::Xattention { stride: 8 };
        assert_eq!(ideal.speedup(0.1875), 4.0);
        assert_eq!(ideal.speedup(0.0), 16.0);
    }
}
