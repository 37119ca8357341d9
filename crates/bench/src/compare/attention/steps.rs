//! A measured layer as several rows: attention over the mask alone, the whole, and what scores and selection take of it.

use super::measure::{AttentionResult, PartTime};
use crate::record::Record;

/// How the time of XAttention is spent: times of the steps, each alone, over that of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct StepShares {
    /// The layer in words.
    pub layer: String,
    /// Kept share of the reachable blocks.
    pub density: f64,
    /// Of the scores.
    pub score: f64,
    /// Of the selection.
    pub select: f64,
    /// Of the attention.
    pub attend: f64,
    /// Speed-up of attention alone as a share of 1 / density. Blocks on the diagonal of a causal mask cost half and are nearly all kept, so that it can be
    /// above 1; the rows' ideals count pairs of a query and a key instead.
    pub alone_of_blocks: f64,
    /// Speed-up of the whole as a share of `1 / (density + 1 / (2 stride))`, likewise.
    pub whole_of_blocks: f64,
}

impl std::fmt::Display for StepShares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [score, select, attend, alone, whole] = [
            self.score,
            self.select,
            self.attend,
            self.alone_of_blocks,
            self.whole_of_blocks,
        ]
        .map(|share| 100.0 * share);
        write!(
            f,
            "{}, density {:.3}: scores {score:.1} % + selection {select:.1} % = {:.1} % of the whole, attention {attend:.1} %; \
             by blocks rather than pairs, attention alone has {alone:.0} % and the whole {whole:.0} % of its ideal",
            self.layer,
            self.density,
            score + select
        )
    }
}

/// The rows of a layer whose steps were timed, all in the same rounds: `block_attention`, `xattention`, `xattention_score` and
/// `xattention_select`, each against dense attention; nothing where they were not. Scores have the density of their multiply-adds, which
/// are `1 / (2 stride)` of those of dense attention. A selection multiplies nothing: it counts as dense and has no ideal, since no part of
/// dense attention is like it.
#[expect(clippy::cast_precision_loss, reason = "strides are far below 2^52")]
pub fn step_rows(result: &AttentionResult, stride: usize) -> Option<(Vec<Record>, StepShares)> {
    let parts = result.parts?;
    let whole = &result.record;
    let whole_speedup = whole.speedup?;
    let density = result.quality.density;
    // `work` is a share of the dense attention's.
    let step = |at: usize, op: &'static str, density: f64, time: PartTime, work: Option<f64>| {
        let part = |text: &str| text.split(" + ").nth(at).unwrap_or(text).to_owned();
        Record {
            op,
            density,
            sparse_ms: time.ms,
            speedup: Some(time.speedup),
            ideal_speedup: work.map(|work| 1.0 / work),
            share_of_ideal: work.map(|work| time.speedup * work),
            spread: time.spread,
            kernel: part(&whole.kernel),
            tile: part(&whole.tile),
            // That of the whole is none of a step.
            roofline: None,
            ..whole.clone()
        }
    };
    let of_whole = |row: Record, share: f64| Record {
        pattern: format!(
            "{}, {:.1} % of xattention at density {density:.3}",
            row.pattern,
            100.0 * share
        ),
        ..row
    };
    let estimate = 1.0 / (2.0 * stride as f64);
    let rows = vec![
        step(
            2,
            "block_attention",
            density,
            parts.attend,
            Some(result.kept),
        ),
        whole.clone(),
        of_whole(
            step(0, "xattention_score", estimate, parts.score, Some(estimate)),
            parts.score.share,
        ),
        of_whole(
            step(1, "xattention_select", 1.0, parts.select, None),
            parts.select.share,
        ),
    ];
    let size = |name| whole.shape.get(name).unwrap_or(0);
    let shares = StepShares {
        layer: format!(
            "{} x {} tokens x {}",
            size("heads"),
            size("k_len"),
            size("head_dim")
        ),
        density,
        score: parts.score.share,
        select: parts.select.share,
        attend: parts.attend.share,
        alone_of_blocks: parts.attend.speedup * density,
        whole_of_blocks: whole_speedup * (density + estimate),
    };
    Some((rows, shares))
}

