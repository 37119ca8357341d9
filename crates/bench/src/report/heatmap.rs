//! Block masks as pictures: a cell per block, or per square of blocks where there are many.

use serde::Serialize;
use sparse_core::BlockMask;

use crate::compare::attention::{PackedItem, Quality};

/// Cells along a side at most; larger masks are averaged.
const MOST_CELLS: usize = 96;
/// Pictures of a row at most.
const MOST_HEADS: usize = 16;
/// Shades between empty and full.
pub(super) const SHADES: usize = 8;

/// The masks of one attention row, one picture per head.
#[derive(Clone, Debug)]
pub struct MaskMap {
    /// The row in words.
    pub title: String,
    /// One mask per head (of every item).
    pub heads: Vec<HeadMask>,
}

/// The mask of one head.
#[derive(Clone, Debug)]
pub struct HeadMask {
    /// Name under the picture.
    pub name: String,
    /// Blocks of queries.
    pub q_blocks: usize,
    /// Blocks of keys.
    pub k_blocks: usize,
    /// Row-major `[q_blocks, k_blocks]`: whether the block is attended to.
    pub selected: Vec<bool>,
    /// Row-major `[q_blocks, k_blocks]`: whether a query of the block sees any key of it at all.
    pub reachable: Vec<bool>,
    /// Mean over the queries of the attention mass on kept keys.
    pub kept_mass: f64,
    /// `|out - dense out| / |dense out|`.
    pub relative_l2_error: f64,
}

impl MaskMap {
    /// Pictures of the first heads of `mask`, where attention could reach the blocks `reachable`, and what they keep.
    pub fn of(title: String, mask: &BlockMask, reachable: &BlockMask, quality: &Quality) -> Self {
        Self::of_heads(title, mask, reachable, quality, MOST_HEADS)
    }

    /// The same of packed sequences, of which each has a mask of its own size: the first heads of each.
    pub fn of_items(title: String, items: &[PackedItem]) -> Self {
        let most = (MOST_HEADS / items.len().max(1)).max(1);
        let mut all = Self {
            title,
            heads: Vec::new(),
        };
        for (number, item) in items.iter().enumerate() {
            let of_item = Self::of_heads(
                String::new(),
                &item.mask,
                &item.reachable,
                &item.quality,
                most,
            );
            all.heads
                .extend(of_item.heads.into_iter().map(|head| HeadMask {
                    name: format!("item {number}, {}", head.name),
                    ..head
                }));
        }
        if let Some(item) = items.first()
            && item.mask.heads() > most
        {
            let heads = item.mask.heads();
            all.title
                .push_str(&format!(", {most} of {heads} heads of each item"));
        }
        all
    }

    /// The same of at most `most` heads.
    pub(super) fn of_heads(
        title: String,
        mask: &BlockMask,
        reachable: &BlockMask,
        quality: &Quality,
        most: usize,
    ) -> Self {
        let (heads, all) = (mask.heads(), mask.batch() * mask.heads());
        let bits = |mask: &BlockMask, at: usize| -> Vec<bool> {
            (0..mask.q_blocks())
                .flat_map(|i| (0..mask.k_blocks()).map(move |j| (i, j)))
                .map(|(i, j)| mask.get(at / heads, at % heads, i, j))
                .collect()
        };
        let heads = (0..all.min(most)).map(|at| HeadMask {
            name: match mask.batch() {
                1 => format!("head {at}"),
                _ => format!("item {}, head {}", at / heads, at % heads),
            },
            q_blocks: mask.q_blocks(),
            k_blocks: mask.k_blocks(),
            selected: bits(mask, at),
            reachable: bits(reachable, at),
            kept_mass: quality.kept_mass_per_head[at],
            relative_l2_error: quality.relative_l2_error_per_head[at],
        });
        Self {
            heads: heads.collect(),
            title: if all > most {
                format!("{title}, {most} of {all} heads")
            } else {
                title
            },
        }
    }
}

impl HeadMask {
    /// `selected / reachable` blocks, 0 where nothing is reachable.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of blocks, far below 2^52"
    )]
    pub fn density(&self) -> f64 {
        let [selected, reachable] = self.counts();
        if reachable == 0 {
            0.0
        } else {
            selected as f64 / reachable as f64
        }
    }

    /// Selected and reachable blocks.
    fn counts(&self) -> [usize; 2] {
        let count = |all: &[bool]| all.iter().filter(|&&set| set).count();
        [count(&self.selected), count(&self.reachable)]
    }

    fn is_selected(&self, q: usize, k: usize) -> bool {
        self.selected
            .get(q * self.k_blocks + k)
            .copied()
            .unwrap_or(false)
    }

    fn is_reachable(&self, q: usize, k: usize) -> bool {
        self.reachable
            .get(q * self.k_blocks + k)
            .copied()
            .unwrap_or(false)
    }
}

