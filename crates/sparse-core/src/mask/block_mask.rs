//! The mask itself: one bit per pair of a query block and a key block.

use crate::OutOfMemory;
use crate::mask::MaskError;
use crate::memory::{filled, room_for};

/// Which key blocks each query block attends to, for every batch entry and head. Memory layout: `docs/FORMATS.md`.
///
/// ```
/// use sparse_core::BlockMask;
/// let diagonal = BlockMask::from_fn(1, 2, 3, 3, |_batch, _head, q, k| q == k)?;
/// assert_eq!(diagonal.row(0, 1, 2).collect::<Vec<_>>(), [2]);
/// assert_eq!(diagonal.words(), [1, 2, 4, 1, 2, 4]);
/// # Ok::<(), sparse_core::MaskError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockMask {
    shape: [usize; 4],
    words: Vec<u32>,
}

const WORD_BITS: usize = u32::BITS as usize;

impl BlockMask {
    /// Wraps `words [batch, heads, q_blocks, ceil(k_blocks / 32)]`: bit `j % 32` of word `j / 32` of a row says
    /// whether key block `j` is attended to.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`], [`MaskError::WordsLength`] and [`MaskError::UnusedBits`].
    pub fn try_from_words(
        batch: usize,
        heads: usize,
        q_blocks: usize,
        k_blocks: usize,
        words: Vec<u32>,
    ) -> Result<Self, MaskError> {
        let shape = [batch, heads, q_blocks, k_blocks];
        let rows = checked_rows(shape)?;
        let words_per_row = k_blocks.div_ceil(WORD_BITS);
        if words.len() != rows * words_per_row {
            return Err(MaskError::WordsLength {
                shape,
                words_per_row,
                expected: rows * words_per_row,
                actual: words.len(),
            });
        }
        let used = k_blocks % WORD_BITS;
        if used > 0 {
            for (row, last) in words
                .iter()
                .skip(words_per_row - 1)
                .step_by(words_per_row)
                .enumerate()
            {
                if last >> used != 0 {
                    return Err(MaskError::UnusedBits {
                        row,
                        word: *last,
                        k_blocks,
                    });
                }
            }
        }
        Ok(Self { shape, words })
    }

    /// As [`BlockMask::try_from_words`].
    ///
    /// # Panics
    /// Where `try_from_words` gives an error.
    #[track_caller]
    pub fn from_words(
        batch: usize,
        heads: usize,
        q_blocks: usize,
        k_blocks: usize,
        words: Vec<u32>,
    ) -> Self {
        Self::try_from_words(batch, heads, q_blocks, k_blocks, words)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Asks `attends(batch, head, query block, key block)` for every block, in row-major order.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn from_fn(
        batch: usize,
        heads: usize,
        q_blocks: usize,
        k_blocks: usize,
        mut attends: impl FnMut(usize, usize, usize, usize) -> bool,
    ) -> Result<Self, MaskError> {
        let shape = [batch, heads, q_blocks, k_blocks];
        let rows = checked_rows(shape)?;
        let words_per_row = k_blocks.div_ceil(WORD_BITS);
        let what = || describe(shape);
        let mut words = filled(rows * words_per_row, 0_u32, what, CHOOSE_LARGER_BLOCKS)?;
        // Without key blocks a mask has no words, and so no rows to visit.
        for (row, row_words) in words.chunks_mut(words_per_row.max(1)).enumerate() {
            let (b, h, i) = (
                row / q_blocks / heads,
                row / q_blocks % heads,
                row % q_blocks,
            );
            for j in (0..k_blocks).filter(|&j| attends(b, h, i, j)) {
                row_words[j / WORD_BITS] |= 1 << (j % WORD_BITS);
            }
        }
        Ok(Self { shape, words })
    }

    /// Rows whose words begin with those that `words(batch, head, query block)` gives: those that are missing are 0, words and bits past the last
    /// key block are left out.
    pub(crate) fn of_rows<'a>(
        shape: [usize; 4],
        words: impl Fn(usize, usize, usize) -> &'a [u32],
    ) -> Result<Self, MaskError> {
        let [batch, heads, q_blocks, k_blocks] = shape;
        let rows = checked_rows(shape)?;
        let words_per_row = k_blocks.div_ceil(WORD_BITS);
        let what = || describe(shape);
        let mut all = filled(rows * words_per_row, 0_u32, what, CHOOSE_LARGER_BLOCKS)?;
        let places = (0..batch).flat_map(|item| {
            (0..heads).flat_map(move |head| (0..q_blocks).map(move |row| (item, head, row)))
        });
        for (row, (item, head, q_block)) in all.chunks_mut(words_per_row.max(1)).zip(places) {
            for (word, &given) in row.iter_mut().zip(words(item, head, q_block)) {
                *word = given;
            }
            let used = k_blocks % WORD_BITS;
            if let Some(last) = row.last_mut().filter(|_| used > 0) {
                *last &= (1 << used) - 1;
            }
        }
        Ok(Self { shape, words: all })
    }

