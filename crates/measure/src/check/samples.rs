//! Which of many results are checked where all would take too long.

/// Multiply-adds that one CPU reference may take; larger problems are checked at samples.
pub(super) const REFERENCE_TERMS: usize = 1 << 26;

/// At most `most` of `0..count`, evenly spread, first and last among them.
pub(super) fn spread_out(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let steps = most.saturating_sub(1).max(1);
    let mut chosen: Vec<usize> = (0..most).map(|i| i * (count - 1) / steps).collect();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all_tokens() {
        assert_eq!(spread_out(4, 9), [0, 1, 2, 3]);
        assert_eq!(spread_out(1024, 3), [0, 511, 1023]);
        assert_eq!(spread_out(10, 1), [0]);
        assert!(spread_out(0, 3).is_empty());
    }
}
