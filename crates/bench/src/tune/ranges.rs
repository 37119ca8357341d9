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
    use sparse_core::DType;
    use sparse_gpu::AttentionTile;
    use sparse_measure::Speedup;

    use super::super::finding::{Best, Verdict};
    use super::super::{TuneCase, TuneWork};
    use super::*;
    use crate::cli::TuneOperation;

    /// Both at the same number of keys.
    #[test]
    fn tiles_for_few_queries_and_for_many_stand_in_one_table() {
        let finding = |work, from, to| {
            let kernel = |tile| KernelTile::BlockAttention { head_dim: 64, tile };
            Finding {
                case: TuneCase {
                    operation: TuneOperation::BlockAttention,
                    tokens: 4096,
                    dtype: DType::F16,
                    work,
                },
                default: kernel(from),
                default_ms: 2.0,
                best: Some(Best {
                    kernel: kernel(to),
                    ms: 1.0,
                    gain: Speedup {
                        median: 2.0,
                        spread: 0.1,
                    },
                }),
                tried: 1,
                wrong: Vec::new(),
                verdict: Verdict::Displaced,
            }
        };
        let few = |queries, lanes| AttentionTile::Few { queries, lanes };
        let tiled = |queries| AttentionTile::Tiled { queries, split: 8 };
        let (heads, kv_heads, head_dim) = (2, 2, 64);
        let decoding = TuneWork::Decoding { kv_heads, head_dim };
        let attention = TuneWork::Attention { heads, head_dim };
        let findings = [
            finding(attention, tiled(64), tiled(32)),
            finding(decoding, few(8, 8), few(4, 16)),
        ];
        let measured_on = MeasuredOn {
            adapter: "Example 3000".into(),
            backend: "vulkan".into(),
            driver: "1.0".into(),
            class: "other".into(),
        };
        let table = to_table(measured_on, &findings);
        let read = TileTable::from_json(&table.to_json().unwrap()).unwrap();
        assert_eq!(read, table);
        let tiles: Vec<String> = read.entries.iter().map(|e| e.kernel.tile_words()).collect();
        assert_eq!(tiles, ["tiled-32x8", "few-4x16"]);
        for entry in &read.entries {
            assert_eq!((entry.tokens.from, entry.tokens.to), (1024, 16384));
        }
        let problem = &read.entries[1].measured.as_ref().unwrap().problem;
        assert_eq!(problem, "decoding f16, 16 heads on 2 x 4096 x 64");
    }

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
