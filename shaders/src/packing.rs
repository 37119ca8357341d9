//! What the two kernels that pack activations share.

use serde::Serialize;

/// How the 64 invocations of a workgroup lie, each of which turns a square of 4 tokens by 4 k.
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
    /// For panels of so many tokens; a panel of one has rows instead of squares.
    pub(crate) const fn of(panel: usize) -> Self {
        let squares_t = if panel < 32 { panel.div_ceil(4) } else { 8 };
        let squares_k = 64 / squares_t;
        Self {
            tile_tokens: if panel < 4 { 1 } else { 4 * squares_t },
            tile_k: 4 * squares_k,
            squares_t,
            squares_k,
        }
    }
}
