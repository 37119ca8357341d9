//! `matmul.wgsl`: the tiled matmul that dense, N:M and block-sparse weights share.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};
use crate::output::Output;

/// The register tile: how the outputs of a workgroup are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tile {
    /// Rows of w that every invocation of a workgroup computes: 1, 2, 4, 8 or 16.
    pub rows: usize,
    /// Tokens of an invocation: a multiple of 4, at most 16.
    pub cols: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
}

impl Tile {
    /// Tokens of a workgroup.
    pub const fn panel(self) -> usize {
        self.cols * self.lanes
    }

    /// Whether the templates can be expanded with this tile; `kernel` names what it is for.
    ///
    /// # Errors
    /// [`ConfigError`], one number out of range.
    pub fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let rows = self.rows.is_power_of_two() && self.rows <= 16;
        require(rows, kernel, "tile.rows", self.rows, "1, 2, 4, 8 or 16")?;
        let cols = self.cols.is_multiple_of(4) && (4..=16).contains(&self.cols);
        require(cols, kernel, "tile.cols", self.cols, "4, 8, 12 or 16")?;
        let lanes = self.lanes.is_power_of_two() && self.lanes <= 256;
        require(
            lanes,
            kernel,
            "tile.lanes",
            self.lanes,
            "a power of two up to 256",
        )
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.rows, self.cols, self.lanes)
    }
}

/// What a storage format adds to matmul and matvec: the list of k that a row of weights visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walk {
    /// Every k.
    Dense {
        /// Rows start at multiples of four elements, so that weights load as vec4.
        vector_weights: bool,
    },
    /// The N of every M columns that the V rows of a strip share.
    Nm {
        /// Stored weights of a group.
        n: usize,
        /// Columns of a group.
        m: usize,
        /// Rows that share one pattern.
        v: usize,
        /// Bits of a packed index.
        index_bits: u32,
    },
    /// Every k, with N:M weights put back in their places on the way: for rows that do not share a pattern.
    NmExpand {
        /// Stored weights of a group.
        n: usize,
        /// Columns of a group.
        m: usize,
        /// Rows that share one pattern.
        v: usize,
        /// Bits of a packed index.
        index_bits: u32,
    },
    /// As [`Walk::Nm`] for rows that do not share a pattern, each with a list of its own. For [`crate::MatvecKernel`] only.
    NmGather {
        /// Stored weights of a group.
        n: usize,
        /// Columns of a group.
        m: usize,
        /// Rows that share one pattern.
        v: usize,
        /// Bits of a packed index.
        index_bits: u32,
    },
    /// The columns of a block row's stored blocks.
    Bsr {
        /// Rows of a block.
        br: usize,
        /// Columns of a block.
        bc: usize,
    },
}

impl Walk {
    /// File name in `walks/`, without the ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Nm { .. } => "nm",
            Self::NmExpand { .. } => "nm_expand",
            Self::NmGather { .. } => "nm_gather",
            Self::Bsr { .. } => "bsr",
        }
    }

    /// Rows of w that share one list of k, where a tile has `tile_rows` rows.
    pub const fn strip_rows(self, tile_rows: usize) -> usize {
        match self {
            Self::Dense { .. } | Self::NmExpand { .. } | Self::NmGather { .. } => tile_rows,
            Self::Nm { v, .. } => v,
            Self::Bsr { br, .. } => br,
        }
    }

    pub(crate) fn label(self) -> String {
        match self {
            Self::Dense {
                vector_weights: true,
            } => "dense".to_owned(),
            Self::Dense {
                vector_weights: false,
            } => "dense_unaligned".to_owned(),
            Self::Nm { n, m, v, .. } => format!("nm_{v}:{n}:{m}"),
            Self::NmExpand { n, m, v, .. } => format!("nm_expand_{v}:{n}:{m}"),
            Self::NmGather { n, m, v, .. } => format!("nm_gather_{v}:{n}:{m}"),
            Self::Bsr { br, bc } => format!("bsr_{br}x{bc}"),
        }
    }

    pub(crate) fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        match self {
            Self::Dense { .. } => Ok(()),
            Self::Nm {
                n,
                m,
                v,
                index_bits,
            }
            | Self::NmExpand {
                n,
                m,
                v,
                index_bits,
            }
            | Self::NmGather {
                n,
                m,
                v,
                index_bits,
            } => {
                require((1..m).contains(&n), kernel, "n", n, "1 to m - 1")?;
                require((2..=32).contains(&m), kernel, "m", m, "2 to 32")?;
                require(v > 0, kernel, "v", v, "at least 1")?;
                let holds = matches!(index_bits, 1 | 2 | 4 | 8) && (m - 1) >> index_bits == 0;
                require(
                    holds,
                    kernel,
                    "index_bits",
                    index_bits as usize,
                    "1, 2, 4 or 8, and m - 1 fits",
                )
            }
            Self::Bsr { br, bc } => {
                require(br > 0, kernel, "block rows", br, "at least 1")?;
                require(bc > 0, kernel, "block columns", bc, "at least 1")
            }
        }
    }
}

