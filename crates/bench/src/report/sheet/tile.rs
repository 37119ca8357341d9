//! One head: name and numbers above, scores on the left, mask on the right.

use super::colour::{FRAME, PAGE, SCORE_LEVELS, kept_colour, score_colour, score_level};
use super::layout::HeadMap;
use super::{Rect, Shape, TextStyle};
use crate::report::heatmap::{SHADES, level};

/// Side of a panel in pixels at most.
const PANEL: u32 = 256;
/// Cells along a side at most; more blocks share cells.
const MOST_CELLS: usize = 128;
const PANEL_GAP: u32 = 14;
/// Two lines of text.
const CAPTION_HEIGHT: u32 = 44;
const LINE: u32 = 19;

/// In the place of scores that nobody computed.
const NOT_SCORED: &str = "not scored";

/// Shapes of one head from its own upper left corner.
#[derive(Debug)]
pub(super) struct Tile {
    pub(super) size: [u32; 2],
    pub(super) shapes: Vec<Shape>,
}

/// Rows and columns of cells, and how many blocks and pixels each has along a side.
#[derive(Clone, Copy, Debug)]
struct Cells {
    rows: usize,
    columns: usize,
    blocks: usize,
    pixels: u32,
}

impl Cells {
    fn of(q_blocks: usize, k_blocks: usize) -> Self {
        let longest = q_blocks.max(k_blocks).max(1);
        let blocks = longest.div_ceil(MOST_CELLS);
        let cells = u32::try_from(longest.div_ceil(blocks)).unwrap_or(PANEL);
        Self {
            rows: q_blocks.div_ceil(blocks),
            columns: k_blocks.div_ceil(blocks),
            blocks,
            pixels: (PANEL / cells).max(1),
        }
    }

    fn pixels(&self, cells: usize) -> u32 {
        u32::try_from(cells)
            .unwrap_or(u32::MAX)
            .saturating_mul(self.pixels)
    }
}

pub(super) fn tile(head: &HeadMap) -> Tile {
    let mask = &head.mask;
    let cells = Cells::of(mask.q_blocks, mask.k_blocks);
    let (width, height) = (cells.pixels(cells.columns), cells.pixels(cells.rows));
    let captions = captions(head);
    let text_width = captions.iter().map(|(text, style)| style.width(text)).max();
    let mut shapes: Vec<Shape> = captions
        .into_iter()
        .zip(0..)
        .map(|((text, style), line)| Shape::Text {
            x: 0,
            y: line * LINE,
            text,
            style,
        })
        .collect();
    let second = width + 2 + PANEL_GAP;
    for x in [0, second] {
        shapes.extend(frame([x, CAPTION_HEIGHT], [width + 2, height + 2]));
    }
    let at = [1, CAPTION_HEIGHT + 1];
    let shares = shares(head);
    if head.is_scored() {
        let colours = (0..SCORE_LEVELS).map(score_colour);
        shapes.extend(panel(at, cells, colours, &|row, column| {
            score_cell(head, &shares, cells.blocks, row, column)
        }));
    } else if width > TextStyle::Soft.width(NOT_SCORED) {
        shapes.push(Shape::Text {
            x: (width - TextStyle::Soft.width(NOT_SCORED)) / 2,
            y: at[1] + (height / 2).saturating_sub(LINE / 2),
            text: NOT_SCORED.into(),
            style: TextStyle::Soft,
        });
    }
    let colours = (0..=SHADES).map(|shade| kept_colour(shade, SHADES));
    shapes.extend(panel(
        [second + 1, at[1]],
        cells,
        colours,
        &|row, column| level(mask, row, column, cells.blocks),
    ));
    Tile {
        size: [
            (second + width + 2).max(text_width.unwrap_or(0)),
            CAPTION_HEIGHT + height + 2,
        ],
        shapes,
    }
}

fn captions(head: &HeadMap) -> [(String, TextStyle); 2] {
    let mask = &head.mask;
    [
        (format!("{}   {}", mask.name, head.rule), TextStyle::Strong),
        (
            format!(
                "density {:.3}, mass kept {:.3}, error {:.3}",
                mask.density(),
                mask.kept_mass,
                mask.relative_l2_error
            ),
            TextStyle::Plain,
        ),
    ]
}

/// A line around a panel.
fn frame([x, y]: [u32; 2], [width, height]: [u32; 2]) -> [Shape; 2] {
    let rect = |inset: u32, colour| Shape::Rects {
        colour,
        rects: vec![Rect {
            x: x + inset,
            y: y + inset,
            width: width - 2 * inset,
            height: height - 2 * inset,
        }],
    };
    [rect(0, FRAME), rect(1, PAGE)]
}