    /// From truth values `[batch, heads, q_blocks, k_blocks]`, row-major.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`], [`MaskError::OutOfMemory`] and [`MaskError::BoolsLength`].
    pub fn from_bools(
        batch: usize,
        heads: usize,
        q_blocks: usize,
        k_blocks: usize,
        attends: &[bool],
    ) -> Result<Self, MaskError> {
        let shape = [batch, heads, q_blocks, k_blocks];
        let expected = checked_rows(shape)? * k_blocks;
        if attends.len() != expected {
            return Err(MaskError::BoolsLength {
                shape,
                expected,
                actual: attends.len(),
            });
        }
        Self::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
            attends[((b * heads + h) * q_blocks + i) * k_blocks + j]
        })
    }

    /// The mask as truth values `[batch, heads, q_blocks, k_blocks]`, row-major.
    ///
    /// # Errors
    /// [`OutOfMemory`]: a byte for each bit.
    pub fn to_bools(&self) -> Result<Vec<bool>, OutOfMemory> {
        let what = || format!("the truth values of {}", describe(self.shape));
        let all = self.shape.iter().product();
        let mut bools = room_for(all, what, CHOOSE_LARGER_BLOCKS)?;
        for row in self.words.chunks(self.words_per_row().max(1)) {
            bools.extend((0..self.k_blocks()).map(|j| has_bit(row, j)));
        }
        Ok(bools)
    }

    /// Every block.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`] and [`MaskError::OutOfMemory`].
    pub fn dense(
        batch: usize,
        heads: usize,
        q_blocks: usize,
        k_blocks: usize,
    ) -> Result<Self, MaskError> {
        Self::from_fn(batch, heads, q_blocks, k_blocks, |_, _, _, _| true)
    }

    /// `[batch, heads, q_blocks, k_blocks]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Batch entries.
    pub fn batch(&self) -> usize {
        self.shape[0]
    }

    /// Heads of the mask: query heads, or key/value heads where those have the masks ([`crate::attention::MaskHeads::Key`]).
    pub fn heads(&self) -> usize {
        self.shape[1]
    }

    /// Query blocks.
    pub fn q_blocks(&self) -> usize {
        self.shape[2]
    }

    /// Key blocks.
    pub fn k_blocks(&self) -> usize {
        self.shape[3]
    }

    /// The bits `[batch, heads, q_blocks, words_per_row]`.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Words of one row, `ceil(k_blocks / 32)`.
    pub fn words_per_row(&self) -> usize {
        self.k_blocks().div_ceil(WORD_BITS)
    }

    /// Whether query block `i` of head `h` of batch entry `b` attends to key block `j`.
    ///
    /// # Panics
    /// Where a position is out of range.
    #[track_caller]
    pub fn get(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        assert!(
            j < self.k_blocks(),
            "key block {j} is outside of a mask of {:?} blocks",
            self.shape
        );
        has_bit(self.row_words(b, h, i), j)
    }

    /// The key blocks that query block `i` of head `h` of batch entry `b` attends to, ascending.
    ///
    /// # Panics
    /// Where a position is out of range.
    #[track_caller]
    pub fn row(&self, b: usize, h: usize, i: usize) -> impl Iterator<Item = usize> {
        let words = self.row_words(b, h, i);
        (0..self.k_blocks()).filter(move |&j| has_bit(words, j))
    }

    /// Blocks attended to, over all batch entries and heads.
    pub fn count(&self) -> usize {
        count_ones(self.words.iter().copied())
    }

    /// Share of all blocks that is attended to; 0 for a mask without blocks.
    pub fn density(&self) -> f64 {
        share(self.count(), self.shape.iter().product())
    }

    #[track_caller]
    pub(crate) fn row_words(&self, b: usize, h: usize, i: usize) -> &[u32] {
        assert!(
            b < self.batch() && h < self.heads() && i < self.q_blocks(),
            "row ({b}, {h}, {i}) is outside of a mask of {:?} blocks",
            self.shape
        );
        let row = (b * self.heads() + h) * self.q_blocks() + i;
        &self.words[row * self.words_per_row()..(row + 1) * self.words_per_row()]
    }

    /// A mask of the same shape; `words` must have no bits past the last key block.
    pub(crate) fn with_words(&self, words: Vec<u32>) -> Self {
        Self {
            shape: self.shape,
            words,
        }
    }
}

/// What helps where there is no memory for a mask.
const CHOOSE_LARGER_BLOCKS: &str = "choose larger blocks, or some heads at a time";

/// What a mask of that shape is called where there is no memory for it.
fn describe(shape: [usize; 4]) -> String {
    format!("a mask of {shape:?} blocks (batch, heads, query blocks, key blocks)")
}

fn has_bit(row: &[u32], j: usize) -> bool {
    row[j / WORD_BITS] >> (j % WORD_BITS) & 1 == 1
}

pub(crate) fn count_ones(words: impl Iterator<Item = u32>) -> usize {
    words.map(|word| word.count_ones() as usize).sum()
}

pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Rows of the mask, where its truth values (a byte each) and words can be allocated.
fn checked_rows(shape: [usize; 4]) -> Result<usize, MaskError> {
    let [batch, heads, q_blocks, k_blocks] = shape;
    let rows = batch
        .checked_mul(heads)
        .and_then(|rows| rows.checked_mul(q_blocks));
    // A row of words is at most 32 times as long as its bits.
    rows.filter(|rows| {
        k_blocks
            .checked_next_multiple_of(WORD_BITS)
            .and_then(|bits| bits.checked_mul(*rows))
            .is_some_and(|bits| isize::try_from(bits).is_ok())
    })
    .ok_or(MaskError::TooLarge { shape })
}