/// The numbers of a walk as its template reads them (`config`).
#[derive(Serialize)]
pub(crate) struct WalkConfig {
    weight: Storage,
    vector_weights: bool,
    n: usize,
    m: usize,
    v: usize,
    index_bits: u32,
    groups_per_step: usize,
    bc: usize,
    bc4: usize,
}

impl WalkConfig {
    pub(crate) fn new(walk: Walk, weight: Storage) -> Self {
        let mut config = Self {
            weight,
            vector_weights: true,
            n: 0,
            m: 0,
            v: 0,
            index_bits: 0,
            groups_per_step: 0,
            bc: 0,
            bc4: 0,
        };
        match walk {
            Walk::Dense { vector_weights } => config.vector_weights = vector_weights,
            Walk::Nm {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmExpand {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmGather {
                n,
                m,
                v,
                index_bits,
            } => {
                (config.n, config.m, config.v, config.index_bits) = (n, m, v, index_bits);
                // Four columns from any multiple of 4: within one group where 4 divides m, else at most this many.
                config.groups_per_step = if m % 4 == 0 {
                    1
                } else {
                    3_usize.div_ceil(m) + 1
                };
            }
            Walk::Bsr { bc, .. } => (config.bc, config.bc4) = (bc, bc.div_ceil(4)),
        }
        config
    }
}

/// `y = act(alpha * x w^T + beta * c + bias)` with a register tile; see `matmul.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulKernel {
    /// Which k each row of weights visits.
    pub walk: Walk,
    /// The register tile.
    pub tile: Tile,
    /// Storage of the weights.
    pub weight: Storage,
    /// What becomes of the sums.
    pub output: Output,
    /// k is split in parts, each with sums of its own, for [`crate::MatmulFinishKernel`] to add up.
    pub split: bool,
}

impl MatmulKernel {
    /// f32 throughout, no epilogue, k in one part.
    pub const fn new(walk: Walk, tile: Tile) -> Self {
        Self {
            walk,
            tile,
            weight: Storage::F32,
            output: Output::F32,
            split: false,
        }
    }

    /// Rows of w that share one list of k.
    pub const fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.tile.rows)
    }
}

#[derive(Serialize)]
struct MatmulVariables {
    walk: &'static str,
    config: WalkConfig,
    rows: usize,
    cols: usize,
    lanes: usize,
    panel: usize,
    vectors: usize,
    strip_rows: usize,
    output: Output,
    split: bool,
}

impl Serialize for MatmulKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MatmulVariables {
            walk: self.walk.name(),
            config: WalkConfig::new(self.walk, self.weight),
            rows: self.tile.rows,
            cols: self.tile.cols,
            lanes: self.tile.lanes,
            panel: self.tile.panel(),
            vectors: self.tile.cols / 4,
            strip_rows: self.strip_rows(),
            output: self.output,
            split: self.split,
        }
        .serialize(serializer)
    }
}

impl Kernel for MatmulKernel {
    fn template(&self) -> &'static str {
        "matmul.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "matmul_{}_{}_w-{}_{}{}",
            self.walk.label(),
            self.tile,
            self.weight.name(),
            self.output.label(),
            if self.split { "_split" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.tile.check(&name)?;
        self.walk.check(&name)?;
        let shared = !matches!(self.walk, Walk::NmGather { .. });
        require(
            shared,
            &name,
            "lists of k in a tile",
            self.tile.rows,
            "one, that all rows share",
        )?;
        self.output.check(&name, self.tile.rows, self.strip_rows())
    }
}
