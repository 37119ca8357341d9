//! The kernels that a plan may run, each with its tile.

use sparse_core::DType;
use sparse_shaders::{CooperativeTile, LOOP_ENTRY, MatvecKernel, Tile, Walk};

use crate::matmul::layout::WORD_WEIGHTS;
use crate::matmul::problem::Tier;

/// The kernel that a plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelChoice {
    /// `matmul.wgsl`.
    Tiled(Tile),
    /// `matvec.wgsl`.
    Matvec(MatvecTile),
    /// `matmul_cooperative.wgsl`.
    Cooperative { tile: CooperativeTile, padded: bool },
}

/// What a workgroup of `matvec.wgsl` owns: rows of w (outputs, where those lie side by side) times all tokens of a panel, by so many lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatvecTile {
    pub(crate) rows: usize,
    pub(crate) panel: usize,
    pub(crate) lanes: usize,
}

impl MatvecTile {
    /// The kernel of this tile, f32 throughout and without an epilogue.
    pub(crate) const fn kernel(self, walk: Walk) -> MatvecKernel {
        MatvecKernel::new(walk, self.rows, self.panel, self.lanes)
    }

    /// Rounds of the loops of one invocation: each slice takes its share of `steps`, then each lane adds up its share of the sums, one partial sum
    /// a round.
    pub(crate) fn loop_rounds(self, walk: Walk, steps: usize) -> usize {
        let rounds_of_step = match walk {
            // Itself, and a loop that takes four stored weights a round.
            Walk::NmSelect { .. } => 1 + WORD_WEIGHTS / 4 + LOOP_ENTRY,
            _ => 1,
        };
        let slices = self.kernel(walk).slices();
        steps.div_ceil(slices) * rounds_of_step
            + (self.rows * self.panel).div_ceil(self.lanes) * (slices + 1 + LOOP_ENTRY)
    }
}

impl KernelChoice {
    /// Rows of w that a workgroup takes.
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Tiled(tile) => tile.rows,
            Self::Matvec(tile) => tile.rows,
            Self::Cooperative { tile, .. } => tile.rows(),
        }
    }

    /// Tokens of a panel of packed activations.
    pub(crate) fn panel(self) -> usize {
        match self {
            Self::Tiled(tile) => tile.panel(),
            Self::Matvec(tile) => tile.panel,
            Self::Cooperative { tile, .. } => tile.panel(),
        }
    }

    /// Stored weights of a row that one round of the kernel's loop takes.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Tiled(_) | Self::Matvec(_) => 4,
            Self::Cooperative { tile, .. } => tile.size.side(),
        }
    }

    /// How the kernel has activations of type `x` packed. On processors it takes halves as they are, where it converts them after loading: four
    /// tokens in a word of 64 bits for two of f32, and loads that differ by lane are what a product costs there.
    pub(crate) fn packed(self, x: DType, software: bool) -> DType {
        match self {
            Self::Tiled(_) if software => x,
            Self::Tiled(_) | Self::Matvec(_) => DType::F32,
            Self::Cooperative { .. } => DType::F16,
        }
    }

    /// Rounds of the loops of one invocation that takes `steps` steps of `walk`.
    pub(crate) fn loop_rounds(self, walk: Walk, steps: usize) -> usize {
        match self {
            Self::Tiled(_) => steps,
            Self::Matvec(tile) => tile.loop_rounds(walk, steps),
            Self::Cooperative { tile, .. } => cooperative_rounds(tile, steps),
        }
    }

    /// The same kernel with a tile that takes fewer tokens at once, where there is one.
    pub(crate) fn smaller(self) -> Option<Self> {
        match self {
            Self::Tiled(tile) if tile.lanes > 8 => Some(Self::Tiled(Tile {
                lanes: tile.lanes / 2,
                ..tile
            })),
            Self::Tiled(tile) if tile.cols > 4 => Some(Self::Tiled(Tile { cols: 4, ..tile })),
            // Idle lanes are better than no product.
            Self::Tiled(tile) if tile.lanes > 1 => Some(Self::Tiled(Tile {
                lanes: tile.lanes / 2,
                ..tile
            })),
            Self::Cooperative { tile, padded } if tile.token_matrices > 1 => {
                let token_matrices = tile.token_matrices / 2;
                let tile = CooperativeTile {
                    token_matrices,
                    ..tile
                };
                Some(Self::Cooperative { tile, padded })
            }
            // No smaller: chunks of an even number of tokens start at whole words of y.
            Self::Matvec(tile) if tile.panel > 4 => {
                Some(Self::Matvec(MatvecTile { panel: 4, ..tile }))
            }
            _ => None,
        }
    }

    /// What it needs of a device.
    pub(crate) fn tier(self) -> Tier {
        match self {
            Self::Tiled(_) | Self::Matvec(_) => Tier::Portable,
            Self::Cooperative { .. } => Tier::CooperativeMatrix,
        }
    }

    /// In words, for weights that are walked by `walk`.
    pub(crate) fn describe(self, walk: Walk) -> String {
        match self {
            Self::Tiled(tile) => {
                format!(
                    "{} rows x {} tokens x {} lanes",
                    tile.rows, tile.cols, tile.lanes
                )
            }
            Self::Matvec(MatvecTile { rows, panel, lanes }) => {
                if walk.columns() {
                    format!("{rows} outputs x {panel} tokens, side by side on {lanes} lanes")
                } else {
                    format!("{rows} rows x {panel} tokens, k over {lanes} lanes")
                }
            }
            Self::Cooperative { tile, .. } => {
                let side = tile.size.side();
                format!(
                    "{} x {} matrices of {side} x {side} a subgroup, {} tokens by {} lanes",
                    tile.row_matrices,
                    tile.token_matrices,
                    tile.panel(),
                    tile.lanes
                )
            }
        }
    }
}

/// The steps of each share of tokens that a subgroup takes; in each it moves both operands, and stores the sums after them.
fn cooperative_rounds(tile: CooperativeTile, steps: usize) -> usize {
    let quads = tile.size.side() / 4;
    let squares = quads * tile.panel() / tile.shares / 4;
    let moved = squares.div_ceil(tile.lanes) + (quads * tile.rows()).div_ceil(tile.lanes);
    // Subgroups are never larger than workgroups: one subgroup takes all shares, at worst.
    let stored = tile.row_matrices * tile.token_matrices * 4 * quads * quads;
    tile.shares * (1 + steps.div_ceil(quads) * (1 + moved)) + stored
}
