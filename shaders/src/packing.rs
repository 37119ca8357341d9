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
    /// For panels of so many tokens; a panel of one, or of none, which kernels refuse, has rows instead of squares. Invocations side by side read lines of 64 bytes of x as wholes where
    /// they are to and x has tokens as rows, two squares along tokens; else they write whole lines of the panels, eight squares.
    const fn of(panel: usize, transposed: bool, reads_lines: bool) -> Self {
        let most = if reads_lines && !transposed { 2 } else { 8 };
        let squares = if panel < 4 { 1 } else { panel.div_ceil(4) };
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

/// What a kernel that packs finds, and how it leaves that behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub(crate) vector_input: bool,
    pub(crate) transposed: bool,
    pub(crate) panel: usize,
    pub(crate) reads_lines: bool,
}

impl Packing {
    pub(crate) const fn squares(self) -> PackSquares {
        PackSquares::of(self.panel, self.transposed, self.reads_lines)
    }

    /// The part of a kernel's name.
    pub(crate) fn label(self) -> String {
        let unaligned = if self.vector_input { "" } else { "_unaligned" };
        let transposed = if self.transposed { "_transposed" } else { "" };
        let lines = if self.reads_lines { "_lines" } else { "" };
        format!("{transposed}{unaligned}_panel-{}{lines}", self.panel)
    }
}

impl Serialize for Packing {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            vector_input: bool,
            transposed: bool,
            panel: usize,
            #[serde(flatten)]
            squares: PackSquares,
        }
        Variables {
            vector_input: self.vector_input,
            transposed: self.transposed,
            panel: self.panel,
            squares: self.squares(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_invocations_have_a_square() {
        let tile = |panel, transposed, reads_lines| {
            let squares = PackSquares::of(panel, transposed, reads_lines);
            (squares.tile_tokens, squares.tile_k)
        };
        assert_eq!(tile(4, false, false), (4, 256));
        assert_eq!(tile(64, false, false), (32, 32));
        assert_eq!(tile(64, false, true), (8, 128));
        assert_eq!(tile(64, true, true), (32, 32));
        // Rows of one token; panels of none are refused by the kernels, whoever asks them for sizes first.
        assert_eq!(tile(1, false, false), (1, 256));
        assert_eq!(tile(0, false, false), (1, 256));
        assert_eq!(tile(usize::MAX, false, false), (32, 32));
    }
}
