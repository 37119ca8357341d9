//! Group and block counts of one problem, and where its diagonal lies.

use super::error::LARGER_BLOCKS_SMALLER_CHUNKS;
use super::options::validate_chunk;
use super::{Mode, ReferenceOptions, XAttentionError, XAttentionOptions};
use crate::attention::{AttentionShape, HeadKind};
use crate::memory::room_for;

/// What [`Mode::Reference`] adds to a layout. Lengths are padded with zeros at the end to a multiple of the chunk,
/// queries and keys separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceLayout {
    /// The options of the mode.
    pub options: ReferenceOptions,
    /// Tokens that both lengths are padded to a multiple of.
    pub chunk: usize,
    /// Key blocks before the one of query block 0, on padded lengths: its diagonal starts there.
    pub block_offset: usize,
    /// The same in groups.
    pub group_offset: usize,
}

/// Options checked against a shape, with all counts that scoring and selection need.
///
/// A group is `stride` consecutive tokens, a block is `block` of them. Counts of groups and blocks are of the real
/// lengths in [`Mode::Exact`] and of the padded ones in [`Mode::Reference`].
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionLayout {
    shape: AttentionShape,
    options: XAttentionOptions,
    reference: Option<ReferenceLayout>,
    score_q_blocks: usize,
    score_k_blocks: usize,
    k_groups: usize,
}

impl XAttentionOptions {
    /// Checks the options against `shape`.
    ///
    /// # Errors
    /// [`XAttentionError`], the first rule broken.
    pub fn layout(&self, shape: AttentionShape) -> Result<XAttentionLayout, XAttentionError> {
        self.validate()?;
        let (q_len, k_len, block) = (shape.q_len(), shape.k_len(), self.block);
        let mask_shape = shape.mask_shape_by(block, self.mask_heads);
        let (given, heads) = (self.threshold.values().len(), mask_shape[1]);
        if matches!(self.threshold, super::Threshold::PerHead(_)) && given != heads {
            let of = self.mask_heads;
            return Err(XAttentionError::ThresholdCount { given, heads, of });
        }
        if let Some(kinds) = &self.head_kinds {
            HeadKind::check_all(kinds, shape.q_heads(), self.any_sparse())?;
        }
        if let Some(forced) = &self.forced {
            let (given, expected) = (forced.shape(), mask_shape);
            if given != expected {
                return Err(XAttentionError::ForcedShape { given, expected });
            }
            if !self.any_sparse() {
                return Err(XAttentionError::ForcedWithoutSparse);
            }
        }
        match self.mode {
            Mode::Exact => Ok(XAttentionLayout {
                shape,
                options: self.clone(),
                reference: None,
                score_q_blocks: q_len.div_ceil(block),
                score_k_blocks: k_len.div_ceil(block),
                k_groups: k_len.div_ceil(self.stride),
            }),
            Mode::Reference(options) => {
                let chunk = options
                    .chunk
                    .unwrap_or_else(|| ReferenceOptions::usual_chunk(k_len));
                validate_chunk(chunk, block)?;
                let [q_chunks, k_chunks] = [q_len, k_len].map(|len| len.div_ceil(chunk));
                if q_chunks > k_chunks {
                    return Err(XAttentionError::MoreQueryChunks {
                        q_len,
                        k_len,
                        chunk,
                    });
                }
                let blocks_per_chunk = chunk / block;
                let block_offset = (k_chunks - q_chunks) * blocks_per_chunk;
                Ok(XAttentionLayout {
                    shape,
                    options: self.clone(),
                    reference: Some(ReferenceLayout {
                        options,
                        chunk,
                        block_offset,
                        group_offset: block_offset * (block / self.stride),
                    }),
                    score_q_blocks: q_chunks * blocks_per_chunk,
                    score_k_blocks: k_chunks * blocks_per_chunk,
                    k_groups: k_chunks * (chunk / self.stride),
                })
            }
        }
    }
}

impl XAttentionLayout {
    /// The sizes of the problem.
    pub fn shape(&self) -> AttentionShape {
        self.shape
    }

