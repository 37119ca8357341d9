//! Sequences of different lengths, packed one after the other, or each in a room of its own.

use std::ops::Range;

use super::{AttentionError, AttentionShape, AttentionShapeError, MaskHeads};
use crate::mask::BlockMask;

/// Where packed sequences begin: item `i` has the tokens `offsets[i]..offsets[i + 1]` (what other libraries call `cu_seqlens`), or the first of them where
/// it has more room than it fills, as in a cache of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    offsets: Vec<usize>,
    /// Tokens of each item, where they do not fill their room.
    lengths: Option<Vec<usize>>,
}

/// Offsets that do not describe packed sequences.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackingError {
    /// Not even the end of the last item.
    #[error("there are no offsets; give [0] for no items, [0, n] for one of n tokens")]
    NoOffsets,
    /// The first item does not begin at 0.
    #[error("the first offset is {first}; the first item begins at 0")]
    Start {
        /// The first offset.
        first: usize,
    },
    /// An item that ends before it begins.
    #[error("item {item} has the offsets {begin}..{end}; offsets must not fall")]
    Falling {
        /// The item.
        item: usize,
        /// Its first token.
        begin: usize,
        /// One past its last token.
        end: usize,
    },
    /// Not one length for each item.
    #[error("there are {lengths} lengths of {items} items; give one for each")]
    Lengths {
        /// Lengths.
        lengths: usize,
        /// Items.
        items: usize,
    },
    /// More tokens than an item has room for.
    #[error("item {item} has {length} tokens and room for {room}")]
    Room {
        /// The item.
        item: usize,
        /// Its tokens.
        length: usize,
        /// Those that it has room for.
        room: usize,
    },
    /// More tokens than this machine can count.
    #[error("the lengths of the first {items} items have a sum that this machine cannot count")]
    TooLong {
        /// Items whose sum is too large.
        items: usize,
    },
}

impl Packing {
    /// Checks the offsets: the first is 0, and none is below the one before.
    ///
    /// # Errors
    /// [`PackingError`], the first rule broken.
    ///
    /// ```
    /// use sparse_core::attention::Packing;
    /// let packing = Packing::try_new(vec![0, 5, 5, 12])?;
    /// assert_eq!(packing.ranges().collect::<Vec<_>>(), [0..5, 5..5, 5..12]);
    /// assert_eq!((packing.items(), packing.total(), packing.longest()), (3, 12, 7));
    /// # Ok::<(), sparse_core::attention::PackingError>(())
    /// ```
    pub fn try_new(offsets: Vec<usize>) -> Result<Self, PackingError> {
        match offsets.first() {
            None => return Err(PackingError::NoOffsets),
            Some(&first) if first != 0 => return Err(PackingError::Start { first }),
            _ => {}
        }
        for (item, pair) in offsets.windows(2).enumerate() {
            if let &[begin, end] = pair
                && end < begin
            {
                return Err(PackingError::Falling { item, begin, end });
            }
        }
        Ok(Self {
            offsets,
            lengths: None,
        })
    }

    /// Items of these lengths, one after the other.
    ///
    /// # Errors
    /// [`PackingError::TooLong`].
    pub fn of_lengths(lengths: &[usize]) -> Result<Self, PackingError> {
        let mut offsets = vec![0_usize];
        let mut end = 0_usize;
        for (item, &length) in lengths.iter().enumerate() {
            end = end
                .checked_add(length)
                .ok_or(PackingError::TooLong { items: item + 1 })?;
            offsets.push(end);
        }
        Ok(Self {
            offsets,
            lengths: None,
        })
    }