/// What the template draws of one head.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Picture {
    name: String,
    width: usize,
    height: usize,
    /// Blocks along the side of a cell.
    blocks_per_cell: usize,
    /// `selected / reachable` blocks of the whole mask, 0 where nothing is reachable.
    density: f64,
    selected: usize,
    reachable: usize,
    kept_mass: f64,
    relative_l2_error: f64,
    /// SVG path of the cells that can be reached.
    field: String,
    shades: Vec<Shade>,
}

/// Cells of the same shade.
#[derive(Debug, PartialEq, Serialize)]
struct Shade {
    opacity: f64,
    path: String,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of blocks, far below 2^52"
)]
pub(super) fn picture(mask: &HeadMask) -> Picture {
    let blocks_per_cell = mask.q_blocks.max(mask.k_blocks).div_ceil(MOST_CELLS).max(1);
    let (height, width) = (
        mask.q_blocks.div_ceil(blocks_per_cell),
        mask.k_blocks.div_ceil(blocks_per_cell),
    );
    let levels: Vec<Vec<Option<usize>>> = (0..height)
        .map(|row| {
            (0..width)
                .map(|col| level(mask, row, col, blocks_per_cell))
                .collect()
        })
        .collect();
    let [selected, reachable] = mask.counts();
    let shades = (1..=SHADES)
        .map(|shade| Shade {
            opacity: shade as f64 / SHADES as f64,
            path: runs(&levels, |level| level == Some(shade)),
        })
        .filter(|shade| !shade.path.is_empty())
        .collect();
    Picture {
        name: mask.name.clone(),
        width,
        height,
        blocks_per_cell,
        density: mask.density(),
        selected,
        reachable,
        kept_mass: mask.kept_mass,
        relative_l2_error: mask.relative_l2_error,
        field: runs(&levels, |level| level.is_some()),
        shades,
    }
}

/// The shade of a cell: nothing where no block of it can be reached, 0 where none is selected, rounded up otherwise.
pub(super) fn level(mask: &HeadMask, row: usize, col: usize, side: usize) -> Option<usize> {
    let blocks = (row * side..mask.q_blocks.min((row + 1) * side))
        .flat_map(|q| (col * side..mask.k_blocks.min((col + 1) * side)).map(move |k| (q, k)));
    let (mut selected, mut reachable) = (0, 0);
    for (q, k) in blocks {
        selected += usize::from(mask.is_selected(q, k));
        reachable += usize::from(mask.is_reachable(q, k));
    }
    (reachable > 0 || selected > 0).then(|| (selected * SHADES).div_ceil(reachable.max(selected)))
}

