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

/// Squares side by side along tokens: eight fill a line of 128 bytes of a panel.
pub(crate) const WHOLE_LINES_OF_PANELS: usize = 8;
/// Two and their neighbours along k read lines of x of 64 bytes as wholes.
pub(crate) const WHOLE_LINES_OF_X: usize = 2;

impl PackSquares {
    /// For panels of so many tokens, with at most `along_tokens` squares side by side along those; a panel of one has rows instead of squares.
    pub(crate) const fn of(panel: usize, along_tokens: usize) -> Self {
        let squares = panel.div_ceil(4);
        let squares_t = if squares < along_tokens {
            squares
        } else {
            along_tokens
        };
        let squares_k = PLAIN_LANES / squares_t;
        Self {
            tile_tokens: if panel < 4 { 1 } else { 4 * squares_t },
            tile_k: 4 * squares_k,
            squares_t,
            squares_k,
        }
    }
}
