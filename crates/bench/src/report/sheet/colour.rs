//! Colours of the picture.

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

pub(super) const PAGE: Colour = [255, 255, 255];
pub(super) const INK: Colour = [27, 35, 48];
pub(super) const SOFT: Colour = [93, 104, 120];
/// Blocks that are skipped.
pub(super) const SKIPPED: Colour = [221, 226, 234];
/// Blocks that are attended to.
pub(super) const KEPT: Colour = [37, 99, 201];
/// Around the panels.
pub(super) const FRAME: Colour = [160, 169, 184];

/// Steps of the scale of scores.
pub(super) const SCORE_LEVELS: usize = 32;
/// Decades of the scale: shares of `10^-DECADES` and less have the first colour.
pub(super) const DECADES: f64 = 4.0;

/// Dark to light, and readable without colour: blue-violet, blue, green, yellow.
const SCALE: [Colour; 5] = [
    [48, 18, 84],
    [50, 88, 150],
    [30, 146, 140],
    [110, 200, 92],
    [253, 231, 66],
];

/// The level of a share of a row's mass, on a logarithmic scale.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the value is clamped to the few levels before it is rounded"
)]
pub(super) fn score_level(share: f64) -> usize {
    let top = (SCORE_LEVELS - 1) as f64;
    let at = (1.0 + share.log10() / DECADES) * top;
    // Of 0 the logarithm is minus infinity, of NaN it is NaN: both get the first colour.
    at.max(0.0).min(top).round() as usize
}

/// The colour of a level.
pub(super) fn score_colour(level: usize) -> Colour {
    let (segments, top) = (SCALE.len() - 1, SCORE_LEVELS - 1);
    let at = level.min(top) * segments;
    let from = (at / top).min(segments - 1);
    blend(SCALE[from], SCALE[from + 1], at - from * top, top)
}

/// The colour of a cell of which `part` of `whole` blocks are kept.
pub(super) fn kept_colour(part: usize, whole: usize) -> Colour {
    blend(SKIPPED, KEPT, part, whole)
}

fn blend(from: Colour, to: Colour, part: usize, whole: usize) -> Colour {
    let whole = whole.max(1);
    let part = part.min(whole);
    std::array::from_fn(|i| {
        let mixed = usize::from(from[i]) * (whole - part) + usize::from(to[i]) * part;
        // A mean of bytes is a byte.
        u8::try_from((mixed + whole / 2) / whole).unwrap_or(u8::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_logarithmic_and_takes_any_number() {
        assert_eq!(
            [1.0, 0.01, 1e-4, 0.0].map(score_level),
            [SCORE_LEVELS - 1, 16, 0, 0]
        );
        assert_eq!([f64::NAN, 2.0, -1.0].map(score_level), [0, 31, 0]);
        assert_eq!(score_colour(0), SCALE[0]);
        assert_eq!(score_colour(SCORE_LEVELS - 1), SCALE[4]);
    }

    #[test]
    fn colours_mix_by_share() {
        assert_eq!(kept_colour(0, 4), SKIPPED);
        assert_eq!(kept_colour(4, 4), KEPT);
        assert_eq!(blend([0, 0, 100], [100, 0, 0], 1, 4), [25, 0, 75]);
        assert_eq!(kept_colour(0, 0), SKIPPED);
    }
}
