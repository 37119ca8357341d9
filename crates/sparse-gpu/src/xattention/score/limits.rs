//! What a device can and cannot score.

use sparse_core::DType;
use sparse_shaders::XAttentionReduceKernel;

use super::{OPERATION, Sequences};
use crate::ops::XAttentionScore;
use crate::window::too_large_to_bind;
use crate::xattention::parts::Sizes;
use crate::{Error, Gpu};

/// Whether k is already rows of whole vec4s without padding.
pub(super) fn keys_in_place(
    problem: &XAttentionScore,
    sizes: &Sizes,
    sequences: Sequences,
    window: u64,
) -> bool {
    let (shape, stride) = (problem.shape, problem.options.stride);
    let starts = match sequences {
        Sequences::Alone => true,
        Sequences::Packed => shape.head_dim().is_multiple_of(4),
    };
    problem.k == DType::F32
        && starts
        && sizes.keys.token_heads == 1
        && (stride * shape.head_dim()).is_multiple_of(4)
        && (sizes.keys.capacity * shape.head_dim()).is_multiple_of(4)
        && shape.k_len().is_multiple_of(stride)
        && sizes.key_bytes(1, &(0..sizes.units())) <= window
}

/// Refuses problems whose loops a driver would end early.
pub(super) fn check_loops(
    gpu: &Gpu,
    sizes: &Sizes,
    reduce: &XAttentionReduceKernel,
) -> Result<(), Error> {
    let (groups, blocks) = (sizes.kernel.groups_per_block, sizes.blocks);
    let what = |step: &str| {
        format!(
            "{step} of blocks of {groups} groups, {blocks} of them, and groups of {} numbers",
            4 * sizes.steps
        )
    };
    gpu.check_loops(what(OPERATION), sizes.kernel.loop_rounds(sizes.steps))?;
    gpu.check_loops(what("xattention_reduce"), reduce.loop_rounds(blocks))
}

/// Not even a row of blocks can be bound.
pub(super) fn too_large(gpu: &Gpu, problem: &XAttentionScore, sizes: &Sizes) -> Error {
    let row = 0..1;
    let packed = sizes
        .query_bytes(1, &row)
        .max(sizes.maxima_bytes(1, &row))
        .max(sizes.key_bytes(1, &row));
    let tokens = (sizes.queries)
        .bytes(1, sizes.query_tokens(&row).len())
        .max(sizes.keys.bytes(1, sizes.key_tokens(&row).len()));
    // Heads that lie side by side are bound together.
    let instead = if tokens > packed {
        "take smaller blocks, or tensors with heads first (TokenLayout::HeadMajor)"
    } else {
        "take a smaller stride, or larger blocks"
    };
    let what = format!(
        "one row of blocks of {OPERATION} with stride {}, head_dim {} and k_len {}",
        problem.options.stride,
        problem.shape.head_dim(),
        problem.shape.k_len()
    );
    too_large_to_bind(gpu, what, packed.max(tokens), instead)
}