    /// Items of these lengths, each with room for `capacity` tokens: a cache `[items, capacity, heads, head_dim]`.
    ///
    /// # Errors
    /// [`PackingError::Room`], [`PackingError::TooLong`].
    ///
    /// ```
    /// use sparse_core::attention::Packing;
    /// let packing = Packing::in_slots(10, &[4, 0, 7])?;
    /// assert_eq!(packing.ranges().collect::<Vec<_>>(), [0..4, 10..10, 20..27]);
    /// assert_eq!((packing.items(), packing.total(), packing.longest()), (3, 30, 7));
    /// # Ok::<(), sparse_core::attention::PackingError>(())
    /// ```
    pub fn in_slots(capacity: usize, lengths: &[usize]) -> Result<Self, PackingError> {
        Self::of_lengths(&vec![capacity; lengths.len()])?.with_lengths(lengths)
    }

    /// The same rooms, of which the items fill the first `lengths` tokens.
    ///
    /// # Errors
    /// [`PackingError::Lengths`], [`PackingError::Room`].
    pub fn with_lengths(self, lengths: &[usize]) -> Result<Self, PackingError> {
        if lengths.len() != self.items() {
            return Err(PackingError::Lengths {
                lengths: lengths.len(),
                items: self.items(),
            });
        }
        let mut full = true;
        for (item, (room, &length)) in self.rooms().zip(lengths).enumerate() {
            let room = room.len();
            if length > room {
                return Err(PackingError::Room { item, length, room });
            }
            full &= length == room;
        }
        Ok(Self {
            lengths: (!full).then(|| lengths.to_vec()),
            offsets: self.offsets,
        })
    }

    /// Where the rooms of the items begin, and where the last ends: one more than items.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Whether every item fills its room.
    pub fn is_full(&self) -> bool {
        self.lengths.is_none()
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Tokens of each item, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.rooms().enumerate().map(|(item, room)| {
            let length = self.lengths.as_ref().and_then(|lengths| lengths.get(item));
            let end = length.map_or(room.end, |length| room.start + length);
            room.start..end
        })
    }

    /// Tokens that each item has room for.
    fn rooms(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.offsets.iter().skip(1);
        let begins = self.offsets.iter();
        begins.zip(ends).map(|(&begin, &end)| begin..end)
    }

    /// Tokens that all items together have room for.
    pub fn total(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Tokens of the longest item.
    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }
}

/// Sizes of attention over packed sequences: q `[q.total(), q_heads, head_dim]`, k and v `[k.total(), kv_heads, head_dim]`. Keys need not fill their room,
/// queries do.
///
/// Items are independent; each is an [`AttentionShape`] of batch 1, with its own lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedShape {
    longest: AttentionShape,
    q: Packing,
    k: Packing,
}

impl PackedShape {
    /// Checks the sizes. There may be no items, and items may have no queries or no keys.
    ///
    /// # Errors
    /// `Items`, `RoomForQueries`, `Heads`, `EmptyHead`, `TooLong`, `TooLarge` or `TooManyHeads` of [`AttentionShapeError`].
    pub fn try_new(
        q_heads: usize,
        kv_heads: usize,
        head_dim: usize,
        q: Packing,
        k: Packing,
    ) -> Result<Self, AttentionShapeError> {
        if q.items() != k.items() {
            return Err(AttentionShapeError::Items {
                q: q.items(),
                k: k.items(),
            });
        }
        if !q.is_full() {
            return Err(AttentionShapeError::RoomForQueries);
        }
        // The totals bound every item and every tensor.
        let of_lengths =
            |q_len, k_len| AttentionShape::try_new(1, q_heads, kv_heads, q_len, k_len, head_dim);
        of_lengths(q.total(), k.total())?;
        let longest = of_lengths(q.longest(), k.longest())?;
        Ok(Self { longest, q, k })
    }

    /// Query heads.
    pub fn q_heads(&self) -> usize {
        self.longest.q_heads()
    }

    /// Key/value heads.
    pub fn kv_heads(&self) -> usize {
        self.longest.kv_heads()
    }

    /// Elements of one token in one head.
    pub fn head_dim(&self) -> usize {
        self.longest.head_dim()
    }

    /// `1 / sqrt(head_dim)`, the softmax scale where the caller gives none.
    pub fn default_scale(&self) -> f64 {
        self.longest.default_scale()
    }