/// What each block holds of its row's mass.
fn shares(head: &HeadMap) -> Vec<f64> {
    let rows = head.scores.chunks(head.mask.k_blocks.max(1));
    rows.flat_map(|row| {
        let total: f64 = row.iter().map(|&score| f64::from(score)).sum();
        row.iter().map(move |&score| {
            if total > 0.0 {
                f64::from(score) / total
            } else {
                0.0
            }
        })
    })
    .collect()
}

/// The level of the block of the cell that holds most; nothing where none can be reached.
fn score_cell(
    head: &HeadMap,
    shares: &[f64],
    side: usize,
    row: usize,
    column: usize,
) -> Option<usize> {
    let mask = &head.mask;
    let blocks = (row * side..mask.q_blocks.min((row + 1) * side)).flat_map(|q| {
        (column * side..mask.k_blocks.min((column + 1) * side)).map(move |k| q * mask.k_blocks + k)
    });
    let reachable = blocks.filter(|&at| mask.reachable.get(at).copied().unwrap_or(false));
    let most = reachable
        .map(|at| shares.get(at).copied().unwrap_or(0.0))
        .max_by(f64::total_cmp);
    most.map(score_level)
}

/// The cells of a panel, those of a colour together, runs of a row in one rectangle.
fn panel(
    [left, top]: [u32; 2],
    cells: Cells,
    colours: impl Iterator<Item = super::Colour>,
    level: &dyn Fn(usize, usize) -> Option<usize>,
) -> Vec<Shape> {
    let mut shapes: Vec<(super::Colour, Vec<Rect>)> =
        colours.map(|colour| (colour, Vec::new())).collect();
    for row in 0..cells.rows {
        let levels: Vec<Option<usize>> = (0..cells.columns).map(|c| level(row, c)).collect();
        let mut column = 0;
        for run in levels.chunk_by(|a, b| a == b) {
            if let Some((_, rects)) = run[0].and_then(|level| shapes.get_mut(level)) {
                rects.push(Rect {
                    x: left + cells.pixels(column),
                    y: top + cells.pixels(row),
                    width: cells.pixels(run.len()),
                    height: cells.pixels,
                });
            }
            column += run.len();
        }
    }
    shapes
        .into_iter()
        .filter(|(_, rects)| !rects.is_empty())
        .map(|(colour, rects)| Shape::Rects { colour, rects })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::map;
    use super::*;

    #[test]
    fn cells_fill_the_panel_and_many_blocks_share_them() {
        for (blocks, cells, pixels, per_cell) in [
            (1, 1, 256, 1),
            (32, 32, 8, 1),
            (100, 100, 2, 1),
            (512, 128, 2, 4),
        ] {
            let of = Cells::of(blocks, blocks);
            assert_eq!(
                (of.rows, of.pixels, of.blocks),
                (cells, pixels, per_cell),
                "{blocks}"
            );
        }
        let wide = Cells::of(1, 64);
        assert_eq!((wide.rows, wide.columns, wide.pixels), (1, 64, 4));
    }

    #[test]
    fn a_tile_has_its_numbers_and_covers_every_reachable_block_in_both_panels() {
        let head = &map(1).heads[0];
        let tile = tile(head);
        let texts: Vec<&str> = tile
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, .. } => Some(&text[..]),
                Shape::Rects { .. } => None,
            })
            .collect();
        assert_eq!(texts[0], "head 0   threshold 0.900");
        assert!(texts[1].starts_with("density 0.2"), "{}", texts[1]);
        assert!(texts[1].ends_with("mass kept 0.900, error 0.100"));
        let area: u32 = tile
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Rects { colour, rects } if ![FRAME, PAGE].contains(colour) => Some(rects),
                _ => None,
            })
            .flatten()
            .map(|rect| rect.width * rect.height)
            .sum();
        // 32 * 33 / 2 blocks of 8 x 8 pixels, twice.
        assert_eq!(area, 2 * 32 * 33 / 2 * 64);
    }

    #[test]
    fn a_head_that_is_not_scored_says_so() {
        let mut head = map(1).heads[0].clone();
        head.scores.fill(0.0);
        let shapes = tile(&head).shapes;
        let is_words =
            |shape: &Shape| matches!(shape, Shape::Text { text, .. } if text == NOT_SCORED);
        assert!(shapes.iter().any(is_words));
    }

    #[test]
    fn a_head_without_blocks_is_only_text() {
        let mut head = map(1).heads[0].clone();
        (head.mask.q_blocks, head.mask.k_blocks) = (0, 0);
        (head.mask.selected, head.mask.reachable) = (Vec::new(), Vec::new());
        head.scores = Vec::new();
        assert!(tile(&head).shapes.len() >= 2);
    }
}
