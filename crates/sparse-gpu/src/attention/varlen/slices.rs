//! Ranges of items whose operands can be bound at once.

use std::ops::Range;

use sparse_core::attention::PackedShape;

/// Bytes that items take in bindings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemBytes {
    /// Of a token of q, or of the output, or of what stands for it: the largest.
    pub(crate) query: u64,
    /// Of a token of k or v: the larger.
    pub(crate) key: u64,
    /// Of the mask of an item.
    pub(crate) mask: u64,
    /// Queries at which a slice may begin: multiples of this.
    pub(crate) step: usize,
}

impl ItemBytes {
    fn fits(&self, shape: &PackedShape, items: &Range<usize>, limit: u64) -> bool {
        let [queries, keys] =
            [shape.q(), shape.k()].map(|packing| tokens(packing.offsets(), items));
        queries.len() as u64 * self.query <= limit
            && keys.len() as u64 * self.key <= limit
            && items.len() as u64 * self.mask <= limit
    }

    /// Cuts the items into ranges that fit `limit`. The item that does not, where one alone does not.
    pub(crate) fn slices(
        &self,
        shape: &PackedShape,
        limit: u64,
    ) -> Result<Vec<Range<usize>>, usize> {
        let items = shape.q().items();
        let mut slices = Vec::new();
        let mut begin = 0;
        // One past the last item where a slice from `begin` may end.
        let mut end = begin;
        for next in 1..=items {
            if !self.fits(shape, &(begin..next), limit) {
                if end == begin {
                    return Err(begin);
                }
                slices.push(begin..end);
                begin = end;
                if !self.fits(shape, &(begin..next), limit) {
                    return Err(begin);
                }
            }
            let aligned = tokens(shape.q().offsets(), &(0..next))
                .end
                .is_multiple_of(self.step);
            if next == items || aligned {
                end = next;
            }
        }
        if end > begin {
            slices.push(begin..end);
        }
        Ok(slices)
    }
}

/// The tokens of a range of items, given their offsets.
pub(crate) fn tokens(offsets: &[usize], items: &Range<usize>) -> Range<usize> {
    let at = |item: usize| offsets.get(item).copied().unwrap_or(0);
    at(items.start)..at(items.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparse_core::attention::Packing;

    fn shape(q: &[usize], k: &[usize]) -> PackedShape {
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        PackedShape::try_new(1, 1, 1, packing(q), packing(k)).unwrap()
    }

    const BYTES: ItemBytes = ItemBytes {
        query: 2,
        key: 1,
        mask: 0,
        step: 1,
    };

    #[test]
    fn slices_are_as_long_as_fits() {
        let shape = shape(&[1, 2, 3, 4, 0], &[9, 1, 1, 1, 1]);
        let all = 0..5;
        assert_eq!(BYTES.slices(&shape, 100), Ok(vec![all]));
        assert_eq!(BYTES.slices(&shape, 10), Ok(vec![0..2, 2..3, 3..5]));
        assert_eq!(BYTES.slices(&shape, 9), Ok(vec![0..1, 1..2, 2..3, 3..5]));
        assert_eq!(BYTES.slices(&shape, 8), Err(0), "nine keys");
        let masked = ItemBytes { mask: 40, ..BYTES };
        assert_eq!(masked.slices(&shape, 100), Ok(vec![0..2, 2..4, 4..5]));
    }

    #[test]
    fn slices_begin_at_whole_words() {
        let even = ItemBytes { step: 2, ..BYTES };
        let items = shape(&[1, 2, 3, 4], &[1; 4]);
        assert_eq!(even.slices(&items, 12), Ok(vec![0..3, 3..4]));
        assert_eq!(
            even.slices(&items, 8),
            Err(0),
            "six tokens must stay together"
        );
        assert_eq!(even.slices(&shape(&[], &[]), 1), Ok(vec![]));
    }
}
