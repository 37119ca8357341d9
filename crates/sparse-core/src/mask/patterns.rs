//! Fixed masks: causal, sliding window, sinks, dilated.

use crate::attention::Alignment;
use crate::mask::{BlockMask, MaskError};

/// Two sequences cut into square blocks of tokens, for every batch entry and head; the last block of each may be
/// shorter.
///
/// The sequences are aligned at their ends: query token `t` stands at key position `t + k_len - q_len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockGrid {
    /// Batch entries.
    pub batch: usize,
    /// Heads of the mask: query heads, or key/value heads where those have the masks ([`crate::attention::MaskHeads::Key`]).
    pub heads: usize,
    /// Query tokens.
    pub q_len: usize,
    /// Key tokens.
    pub k_len: usize,
    /// Tokens of a block.
    pub block: usize,
}

impl BlockGrid {
    /// Query blocks, `ceil(q_len / block)`.
    ///
    /// # Errors
    /// [`MaskError::EmptyBlock`] where `block` is 0.
    pub fn q_blocks(&self) -> Result<usize, MaskError> {
        self.blocks(self.q_len)
    }

    /// Key blocks, `ceil(k_len / block)`.
    ///
    /// # Errors
    /// [`MaskError::EmptyBlock`] where `block` is 0.
    pub fn k_blocks(&self) -> Result<usize, MaskError> {
        self.blocks(self.k_len)
    }

    fn blocks(&self, len: usize) -> Result<usize, MaskError> {
        match self.block {
            0 => Err(MaskError::EmptyBlock),
            block => Ok(len.div_ceil(block)),
        }
    }

    /// The key positions at which the tokens of query block `i` stand, as far as there are keys.
    fn positions(&self, i: usize) -> std::ops::Range<usize> {
        let (q_len, k_len) = (self.q_len, self.k_len);
        Alignment { q_len, k_len }.positions(i, self.block)
    }

    fn mask(&self, attends: impl Fn(usize, usize) -> bool) -> Result<BlockMask, MaskError> {
        let (q_blocks, k_blocks) = (self.q_blocks()?, self.k_blocks()?);
        BlockMask::from_fn(self.batch, self.heads, q_blocks, k_blocks, |_, _, i, j| {
            attends(i, j)
        })
    }
}

impl BlockMask {
    /// Every block that has a visible pair under causal attention: query `t` sees the keys
    /// `s <= t + k_len - q_len`.
    ///
    /// ```
    /// use sparse_core::{BlockGrid, BlockMask};
    /// // The last 256 of 512 tokens as queries, in blocks of 128.
    /// let grid = BlockGrid { batch: 1, heads: 8, q_len: 256, k_len: 512, block: 128 };
    /// let causal = BlockMask::causal(&grid)?;
    /// assert_eq!(causal.row(0, 0, 0).collect::<Vec<_>>(), [0, 1, 2]);
    /// let local = BlockMask::sliding_window(&grid, 128)?.union(&BlockMask::sinks(&grid, 4)?)?;
    /// assert_eq!(local.row(0, 0, 1).collect::<Vec<_>>(), [0, 2, 3]);
    /// # Ok::<(), sparse_core::MaskError>(())
    /// ```
    ///
    /// # Errors
    /// [`MaskError::EmptyBlock`], [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn causal(grid: &BlockGrid) -> Result<Self, MaskError> {
        grid.mask(|i, j| j * grid.block < grid.positions(i).end)
    }

    /// Every block that has a visible pair under causal attention to the last `window` tokens, the query's own
    /// position included: query `t` at position `p = t + k_len - q_len` sees the keys `p - window < s <= p`.
    ///
    /// # Errors
    /// [`MaskError::EmptyBlock`], [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn sliding_window(grid: &BlockGrid, window: usize) -> Result<Self, MaskError> {
        grid.mask(|i, j| {
            let positions = grid.positions(i);
            let keys = j * grid.block..(j + 1).saturating_mul(grid.block).min(grid.k_len);
            // The first query reaches furthest back, the last query furthest ahead; between them no key is left out.
            let first_seen = (positions.start + 1).saturating_sub(window);
            window > 0 && keys.start < positions.end && keys.end > first_seen
        })
    }

    /// The key blocks that hold the first `tokens` keys (attention sinks), for every query block. Not causal by
    /// itself: intersect it with [`BlockMask::causal`].
    ///
    /// # Errors
    /// [`MaskError::EmptyBlock`], [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn sinks(grid: &BlockGrid, tokens: usize) -> Result<Self, MaskError> {
        grid.mask(|_, j| j * grid.block < tokens)
    }

    /// Every `dilation`-th key block backwards from the query block's own, `count` of them: those at the distances
    /// `0, dilation, .., (count - 1) * dilation` from the block where the query block's last token stands.
    ///
    /// # Errors
    /// [`MaskError::NoDilation`], [`MaskError::EmptyBlock`], [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn dilated(grid: &BlockGrid, dilation: usize, count: usize) -> Result<Self, MaskError> {
        if dilation == 0 {
            return Err(MaskError::NoDilation);
        }
        grid.mask(|i, j| {
            let own = grid
                .positions(i)
                .end
                .checked_sub(1)
                .map(|last| last / grid.block);
            own.and_then(|own| own.checked_sub(j))
                .is_some_and(|distance| distance % dilation == 0 && distance / dilation < count)
        })
    }
}
