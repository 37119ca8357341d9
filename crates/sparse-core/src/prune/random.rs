//! Seeded choices without replacement.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of choices; the same seed gives the same choices on every machine.
#[derive(Debug)]
pub(crate) struct Chooser {
    rng: ChaCha8Rng,
}

impl Chooser {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Exactly `count` of `0..len` (all, where there are fewer), each set equally likely, in random order.
    pub(crate) fn choose(&mut self, len: usize, count: usize) -> Vec<usize> {
        self.choose_of((0..len).collect(), count)
    }

    /// As [`Chooser::choose`], of `all`.
    pub(crate) fn choose_of(&mut self, mut all: Vec<usize>, count: usize) -> Vec<usize> {
        let len = all.len();
        let count = count.min(len);
        for i in 0..count {
            let j = self.rng.random_range(i..len);
            all.swap(i, j);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_equally_likely() {
        let mut chooser = Chooser::new(7);
        let mut seen = [0_u32; 16];
        for _ in 0..6000 {
            let set = chooser.choose(4, 2).iter().fold(0, |set, &i| set | 1 << i);
            seen[set] += 1;
        }
        let pairs: Vec<u32> = seen.into_iter().filter(|&count| count > 0).collect();
        assert_eq!(pairs.len(), 6);
        // Each of the 6 pairs comes 1000 times on average with a standard deviation of 29; the seed is fixed.
        assert!(
            pairs.iter().all(|count| count.abs_diff(1000) < 5 * 29),
            "{pairs:?}"
        );
    }

    #[test]
    fn a_count_beyond_the_length_takes_all() {
        let mut all = Chooser::new(1).choose(3, 9);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }
}
