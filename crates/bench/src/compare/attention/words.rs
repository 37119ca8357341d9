//! What a row of attention is called: its pattern, its kernels and tiles.

use sparse_core::attention::MaskHeads;
use sparse_core::xattention::{Mode, Threshold, XAttentionOptions};
use sparse_gpu::Explanation;

use super::Contest;
use crate::device::{AttendRun, XAttentionRun};

/// Kernels and tiles of what is timed against dense attention.
pub(super) fn explain(contest: Contest, dense: &AttendRun, sparse: &XAttentionRun) -> Explanation {
    let steps = sparse.explain();
    match contest {
        Contest::Dense => dense.explain().clone(),
        Contest::Attend => sparse.attend().explain().clone(),
        Contest::Whole | Contest::WholeAndParts => {
            let [kernel, tile] = joined(&steps);
            Explanation {
                kernel,
                tile,
                ..sparse.attend().explain().clone()
            }
        }
    }
}

/// Kernels and tiles of all steps.
pub(super) fn joined(steps: &[&Explanation]) -> [String; 2] {
    let join = |part: fn(&Explanation) -> &str| {
        let parts: Vec<&str> = steps.iter().map(|step| part(step)).collect();
        parts.join(" + ")
    };
    [join(|step| &step.kernel), join(|step| &step.tile)]
}

/// What a pattern ends with where query heads share masks.
pub const BY_KEY_HEAD: &str = " by key head";

/// Whose masks they are, told where it is not what is usual.
pub const fn by(heads: MaskHeads) -> &'static str {
    match heads {
        MaskHeads::Query => "",
        MaskHeads::Key => BY_KEY_HEAD,
    }
}

/// What is sparse.
pub(super) fn pattern(contest: Contest, options: &XAttentionOptions) -> String {
    match contest {
        Contest::Dense => format!("dense {}", reach(options)),
        _ => selection(options),
    }
}

const fn reach(options: &XAttentionOptions) -> &'static str {
    if options.causal { "causal" } else { "full" }
}

/// Which blocks are attended to. Several thresholds may select the same blocks: their rows differ by this alone.
pub(super) fn selection(options: &XAttentionOptions) -> String {
    let mode = match options.mode {
        Mode::Reference(_) => " reference",
        Mode::Exact => "",
    };
    let rule = match (options.top_k, &options.threshold) {
        (Some(count), _) => format!("top {count}"),
        (None, Threshold::Uniform(threshold)) => format!("threshold {threshold}"),
        (None, Threshold::PerHead(_)) if options.mask_heads == MaskHeads::Key => {
            "thresholds".into()
        }
        (None, Threshold::PerHead(_)) => "thresholds by head".into(),
    };
    let by = by(options.mask_heads);
    format!(
        "block:{} {}{mode} {rule}{by}",
        options.block,
        reach(options)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_thresholds_are_told_apart() {
        let of = |threshold: Threshold, top_k| {
            let options = XAttentionOptions {
                threshold,
                top_k,
                ..XAttentionOptions::default()
            };
            pattern(Contest::Whole, &options)
        };
        assert_eq!(of(0.5.into(), None), "block:128 causal threshold 0.5");
        assert_eq!(of(0.8.into(), None), "block:128 causal threshold 0.8");
        assert_eq!(of(0.8.into(), Some(4)), "block:128 causal top 4");
        let by_head = Threshold::PerHead(vec![0.5, 0.8]);
        assert_eq!(of(by_head, None), "block:128 causal thresholds by head");
        let dense = pattern(Contest::Dense, &XAttentionOptions::default());
        assert_eq!(dense, "dense causal");
        let shared = XAttentionOptions {
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        let shared = pattern(Contest::Attend, &shared);
        assert_eq!(shared, "block:128 causal threshold 0.9 by key head");
    }
}
