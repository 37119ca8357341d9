//! In which ways the stored weights of four neighbouring columns can lie: what `walks/nm_branch.wgsl` branches on.

use serde::Serialize;

/// The patterns of a quad, four neighbouring columns that begin at a multiple of four; of N:M weights whose groups divide it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct QuadPatterns {
    /// Quads that four stored weights of a row cover.
    pub(crate) per_step: usize,
    /// Stored weights of a quad.
    pub(crate) weights: usize,
    /// Bits of their packed indices.
    pub(crate) bits: u32,
    /// Every way in which they can lie, by ascending code.
    pub(crate) patterns: Vec<QuadPattern>,
}

/// One way in which the stored weights of a quad can lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct QuadPattern {
    /// Their packed indices, the first in the lowest bits.
    pub(crate) code: u32,
    /// Their columns in the quad, ascending.
    pub(crate) columns: Vec<usize>,
}

impl QuadPatterns {
    /// Of groups of `m` columns, 2 or 4, with `n` stored.
    pub(crate) fn new(n: usize, m: usize, index_bits: u32) -> Self {
        let weights = 4 / m * n;
        let mut patterns = vec![QuadPattern {
            code: 0,
            columns: Vec::new(),
        }];
        for weight in 0..weights {
            let group = weight / n;
            patterns = patterns
                .iter()
                .flat_map(|before| {
                    // Indices ascend within a group.
                    let first = before.columns.iter().map(|column| column + 1).max();
                    let first = first.unwrap_or(0).max(group * m);
                    (first..(group + 1) * m).map(|column| {
                        let index = u32::try_from(column - group * m).unwrap_or(0);
                        let shift = index_bits * u32::try_from(weight).unwrap_or(0);
                        QuadPattern {
                            code: before.code | index << shift,
                            columns: [before.columns.as_slice(), &[column]].concat(),
                        }
                    })
                })
                .collect();
        }
        patterns.sort();
        Self {
            per_step: 4 / weights,
            weights,
            bits: index_bits * u32::try_from(weights).unwrap_or(0),
            patterns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(n: usize, m: usize, index_bits: u32) -> Vec<(u32, Vec<usize>)> {
        let quad = QuadPatterns::new(n, m, index_bits);
        assert_eq!(quad.per_step * quad.weights, 4);
        assert_eq!(quad.bits, index_bits * u32::try_from(quad.weights).unwrap());
        let pairs = quad.patterns.into_iter().map(|p| (p.code, p.columns));
        pairs.collect()
    }

    #[test]
    fn two_of_four_lie_in_six_ways() {
        let expected = [
            (0b0100, vec![0, 1]),
            (0b1000, vec![0, 2]),
            (0b1001, vec![1, 2]),
            (0b1100, vec![0, 3]),
            (0b1101, vec![1, 3]),
            (0b1110, vec![2, 3]),
        ];
        assert_eq!(patterns(2, 4, 2), expected);
    }

    #[test]
    fn one_of_four_and_twice_one_of_two_lie_in_four_ways() {
        let expected = [(0, vec![0]), (1, vec![1]), (2, vec![2]), (3, vec![3])];
        assert_eq!(patterns(1, 4, 2), expected);
        let expected = [
            (0b00, vec![0, 2]),
            (0b01, vec![1, 2]),
            (0b10, vec![0, 3]),
            (0b11, vec![1, 3]),
        ];
        assert_eq!(patterns(1, 2, 1), expected);
    }
}
