//! What the two kernels that pack activations share.

use serde::Serialize;

use crate::kernel::PLAIN_LANES;

/// How the invocations of a workgroup lie, each of which turns a square of 4 tokens by 4 k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PackSquares {
    /// Tokens that the workgroup moves.
    pub(crate) tile_tokens: usize,
    /// Columns that it moves.
    pub(crate) tile_k: usize,
    squares_t: usize,
    squares_k: usize,
}

impl PackSquares {
    /// For panels of so many tokens; a panel of one has rows instead of squares. Invocations side by side read lines of 64 bytes of x as wholes where
    /// `lines_of_x`, two squares along tokens; else they write whole lines of the panels, eight squares.
    pub(crate) const fn of(panel: usize, lines_of_x: bool) -> Self {
        let most = if lines_of_x { 2 } else { 8 };
        let squares = panel.div_ceil(4);
        let squares_t = if squares < most { squares } else { most };
        let squares_k = PLAIN_LANES / squares_t;
        Self {
            tile_tokens: if panel < 4 { 1 } else { 4 * squares_t },
            tile_k: 4 * squares_k,
            squares_t,
            squares_k,
        }
    }
}
