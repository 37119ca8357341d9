//! Where everything stands: a title, how to read the panels, and a grid of tiles, one per head.

use sparse_core::BlockMask;

use super::legend::{self, LEGEND_HEIGHT, LEGEND_WIDTH};
use super::tile::{Tile, tile};
use super::{Shape, Sheet, TextStyle};
use crate::compare::attention::Quality;
use crate::report::heatmap::{HeadMask, MaskMap};

/// Heads that are drawn at most.
const MOST_HEADS: usize = 64;
/// Around the page.
const MARGIN: u32 = 28;
/// Between tiles.
const GAP: [u32; 2] = [36, 30];
const TITLE_HEIGHT: u32 = 30;

/// Block scores and mask of the heads of one attention layer.
#[derive(Clone, Debug)]
pub struct AttentionMap {
    /// Line at the top, ASCII.
    pub title: String,
    /// One entry per head (of every item).
    pub heads: Vec<HeadMap>,
}

/// Scores and mask of one head.
#[derive(Clone, Debug)]
pub struct HeadMap {
    /// Mask, name and what it keeps.
    pub mask: HeadMask,
    /// Row-major `[q_blocks, k_blocks]`: estimated mass of each block; 0 everywhere where the head is not scored.
    pub scores: Vec<f32>,
    /// What decided about its blocks, in ASCII words: `threshold 0.900`.
    pub rule: String,
}

impl HeadMap {
    /// Whether any block has mass: a row of a scored head sums to a positive number.
    pub(super) fn is_scored(&self) -> bool {
        self.scores.iter().any(|score| *score != 0.0)
    }
}

impl AttentionMap {
    /// Of `scores` and `mask` `[batch, heads, q_blocks, k_blocks]`, and the blocks that attention can reach. `rule` says what
    /// decided about the blocks of a query head.
    pub fn of(
        title: String,
        scores: &[f32],
        mask: &BlockMask,
        reachable: &BlockMask,
        quality: &Quality,
        rule: &dyn Fn(usize) -> String,
    ) -> Self {
        let masks = MaskMap::of_heads(title, mask, reachable, quality, MOST_HEADS);
        let blocks = mask.q_blocks() * mask.k_blocks();
        let heads = masks.heads.into_iter().enumerate();
        Self {
            title: masks.title,
            heads: heads
                .map(|(at, mask_of_head)| HeadMap {
                    mask: mask_of_head,
                    scores: scores[at * blocks..(at + 1) * blocks].to_vec(),
                    rule: rule(at % mask.heads()),
                })
                .collect(),
        }
    }
}

pub(super) fn sheet(map: &AttentionMap) -> Sheet {
    let tiles: Vec<Tile> = map.heads.iter().map(tile).collect();
    // All tiles of a layer are of one size.
    let [tile_width, tile_height] = tiles.first().map_or([0, 0], |tile| tile.size);
    let columns = columns(tiles.len(), [tile_width + GAP[0], tile_height + GAP[1]]);
    let rows = tiles.len().div_ceil(columns.max(1));
    let grid_width = extent(columns, tile_width, GAP[0]);
    let width = grid_width
        .max(TextStyle::Title.width(&map.title))
        .max(LEGEND_WIDTH);
    let top = MARGIN + TITLE_HEIGHT + LEGEND_HEIGHT;
    let mut shapes = vec![Shape::Text {
        x: MARGIN,
        y: MARGIN,
        text: map.title.clone(),
        style: TextStyle::Title,
    }];
    shapes.extend(legend::shapes([MARGIN, MARGIN + TITLE_HEIGHT]));
    for (at, tile) in tiles.into_iter().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let x = MARGIN + steps(column, tile_width + GAP[0]);
        let y = top + steps(row, tile_height + GAP[1]);
        shapes.extend(tile.shapes.into_iter().map(|shape| shape.moved(x, y)));
    }
    Sheet {
        width: width + 2 * MARGIN,
        height: top + extent(rows, tile_height, GAP[1]) + MARGIN,
        shapes,
    }
}

/// The number of columns that makes the grid most like a 3:2 page.
#[expect(
    clippy::cast_precision_loss,
    reason = "at most 64 tiles of a few hundred pixels"
)]
fn columns(tiles: usize, [width, height]: [u32; 2]) -> usize {
    let ratio = |columns: usize| {
        let rows = tiles.div_ceil(columns);
        let ratio =
            (columns as f64 * f64::from(width)) / (rows as f64 * f64::from(height).max(1.0));
        (ratio / 1.5).ln().abs()
    };
    (1..=tiles)
        .min_by(|&a, &b| ratio(a).total_cmp(&ratio(b)))
        .unwrap_or(1)
}

fn extent(count: usize, size: u32, gap: u32) -> u32 {
    steps(count, size + gap).saturating_sub(gap)
}

fn steps(count: usize, step: u32) -> u32 {
    u32::try_from(count)
        .unwrap_or(u32::MAX)
        .saturating_mul(step)
}

impl Shape {
    fn moved(self, right: u32, down: u32) -> Self {
        match self {
            Self::Rects { colour, mut rects } => {
                for rect in &mut rects {
                    rect.x += right;
                    rect.y += down;
                }
                Self::Rects { colour, rects }
            }
            Self::Text { x, y, text, style } => Self::Text {
                x: x + right,
                y: y + down,
                text,
                style,
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::heatmap::tests::causal;

    /// A layer of made-up heads with 32 blocks.
    pub(in super::super) fn map(heads: usize) -> AttentionMap {
        let head = |h: usize| {
            let mask = causal(&format!("head {h}"), 32, 5 + 3 * h);
            let scores = (0..32 * 32_u16)
                .map(|i| f32::from(i % 32) / 496.0)
                .collect();
            HeadMap {
                mask,
                scores,
                rule: "threshold 0.900".into(),
            }
        };
        AttentionMap {
            title: "a layer & more".into(),
            heads: (0..heads).map(head).collect(),
        }
    }

    #[test]
    fn tiles_do_not_overlap_and_everything_is_on_the_page() {
        for heads in [0, 1, 2, 4, 7, 16] {
            let sheet = sheet(&map(heads));
            let mut frames = Vec::new();
            for shape in &sheet.shapes {
                match shape {
                    Shape::Text { x, y, text, style } => {
                        assert!(x + style.width(text) <= sheet.width, "{heads}: {text}");
                        assert!(y + style.size()[1] <= sheet.height, "{heads}: {text}");
                        assert!(text.is_ascii(), "{text}");
                    }
                    Shape::Rects { rects, .. } => {
                        for rect in rects {
                            assert!(rect.x + rect.width <= sheet.width);
                            assert!(rect.y + rect.height <= sheet.height);
                        }
                        frames.extend(rects.iter().filter(|rect| rect.width > 256).copied());
                    }
                }
            }
            assert_eq!(frames.len(), 2 * heads);
            for (i, a) in frames.iter().enumerate() {
                for b in &frames[i + 1..] {
                    let beside = a.x + a.width <= b.x || b.x + b.width <= a.x;
                    let above = a.y + a.height <= b.y || b.y + b.height <= a.y;
                    assert!(beside || above, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn grids_are_wider_than_high() {
        assert_eq!(columns(4, [540, 340]), 2);
        assert_eq!(columns(32, [540, 340]), 6);
        assert_eq!(columns(0, [540, 340]), 1);
    }
}