    /// The options.
    pub fn options(&self) -> &XAttentionOptions {
        &self.options
    }

    /// What only Reference mode has; `None` in Exact mode.
    pub fn reference(&self) -> Option<&ReferenceLayout> {
        self.reference.as_ref()
    }

    /// Shape of the scores: `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    pub fn score_shape(&self) -> [usize; 4] {
        [
            self.shape.batch(),
            self.shape.q_heads(),
            self.score_q_blocks,
            self.score_k_blocks,
        ]
    }

    /// Shape of the mask: `[batch, mask heads, q_blocks, k_blocks]`, on real lengths in both modes; as many heads as
    /// [`mask_heads`](XAttentionOptions::mask_heads) says.
    pub fn mask_shape(&self) -> [usize; 4] {
        let heads = self.options.mask_heads;
        self.shape.mask_shape_by(self.options.block, heads)
    }

    /// Room for all scores. Where that overflows or memory is short, an error: a hostile block or chunk must not
    /// end the program.
    pub(super) fn new_scores(&self) -> Result<Vec<f64>, XAttentionError> {
        let shape = self.score_shape();
        let count = shape
            .iter()
            .try_fold(1_usize, |n, &size| n.checked_mul(size))
            .ok_or(XAttentionError::ScoresTooLarge { shape })?;
        let what = || format!("scores of shape {shape:?}");
        Ok(room_for(count, what, LARGER_BLOCKS_SMALLER_CHUNKS)?)
    }

    /// Query groups with at least one real token; the others have no mass.
    pub fn q_groups(&self) -> usize {
        self.shape.q_len().div_ceil(self.options.stride)
    }

    /// Key groups, in Reference mode with those of padding only, which do take mass there.
    pub fn k_groups(&self) -> usize {
        self.k_groups
    }

    /// Groups of a block.
    pub fn groups_per_block(&self) -> usize {
        self.options.block / self.options.stride
    }

    /// The softmax scale in use.
    pub fn scale(&self) -> f64 {
        self.options
            .scale
            .unwrap_or_else(|| self.shape.default_scale())
    }

    /// How many key groups query group `group` may score: all before this count, none from there on. Past the last query group of Exact mode as
    /// many as that one may.
    pub fn allowed_k_groups(&self, group: usize) -> usize {
        let options = &self.options;
        if !options.causal {
            return self.k_groups;
        }
        if let Some(reference) = &self.reference {
            return group
                .saturating_add(reference.group_offset + 1)
                .min(self.k_groups);
        }
        // The group's first key must be visible to the last real query of this query group.
        let positions = self.shape.alignment().positions(group, options.stride);
        positions.end.div_ceil(options.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xattention::Mode;

    fn layout(q_len: usize, mode: Mode) -> XAttentionLayout {
        let shape = AttentionShape::try_new(1, 1, 1, q_len, 64, 16).unwrap();
        let options = XAttentionOptions {
            block: 32,
            stride: 8,
            mode,
            ..XAttentionOptions::default()
        };
        options.layout(shape).unwrap()
    }

    #[test]
    fn groups_and_rows_past_the_last_see_what_it_does() {
        let exact = layout(64, Mode::Exact);
        let groups = [0, 7, 8, usize::MAX / 8, usize::MAX];
        assert_eq!(
            groups.map(|group| exact.allowed_k_groups(group)),
            [1, 8, 8, 8, 8]
        );
        let rows = [0, 1, 2, usize::MAX / 32, usize::MAX];
        assert_eq!(rows.map(|row| exact.reachable_blocks(row)), [1, 2, 2, 2, 2]);
        // Without queries all of them are past the last.
        let empty = layout(0, Mode::Exact);
        assert_eq!([0, 1].map(|group| empty.allowed_k_groups(group)), [8, 8]);
        let reference = layout(64, Mode::Reference(ReferenceOptions::default()));
        let last = reference.k_groups();
        assert_eq!(
            [0, usize::MAX].map(|group| reference.allowed_k_groups(group)),
            [1, last]
        );
    }
}