    /// The queries of each item.
    pub fn q(&self) -> &Packing {
        &self.q
    }

    /// The keys of each item.
    pub fn k(&self) -> &Packing {
        &self.k
    }

    /// `[q.total(), q_heads, head_dim]`, of q and of the output.
    pub fn q_shape(&self) -> [usize; 3] {
        [self.q.total(), self.q_heads(), self.head_dim()]
    }

    /// `[k.total(), kv_heads, head_dim]`, of k and of v.
    pub fn kv_shape(&self) -> [usize; 3] {
        [self.k.total(), self.kv_heads(), self.head_dim()]
    }

    /// One item with as many queries as any has, and as many keys as any has.
    pub fn longest(&self) -> AttentionShape {
        self.longest
    }

    /// `[items, q_heads, query blocks, key blocks]` of a block mask with room for the longest item. Blocks count from an item's own
    /// first token; a shorter item has its blocks in front, and what follows them is not looked at. 0 blocks where `block` is 0.
    pub fn mask_shape(&self, block: usize) -> [usize; 4] {
        self.mask_shape_by(block, MaskHeads::Query)
    }

    /// [`PackedShape::mask_shape`] of a mask with these heads.
    pub fn mask_shape_by(&self, block: usize, heads: MaskHeads) -> [usize; 4] {
        let [_, heads, q_blocks, k_blocks] = self.longest.mask_shape_by(block, heads);
        [self.q.items(), heads, q_blocks, k_blocks]
    }

    /// Each item as a problem of its own, in order.
    ///
    /// ```
    /// use sparse_core::attention::{PackedShape, Packing};
    /// let shape = PackedShape::try_new(4, 2, 64, Packing::of_lengths(&[7, 1])?, Packing::of_lengths(&[7, 30])?)?;
    /// let items: Vec<_> = shape.item_shapes().collect();
    /// assert_eq!(items[1].q_shape(), [1, 4, 1, 64]);
    /// assert_eq!(items[1].kv_shape(), [1, 2, 30, 64]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn item_shapes(&self) -> impl Iterator<Item = AttentionShape> {
        let lengths = self.q.ranges().zip(self.k.ranges());
        lengths.map(|(q, k)| self.longest.of_item(q.len(), k.len()))
    }

    /// What a mask of all items holds for each of them, `[1, heads, its query blocks, its key blocks]`; the blocks behind those are left out.
    ///
    /// # Errors
    /// [`AttentionError::MaskShape`] where the mask has not the shape [`PackedShape::mask_shape_by`] of these blocks and heads,
    /// [`AttentionError::Mask`] without memory.
    pub fn unpack_mask(
        &self,
        mask: &BlockMask,
        block: usize,
        heads: MaskHeads,
    ) -> Result<Vec<BlockMask>, AttentionError> {
        expect_mask(mask, self.mask_shape_by(block, heads), block)?;
        let of_item = |(item, shape): (usize, AttentionShape)| {
            let [_, heads, q_blocks, k_blocks] = shape.mask_shape_by(block, heads);
            BlockMask::of_rows([1, heads, q_blocks, k_blocks], |_, head, row| {
                mask.row_words(item, head, row)
            })
        };
        let masks = self.item_shapes().enumerate().map(of_item);
        Ok(masks.collect::<Result<_, _>>()?)
    }

    /// One mask, [`PackedShape::mask_shape_by`], of a mask for each item: what [`PackedShape::unpack_mask`] takes apart. It holds nothing behind the blocks of
    /// an item.
    ///
    /// ```
    /// use sparse_core::BlockMask;
    /// use sparse_core::attention::{MaskHeads, PackedShape, Packing};
    /// let lengths = Packing::of_lengths(&[200, 64])?;
    /// let shape = PackedShape::try_new(8, 2, 64, lengths.clone(), lengths)?;
    /// let masks = [BlockMask::dense(1, 8, 4, 4)?, BlockMask::dense(1, 8, 1, 1)?];
    /// let mask = shape.pack_masks(&masks, 64, MaskHeads::Query)?;
    /// assert_eq!(mask.shape(), [2, 8, 4, 4]);
    /// assert_eq!(mask.count_of_head(1, 7), 1);
    /// assert_eq!(shape.unpack_mask(&mask, 64, MaskHeads::Query)?, masks);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AttentionError::MaskCount`], [`AttentionError::MaskShape`], [`AttentionError::Mask`] where that of all items cannot be built.
    pub fn pack_masks(
        &self,
        masks: &[BlockMask],
        block: usize,
        heads: MaskHeads,
    ) -> Result<BlockMask, AttentionError> {
        let items = self.q.items();
        if masks.len() != items {
            let masks = masks.len();
            return Err(AttentionError::MaskCount { masks, items });
        }
        for (mask, shape) in masks.iter().zip(self.item_shapes()) {
            expect_mask(mask, shape.mask_shape_by(block, heads), block)?;
        }
        let of_all =
            BlockMask::of_rows(
                self.mask_shape_by(block, heads),
                |item, head, row| match masks.get(item) {
                    Some(mask) if row < mask.q_blocks() => mask.row_words(0, head, row),
                    _ => &[],
                },
            )?;
        Ok(of_all)
    }
}

