//! From findings at single numbers of tokens to the ranges of a table.

use sparse_gpu::{KernelTile, MeasuredOn, TileEntry, TileTable, TokenRange};

use super::finding::Finding;

/// A tile is used for at most this many times as many tokens as it was measured at, and at least this part of them.
const REACH: usize = 4;
/// The most tokens of a mat-vec.
const FEW: usize = sparse_shaders::MatvecKernel::MAX_TOKENS;

/// The table of the tiles that displaced their defaults.
pub fn to_table(measured_on: MeasuredOn, findings: &[Finding]) -> TileTable {
    let mut table = TileTable::new(measured_on);
    for finding in findings {
        let Some((kernel, measured)) = finding.measurement() else {
            continue;
        };
        // All that were measured, winners or not: between two of them nobody knows more than where the middle is.
        let mut points: Vec<usize> = findings
            .iter()
            .filter(|other| {
                other.default.is_of_same_kernel(&finding.default)
                    && other.case.dtype.bytes() == finding.case.dtype.bytes()
            })
            .map(|other| other.case.tokens)
            .collect();
        points.sort_unstable();
        points.dedup();
        let is_few = matches!(kernel, KernelTile::Matvec { .. });
        table.entries.push(TileEntry {
            kernel,
            element_bytes: finding.case.dtype.bytes(),
            tokens: range(finding.case.tokens, &points, is_few),
            measured: Some(measured),
        });
    }
    table
}

/// The tokens that are nearer to `tokens` than to another of the sorted `points`, by their ratio, within [`REACH`].
fn range(tokens: usize, points: &[usize], is_few: bool) -> TokenRange {
    let below = points.iter().rev().find(|&&point| point < tokens);
    let above = points.iter().find(|&&point| point > tokens);
    // The last number of tokens that is nearer to `a` than to `b`: what lies in the middle belongs to `a`.
    let middle = |a: usize, b: usize| a.saturating_mul(b).isqrt();
    let least = if is_few { 1 } else { FEW + 1 };
    let most = if is_few { FEW } else { usize::MAX };
    TokenRange {
        from: below
            .map_or(1, |&below| middle(below, tokens) + 1)
            .max(tokens.div_ceil(REACH))
            .max(least),
        to: above
            .map_or(usize::MAX, |&above| middle(tokens, above))
            .min(tokens.saturating_mul(REACH))
            .min(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: usize, points: &[usize], is_few: bool) -> (usize, usize) {
        let TokenRange { from, to } = range(tokens, points, is_few);
        (from, to)
    }

    #[test]
    fn ranges_meet_in_the_middle_and_end_four_times_away() {
        let points = [16, 64, 256, 1024];
        assert_eq!(of(16, &points, false), (9, 32));
        assert_eq!(of(64, &points, false), (33, 128));
        assert_eq!(of(256, &points, false), (129, 512));
        assert_eq!(of(1024, &points, false), (513, 4096));
        assert_eq!(of(300, &[300], false), (75, 1200));
        assert_eq!(of(300, &[20, 300, 90_000], false), (78, 1200));
    }

    #[test]
    fn few_tokens_stay_few() {
        assert_eq!(of(1, &[1, 4, 8], true), (1, 2));
        assert_eq!(of(4, &[1, 4, 8], true), (3, 5));
        assert_eq!(of(8, &[1, 4, 8], true), (6, 8));
        assert_eq!(of(8, &[8], true), (2, 8));
        assert_eq!(of(9, &[9], false), (9, 36));
    }
}
