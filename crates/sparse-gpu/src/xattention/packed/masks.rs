//! The masks of all items together: that of the selection, and that of forced blocks.

use sparse_core::BlockMask;
use sparse_core::attention::AttentionError;
use sparse_core::xattention::{XAttentionError, XAttentionOptions};

use super::OPERATION;
use super::items::Item;
use crate::ops::VarlenXAttention;
use crate::{Error, Gpu, GpuMask};

/// The mask of the selection. It holds what items that are not scored attend to, which no recording writes again.
pub(super) fn selected(
    gpu: &Gpu,
    problem: &VarlenXAttention,
    items: &[Item],
) -> Result<GpuMask, Error> {
    check_size(gpu, problem)?;
    if items.iter().all(Item::is_scored) {
        return gpu.empty_mask(problem.mask_shape());
    }
    let mask_of = |item: &Item| {
        if item.is_scored() {
            let [batch, heads, q_blocks, k_blocks] = item.layout.mask_shape();
            let words = vec![0; batch * heads * q_blocks * k_blocks.div_ceil(32)];
            let empty = BlockMask::try_from_words(batch, heads, q_blocks, k_blocks, words);
            return Ok(empty?);
        }
        item.layout.mask_without_scores()
    };
    let masks: Result<Vec<_>, XAttentionError> = items.iter().map(mask_of).collect();
    upload(gpu, problem, &masks?)
}

/// The forced blocks of all items, without those behind their blocks, where there are any.
pub(super) fn forced(
    gpu: &Gpu,
    problem: &VarlenXAttention,
    items: &[Item],
) -> Result<Option<GpuMask>, Error> {
    if problem.options.forced.is_none() {
        return Ok(None);
    }
    let forced = items
        .iter()
        .filter_map(|item| item.layout.options().forced.clone());
    let masks: Vec<_> = forced.collect();
    upload(gpu, problem, &masks).map(Some)
}

fn upload(gpu: &Gpu, problem: &VarlenXAttention, masks: &[BlockMask]) -> Result<GpuMask, Error> {
    let XAttentionOptions {
        block, mask_heads, ..
    } = problem.options;
    let mask = problem.shape.pack_masks(masks, block, mask_heads);
    gpu.upload_mask(&mask.map_err(|error: AttentionError| XAttentionError::Attention(error))?)
}

/// Every item has a mask of the size of the longest: of one long sequence and many short ones that may be more than a buffer holds.
fn check_size(gpu: &Gpu, problem: &VarlenXAttention) -> Result<(), Error> {
    let [items, heads, q_blocks, k_blocks] = problem.mask_shape();
    let of_item = 4.0 * heads as f64 * q_blocks as f64 * k_blocks.div_ceil(32) as f64;
    let bytes = items as f64 * of_item;
    let most = gpu.limits().max_buffer_size;
    if bytes <= most as f64 {
        return Ok(());
    }
    Err(Error::Unavailable {
        what: format!("the mask of {OPERATION} with {items} items"),
        needs: format!(
            "a buffer of {bytes} bytes, {of_item} for each item, as the longest has {q_blocks} x {k_blocks} blocks"
        ),
        has: format!("buffers of {most} bytes"),
        hint: "plan the longest items by themselves, take larger blocks, or request a larger max_buffer_size in the DeviceDescriptor where the adapter has one".to_owned(),
    })
}