#[cfg(test)]
mod tests {
    use sparse_core::BlockMask;
    use sparse_measure::OutputAndLse;
    use sparse_measure::check::Checks;

    use super::super::{PartTimes, Quality};
    use super::*;
    use crate::fixture;

    #[test]
    fn every_step_is_a_row_against_dense_attention() {
        let rows = fixture::many();
        let whole = rows.iter().find(|row| row.op == "xattention").unwrap();
        let whole_speedup = whole.speedup.unwrap();
        let step = |share: f64| PartTime {
            ms: whole.sparse_ms * share,
            speedup: whole_speedup / share,
            spread: 0.1,
            share,
        };
        let mask = BlockMask::dense(1, 1, 1, 1).unwrap();
        let result = AttentionResult {
            record: Record {
                kernel: "a + b + c".into(),
                tile: "1 + 2 + 3".into(),
                ..whole.clone()
            },
            parts: Some(PartTimes {
                score: step(0.08),
                select: step(0.01),
                attend: step(0.9),
            }),
            kept: 0.125,
            quality: Quality {
                density: 0.16,
                density_per_head: Vec::new(),
                relative_l2_error: 0.0,
                relative_l2_error_per_head: Vec::new(),
                kept_mass: 1.0,
                kept_mass_per_head: Vec::new(),
            },
            checks: Checks::default(),
            scores: None,
            mask: mask.clone(),
            reachable: mask,
            attended: OutputAndLse {
                out: Vec::new(),
                lse: Vec::new(),
            },
        };
        let (rows, shares) = step_rows(&result, 8).unwrap();
        let ops: Vec<_> = rows.iter().map(|row| row.op).collect();
        assert_eq!(
            ops,
            [
                "block_attention",
                "xattention",
                "xattention_score",
                "xattention_select"
            ]
        );
        let kernels: Vec<_> = rows
            .iter()
            .map(|row| (&row.kernel[..], &row.tile[..]))
            .collect();
        assert_eq!(
            kernels,
            [
                ("c", "3"),
                ("a + b + c", "1 + 2 + 3"),
                ("a", "1"),
                ("b", "2")
            ]
        );
        for row in &rows {
            assert_eq!(row.dense_ms, whole.dense_ms);
            assert_eq!(row.roofline.is_some(), row.op == "xattention");
            let speedup = row.speedup.unwrap();
            assert!((speedup - row.dense_ms.unwrap() / row.sparse_ms).abs() < 1e-12);
            // Selecting is no part of dense attention.
            assert_eq!(row.ideal_speedup.is_some(), row.op != "xattention_select");
            let share = row.ideal_speedup.map(|ideal| speedup / ideal);
            assert!(
                match (share, row.share_of_ideal) {
                    (Some(expected), Some(share)) => (share - expected).abs() < 1e-12,
                    (expected, share) => expected == share,
                },
                "{row:?}"
            );
        }
        assert_eq!(
            (rows[0].ideal_speedup, rows[2].ideal_speedup),
            (Some(8.0), Some(16.0))
        );
        assert_eq!((rows[0].density, rows[2].density), (0.16, 0.0625));
        assert!(
            rows[2]
                .pattern
                .ends_with("8.0 % of xattention at density 0.160")
        );
        let said = shares.to_string();
        assert!(
            said.contains("scores 8.0 % + selection 1.0 % = 9.0 % of the whole"),
            "{said}"
        );
        let [alone, all] = [whole_speedup / 0.9 * 0.16, whole_speedup * (0.16 + 0.0625)];
        assert_eq!(
            (shares.alone_of_blocks, shares.whole_of_blocks),
            (alone, all)
        );
        assert!(
            said.contains(&format!(
                "alone has {:.0} % and the whole {:.0} %",
                100.0 * alone,
                100.0 * all
            )),
            "{said}"
        );
        assert_eq!(
            step_rows(
                &AttentionResult {
                    parts: None,
                    ..result
                },
                8
            ),
            None
        );
    }
}
