//! The work of all items in one list: in as few dispatches as it takes.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use sparse_core::attention::{AttentionShape, PackedShape};

use crate::counting::word;

/// A tile of queries, as `block_attention.wgsl` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PackedTile {
    item: u32,
    first_query: u32,
    q_start: u32,
    q_len: u32,
    k_start: u32,
    k_len: u32,
}

#[cfg(test)]
impl PackedTile {
    /// Names of all fields, in order; a test compares them with the WGSL.
    pub(crate) const FIELDS: [&'static str; 6] = [
        "item",
        "first_query",
        "q_start",
        "q_len",
        "k_start",
        "k_len",
    ];
}

/// The tiles of `tile` queries of some items, those with the most keys first, dealt out to `parts`. A tile has queries of `heads` heads together,
/// numbered one head after the other.
pub(crate) fn work_list(
    shape: &PackedShape,
    items: &Range<usize>,
    (tile, heads): (usize, usize),
    causal: bool,
    parts: usize,
) -> Vec<PackedTile> {
    let mut weighed = Vec::new();
    let ranges = shape.q().ranges().zip(shape.k().ranges()).enumerate();
    for (item, (q, k)) in ranges.skip(items.start).take(items.len()) {
        let alone = AttentionShape::try_new(1, 1, 1, q.len(), k.len(), 1);
        for first in (0..heads * q.len()).step_by(tile) {
            // Tiles that reach into a second head have its last query, or as good as that.
            let last = (first % q.len() + tile).min(q.len()) - 1;
            let keys = match &alone {
                Ok(alone) if causal => alone.causal_keys(last),
                _ => k.len(),
            };
            weighed.push((
                keys,
                PackedTile {
                    item: word(item),
                    first_query: word(first),
                    q_start: word(q.start),
                    q_len: word(q.len()),
                    k_start: word(k.start),
                    k_len: word(k.len()),
                },
            ));
        }
    }
    weighed.sort_by_key(|&(keys, _)| std::cmp::Reverse(keys));
    deal(weighed.into_iter().map(|(_, tile)| tile), parts)
}

/// Deals sorted work out to `parts` neighbouring ranges, back and forth, so that each has as much: what `attention_row_order.wgsl` does
/// with rows.
fn deal<T>(sorted: impl IntoIterator<Item = T>, parts: usize) -> Vec<T> {
    let mut dealt: Vec<Vec<T>> = Vec::new();
    dealt.resize_with(parts.max(1), Vec::new);
    let last = dealt.len() - 1;
    for (rank, work) in sorted.into_iter().enumerate() {
        let (turn, place) = (rank / dealt.len(), rank % dealt.len());
        let part = if turn % 2 == 1 { last - place } else { place };
        if let Some(part) = dealt.get_mut(part) {
            part.push(work);
        }
    }
    dealt.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparse_core::attention::Packing;

    #[test]
    fn dealt_parts_have_as_much_work() {
        assert_eq!(deal([9, 8, 7, 6, 5], 1), [9, 8, 7, 6, 5]);
        assert_eq!(deal([9, 8, 7, 6, 5], 2), [9, 6, 5, 8, 7]);
        assert_eq!(deal([9, 8, 7, 6, 5], 3), [9, 8, 5, 7, 6]);
        assert_eq!(deal([9, 8], 4), [9, 8]);
        assert!(deal(Vec::<u32>::new(), 2).is_empty());
    }

    #[test]
    fn every_tile_is_listed_once_and_the_longest_first() {
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        let (q, k) = (packing(&[40, 0, 5, 16]), packing(&[100, 7, 0, 200]));
        let shape = PackedShape::try_new(1, 1, 1, q, k).unwrap();
        let list = work_list(&shape, &(0..4), (16, 1), true, 1);
        let places: Vec<_> = list.iter().map(|t| (t.item, t.first_query)).collect();
        // Keys: 200; 100, 92, 76 of item 0; none of item 2.
        assert_eq!(places, [(3, 0), (0, 32), (0, 16), (0, 0), (2, 0)]);
        assert_eq!((list[0].q_start, list[0].q_len), (45, 16));
        assert_eq!((list[0].k_start, list[0].k_len), (107, 200));
        let one = work_list(&shape, &(2..3), (16, 1), true, 1);
        assert_eq!(one, [list[4]]);
        // Three heads of 5 and 16 queries in tiles of 8.
        let shared = work_list(&shape, &(2..4), (8, 3), true, 1);
        let mut places: Vec<_> = shared.iter().map(|t| (t.item, t.first_query)).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                (2, 0),
                (2, 8),
                (3, 0),
                (3, 8),
                (3, 16),
                (3, 24),
                (3, 32),
                (3, 40)
            ]
        );
    }
}