/// One SVG path of rectangles, one per run of cells of a row that `wanted` takes.
fn runs(levels: &[Vec<Option<usize>>], wanted: impl Fn(Option<usize>) -> bool) -> String {
    let mut path = String::new();
    for (y, row) in levels.iter().enumerate() {
        let mut x = 0;
        while x < row.len() {
            let length = row[x..].iter().take_while(|&&level| wanted(level)).count();
            if length > 0 {
                path.push_str(&format!("M{x} {y}h{length}v1h-{length}z"));
            }
            x += length.max(1);
        }
    }
    path
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A causal mask with a diagonal, a sink column and one slash.
    pub(in super::super) fn causal(name: &str, blocks: usize, slash: usize) -> HeadMask {
        let at = |choose: &dyn Fn(usize, usize) -> bool| -> Vec<bool> {
            (0..blocks * blocks)
                .map(|i| choose(i / blocks, i % blocks))
                .collect()
        };
        HeadMask {
            name: name.into(),
            q_blocks: blocks,
            k_blocks: blocks,
            selected: at(&|q, k| k == q || k == 0 || q == k + slash || (k == 9 && q > 9)),
            reachable: at(&|q, k| k <= q),
            kept_mass: 0.9,
            relative_l2_error: 0.1,
        }
    }

    #[test]
    fn items_of_their_own_sizes_share_the_pictures_of_a_row() {
        let item = |heads: usize, blocks: usize| {
            let mask = BlockMask::dense(1, heads, blocks, blocks + 1).unwrap();
            PackedItem {
                is_scored: true,
                reachable: mask.clone(),
                mask,
                quality: Quality {
                    density: 1.0,
                    density_per_head: vec![1.0; heads],
                    relative_l2_error: 0.0,
                    relative_l2_error_per_head: vec![0.25; heads],
                    kept_mass: 1.0,
                    kept_mass_per_head: vec![0.75; heads],
                },
            }
        };
        let map = MaskMap::of_items("row".into(), &[item(2, 1), item(2, 3)]);
        assert_eq!(map.title, "row");
        let pictures: Vec<_> = map
            .heads
            .iter()
            .map(|head| (&head.name[..], head.q_blocks, head.k_blocks))
            .collect();
        assert_eq!(
            pictures,
            [
                ("item 0, head 0", 1, 2),
                ("item 0, head 1", 1, 2),
                ("item 1, head 0", 3, 4),
                ("item 1, head 1", 3, 4)
            ]
        );
        let items = [item(MOST_HEADS, 1), item(MOST_HEADS, 1)];
        let map = MaskMap::of_items("row".into(), &items);
        assert_eq!(map.title, "row, 8 of 16 heads of each item");
        assert_eq!(map.heads.len(), MOST_HEADS);
        assert!(MaskMap::of_items("none".into(), &[]).heads.is_empty());
    }

    #[test]
    fn small_masks_are_drawn_block_by_block() {
        let picture = picture(&causal("h", 3, 7));
        assert_eq!(
            (picture.width, picture.height, picture.blocks_per_cell),
            (3, 3, 1)
        );
        assert_eq!((picture.selected, picture.reachable), (5, 6));
        assert_eq!(picture.field, "M0 0h1v1h-1zM0 1h2v1h-2zM0 2h3v1h-3z");
        assert_eq!(picture.shades.len(), 1);
        assert_eq!(
            picture.shades[0].path,
            "M0 0h1v1h-1zM0 1h2v1h-2zM0 2h1v1h-1zM2 2h1v1h-1z"
        );
    }

    #[test]
    fn large_masks_are_averaged_and_no_selected_block_is_lost() {
        let mut mask = causal("h", 4 * MOST_CELLS, 50);
        mask.selected.fill(false);
        mask.selected[4 * MOST_CELLS * 8] = true;
        let picture = picture(&mask);
        assert_eq!((picture.width, picture.blocks_per_cell), (MOST_CELLS, 4));
        assert_eq!(picture.shades.len(), 1);
        assert_eq!(
            (picture.shades[0].opacity, &picture.shades[0].path[..]),
            (0.125, "M0 2h1v1h-1z")
        );
    }

    #[test]
    fn a_map_shows_the_bits_of_its_heads_and_says_how_many_it_leaves_out() {
        let all = BlockMask::dense(2, 9, 2, 3).unwrap();
        let mask =
            BlockMask::from_fn(2, 9, 2, 3, |b, h, i, j| (b, h, i, j) == (1, 2, 0, 1)).unwrap();
        let per_head = |first: f64| (0..18_u8).map(|i| first + f64::from(i)).collect();
        let quality = Quality {
            density: 0.0,
            density_per_head: per_head(0.0),
            relative_l2_error: 0.0,
            relative_l2_error_per_head: per_head(100.0),
            kept_mass: 0.0,
            kept_mass_per_head: per_head(200.0),
        };
        let map = MaskMap::of("row".into(), &mask, &all, &quality);
        assert_eq!(
            (map.heads.len(), &map.title[..]),
            (16, "row, 16 of 18 heads")
        );
        let head = &map.heads[11];
        assert_eq!(head.name, "item 1, head 2");
        assert_eq!((head.relative_l2_error, head.kept_mass), (111.0, 211.0));
        assert_eq!(head.selected, [false, true, false, false, false, false]);
        assert!(head.reachable.iter().all(|reachable| *reachable));
    }

    #[test]
    fn an_empty_mask_has_density_zero() {
        let nothing = HeadMask {
            name: String::new(),
            q_blocks: 0,
            k_blocks: 0,
            selected: Vec::new(),
            reachable: Vec::new(),
            kept_mass: 0.0,
            relative_l2_error: 0.0,
        };
        assert_eq!(picture(&nothing).density, 0.0);
    }
}
