//! How to read the panels.

use super::colour::{DECADES, KEPT, SCORE_LEVELS, SKIPPED, score_colour};
use super::{Rect, Shape, TextStyle};

/// Height of the legend with the space below it.
pub(super) const LEGEND_HEIGHT: u32 = 92;
/// Width of its longest line.
pub(super) const LEGEND_WIDTH: u32 = 61 * 9;

const LINE: u32 = 21;
/// Pixels of a step of the scale, and its height.
const STEP: u32 = 5;
const SAMPLE: u32 = 14;

pub(super) fn shapes([left, top]: [u32; 2]) -> Vec<Shape> {
    let text = |x: u32, line: u32, text: &str, style| Shape::Text {
        x: left + x,
        y: top + line * LINE,
        text: text.into(),
        style,
    };
    let sample = |x: u32, line: u32, width: u32, colour| Shape::Rects {
        colour,
        rects: vec![Rect {
            x: left + x,
            y: top + line * LINE,
            width,
            height: SAMPLE,
        }],
    };
    let mut shapes = vec![
        text(
            0,
            0,
            "Query blocks go down, key blocks across; blank is future.",
            TextStyle::Soft,
        ),
        text(0, 1, "left:  share of the row's mass", TextStyle::Soft),
        text(0, 2, "right: blocks", TextStyle::Soft),
    ];
    // The scale, from 10^-DECADES to 1.
    let mut x = 280;
    let lowest = format!("{}", 10.0_f64.powf(-DECADES));
    shapes.push(text(x, 1, &lowest, TextStyle::Plain));
    x += TextStyle::Plain.width(&lowest) + 8;
    for level in 0..SCORE_LEVELS {
        shapes.push(sample(x, 1, STEP, score_colour(level)));
        x += STEP;
    }
    shapes.push(text(x + 8, 1, "1", TextStyle::Plain));
    let mut x = 136;
    for (colour, words) in [(KEPT, "attended to"), (SKIPPED, "skipped")] {
        shapes.push(sample(x, 2, SAMPLE, colour));
        shapes.push(text(x + SAMPLE + 8, 2, words, TextStyle::Plain));
        x += SAMPLE + 8 + TextStyle::Plain.width(words) + 20;
    }
    shapes
}