fn expect_mask(mask: &BlockMask, expected: [usize; 4], block: usize) -> Result<(), AttentionError> {
    if mask.shape() == expected {
        return Ok(());
    }
    Err(AttentionError::MaskShape {
        mask: mask.shape(),
        expected,
        block,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_rule_has_its_own_error() {
        use PackingError as E;
        assert_eq!(Packing::try_new(vec![]), Err(E::NoOffsets));
        assert_eq!(Packing::try_new(vec![1, 2]), Err(E::Start { first: 1 }));
        let (item, begin, end) = (1, 4, 3);
        assert_eq!(
            Packing::try_new(vec![0, 4, 3]),
            Err(E::Falling { item, begin, end })
        );
        assert_eq!(
            Packing::of_lengths(&[1, usize::MAX]),
            Err(E::TooLong { items: 2 })
        );
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        assert_eq!(
            PackedShape::try_new(1, 1, 1, packing(&[1, 2]), packing(&[3])),
            Err(AttentionShapeError::Items { q: 2, k: 1 })
        );
        assert_eq!(
            PackedShape::try_new(1, 1, 1, packing(&[3]), packing(&[1, 2])),
            Err(AttentionShapeError::Items { q: 1, k: 2 })
        );
        let most = crate::attention::MAX_TOKENS;
        assert_eq!(
            PackedShape::try_new(1, 1, 1, packing(&[1, 1]), packing(&[most, 1])),
            Err(AttentionShapeError::TooLong { tokens: most + 1 })
        );
        assert_eq!(
            PackedShape::try_new(3, 2, 1, packing(&[1]), packing(&[3])),
            Err(AttentionShapeError::Heads {
                q_heads: 3,
                kv_heads: 2
            })
        );
    }

    #[test]
    fn rooms_are_of_keys_and_large_enough() {
        use PackingError as E;
        let slots = Packing::in_slots(4, &[1, 4]).unwrap();
        assert_eq!(slots.offsets(), [0, 4, 8]);
        assert!(!slots.is_full());
        let (item, length, room) = (1, 5, 4);
        assert_eq!(
            Packing::in_slots(4, &[1, 5]),
            Err(E::Room { item, length, room })
        );
        let (lengths, items) = (1, 2);
        assert_eq!(
            slots.clone().with_lengths(&[1]),
            Err(E::Lengths { lengths, items })
        );
        let (capacity, two) = (usize::MAX, [0, 0]);
        assert_eq!(
            Packing::in_slots(capacity, &two),
            Err(E::TooLong { items: 2 })
        );
        // Full rooms are what lengths alone say.
        let full = Packing::of_lengths(&[4, 4]).unwrap();
        assert_eq!(slots.clone().with_lengths(&[4, 4]), Ok(full.clone()));
        let queries = |q| PackedShape::try_new(1, 1, 1, q, full.clone());
        assert_eq!(queries(slots), Err(AttentionShapeError::RoomForQueries));
    }

    #[test]
    fn no_items_and_empty_items() {
        let none = Packing::try_new(vec![0]).unwrap();
        assert_eq!((none.items(), none.total(), none.longest()), (0, 0, 0));
        assert_eq!(none, Packing::of_lengths(&[]).unwrap());
        let some = Packing::of_lengths(&[0, 3, 0]).unwrap();
        assert_eq!(some.offsets(), [0, 0, 3, 3]);
        assert_eq!(Packing::try_new(vec![0, 0, 3, 3]), Ok(some));
    }

    #[test]
    fn a_mask_has_room_for_the_longest_item() {
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        let shape = PackedShape::try_new(4, 2, 8, packing(&[5, 33]), packing(&[64, 1])).unwrap();
        assert_eq!(shape.mask_shape(16), [2, 4, 3, 4]);
        assert_eq!(
            AttentionShape::try_new(1, 4, 2, 33, 64, 8),
            Ok(shape.longest())
        );
        assert_eq!(shape.q_shape(), [38, 4, 8]);
        assert_eq!(shape.kv_shape(), [65, 2, 8]);
    }

    #[test]
    fn masks_of_items_are_packed_and_unpacked() {
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        let (q, k) = (packing(&[5, 0, 33]), packing(&[64, 9, 1]));
        let shape = PackedShape::try_new(4, 2, 8, q, k).unwrap();
        let rooms = Packing::in_slots(64, &[64, 9, 1]).unwrap();
        let in_rooms = PackedShape::try_new(4, 2, 8, packing(&[5, 0, 33]), rooms).unwrap();
        let heads = MaskHeads::Key;
        let shapes: Vec<_> = shape.item_shapes().collect();
        assert_eq!(shapes, in_rooms.item_shapes().collect::<Vec<_>>());
        let masks: Vec<_> = shapes
            .iter()
            .map(|item| {
                let [batch, heads, q_blocks, k_blocks] = item.mask_shape_by(16, heads);
                BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |_, h, i, j| {
                    (h + i + j) % 2 == 0
                })
            })
            .collect::<Result<_, _>>()
            .unwrap();
        let sizes = masks.iter().map(BlockMask::shape);
        assert!(sizes.eq([[1, 2, 1, 4], [1, 2, 0, 1], [1, 2, 3, 1]]));
        let all = shape.pack_masks(&masks, 16, heads).unwrap();
        assert_eq!(all.shape(), shape.mask_shape_by(16, heads));
        let count = masks.iter().map(BlockMask::count).sum::<usize>();
        assert_eq!((all.count(), count), (7, 7));
        assert_eq!(in_rooms.unpack_mask(&all, 16, heads).unwrap(), masks);
        // What lies behind the blocks of an item is dropped.
        let full = BlockMask::dense(3, 2, 3, 4).unwrap();
        let counts = shape.unpack_mask(&full, 16, heads).unwrap();
        assert!(counts.iter().map(BlockMask::count).eq([8, 0, 6]));

        let refused = shape.pack_masks(&masks[1..], 16, heads).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "there are 2 masks of 3 items; give one for each"
        );
        let mut turned = masks.clone();
        turned.swap(0, 2);
        let expected = [1, 2, 1, 4];
        let mask = [1, 2, 3, 1];
        let error = AttentionError::MaskShape {
            mask,
            expected,
            block: 16,
        };
        assert_eq!(shape.pack_masks(&turned, 16, heads), Err(error));
        let (mask, expected) = ([3, 2, 3, 4], [3, 4, 3, 4]);
        let error = AttentionError::MaskShape {
            mask,
            expected,
            block: 16,
        };
        assert_eq!(shape.unpack_mask(&all, 16, MaskHeads::Query), Err(error));
    }
}
