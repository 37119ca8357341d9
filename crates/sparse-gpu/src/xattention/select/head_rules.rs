//! What selection tells its kernel of each head, and how many invocations share a row.

use sparse_core::attention::HeadKind;
use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::XAttentionSelectKernel;

use crate::counting::word;
use crate::ops::XAttentionSelect;
use crate::{Error, Gpu};

impl XAttentionSelect {
    /// Invocations of a row of `blocks`, and why.
    pub(super) fn row_lanes(
        &self,
        gpu: &Gpu,
        blocks: usize,
    ) -> Result<(usize, &'static str), Error> {
        let rounds = |lanes| XAttentionSelectKernel::loop_rounds(blocks, lanes);
        let most = XAttentionSelectKernel::MOST_ROW_LANES;
        let check = |lanes: usize| {
            let what =
                format!("xattention_select of rows of {blocks} blocks by {lanes} invocation(s)");
            gpu.check_loops(what, rounds(lanes))
        };
        match self.row_lanes {
            // More or fewer than there can be are refused with the kernel.
            Some(lanes) => check(lanes.clamp(1, most)).map(|()| (lanes, "as the caller asked")),
            // Barriers are what costs a processor most.
            None if gpu.is_software() && rounds(1) <= 1 << 15 => {
                check(1).map(|()| (1, "one invocation per row needs no barriers"))
            }
            None if rounds(32) <= 1 << 15 => {
                check(32).map(|()| (32, "a subgroup's worth of invocations per row"))
            }
            None => check(most).map(|()| (most, "rows are long")),
        }
    }
}

/// What the kernel wants to know of a head of the mask: its share or count, its kind, blocks of sinks and recent blocks.
pub(super) fn head_rule(layout: &XAttentionLayout, head: usize) -> [u32; 4] {
    let options = layout.options();
    let [.., k_blocks] = layout.mask_shape();
    let wanted = match options.top_k {
        // More blocks than there are change nothing.
        Some(count) => word(count.min(k_blocks)),
        None => fixed(options.threshold.of_head(head)),
    };
    match layout.kind_of_mask_head(head) {
        HeadKind::Sparse => [wanted, 0, 0, 0],
        HeadKind::Dense => [wanted, 1, 0, 0],
        HeadKind::Streaming {
            sink_blocks,
            recent_blocks,
        } => [
            wanted,
            2,
            word(sink_blocks.min(k_blocks)),
            word(recent_blocks.min(1 << 30)),
        ],
    }
}

/// A share in units of 2^-32, rounded down, but at least one where there is a share; all ones for 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the layout has checked that shares are from 0 to 1, and shares below 1 are kept below all ones"
)]
fn fixed(share: f64) -> u32 {
    if share >= 1.0 {
        return u32::MAX;
    }
    let least = u32::from(share > 0.0);
    ((share * 4_294_967_296.0) as u32).clamp(least, u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down_but_not_to_nothing_and_one_stands_apart() {
        assert_eq!([0.0, 0.5, 1.0].map(fixed), [0, 1 << 31, u32::MAX]);
        assert_eq!([f64::MIN_POSITIVE, 1e-10].map(fixed), [1, 1]);
        assert_eq!(fixed(2.9 / 4_294_967_296.0), 2);
        assert_eq!(fixed(1.0 - f64::EPSILON), u32::MAX - 1);
    }
}
