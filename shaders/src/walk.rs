//! Which k the weights of a strip visit, and how they are read.

use serde::Serialize;

use crate::kernel::{ConfigError, Storage, require};
use crate::quad_patterns::QuadPatterns;

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
    /// As [`Walk::Nm`] for rows that do not share a pattern: each branches on its own, the same way in the whole workgroup. For
    /// [`crate::MatmulKernel`] only, and for 2:4, 1:4 and 1:2, whose patterns are few ([`Walk::BRANCHES`]).
    NmBranch {
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
    /// As [`Walk::NmGather`] for groups of four columns: x is loaded once for all rows, each of which selects in registers. For
    /// [`crate::MatvecKernel`] only.
    NmSelect {
        /// Stored weights of a group: 1 or 2.
        n: usize,
        /// Rows that share one pattern.
        v: usize,
        /// The last step has 16 stored weights, too.
        whole_steps: bool,
    },
    /// Every k, of weights stored as `[k_in, n_out]`.
    DenseTransposed {
        /// Rows start at multiples of four elements, so that weights load as vec4.
        vector_weights: bool,
        /// The last step has four k, too.
        whole_steps: bool,
    },
    /// Every k, of N:M weights stored as `[k_in, n_out]`, put back in their places on the way.
    NmTransposed {
        /// Stored weights of a group.
        n: usize,
        /// Columns of a group.
        m: usize,
        /// Rows that share one pattern.
        v: usize,
        /// Bits of a packed index.
        index_bits: u32,
        /// The last step has four k, too.
        whole_steps: bool,
    },
    /// The rows of the stored blocks of a block column, of weights stored as `[k_in, n_out]`.
    BsrTransposed {
        /// Rows of a block.
        br: usize,
        /// Columns of a block.
        bc: usize,
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
    /// N and M that [`Walk::NmBranch`] takes.
    pub const BRANCHES: [(usize, usize); 3] = [(2, 4), (1, 4), (1, 2)];

    /// File name in `walks/`, without the ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Nm { .. } => "nm",
            Self::NmExpand { .. } => "nm_expand",
            Self::NmBranch { .. } => "nm_branch",
            Self::NmGather { .. } => "nm_gather",
            Self::NmSelect { .. } => "nm_select",
            Self::Bsr { .. } => "bsr",
            Self::DenseTransposed { .. } => "dense_transposed",
            Self::NmTransposed { .. } => "nm_transposed",
            Self::BsrTransposed { .. } => "bsr_transposed",
        }
    }

    /// Whether weights are stored as `[k_in, n_out]`: four outputs of one k are neighbours, rather than four k of one output.
    pub const fn quads(self) -> bool {
        matches!(
            self,
            Self::DenseTransposed { .. } | Self::NmTransposed { .. } | Self::BsrTransposed { .. }
        )
    }

    /// Whether the weights of all outputs at one k follow each other in memory.
    pub const fn columns(self) -> bool {
        matches!(
            self,
            Self::DenseTransposed { .. } | Self::NmTransposed { .. }
        )
    }

    /// Whether every row has a list of k of its own, which only [`crate::MatvecKernel`] follows.
    pub(crate) const fn own_lists(self) -> bool {
        matches!(self, Self::NmGather { .. } | Self::NmSelect { .. })
    }

    /// Outputs that share one list of k, where a tile has `tile_rows` rows.
    pub const fn strip_rows(self, tile_rows: usize) -> usize {
        match self {
            Self::Dense { .. }
            | Self::NmExpand { .. }
            | Self::NmBranch { .. }
            | Self::NmGather { .. }
            | Self::NmSelect { .. }
            | Self::DenseTransposed { .. }
            | Self::NmTransposed { .. } => tile_rows,
            Self::BsrTransposed { bc, .. } => bc,
            Self::Nm { v, .. } => v,
            Self::Bsr { br, .. } => br,
        }
    }

    /// Groups of N:M weights that four columns from any multiple of 4 on reach into, at most; 0 of other weights.
    pub const fn groups_of_a_quad(self) -> usize {
        match self {
            Self::Nm { m, .. }
            | Self::NmExpand { m, .. }
            | Self::NmBranch { m, .. }
            | Self::NmGather { m, .. }
            | Self::NmTransposed { m, .. } => {
                if m.is_multiple_of(4) {
                    1
                } else {
                    3_usize.div_ceil(m) + 1
                }
            }
            _ => 0,
        }
    }

    /// Rows of a tile, at most.
    pub const fn most_rows(self) -> usize {
        match self {
            // 16 trees of branches in a step of four stored weights.
            Self::NmBranch { n: 1, m: 4, .. } => 4,
            Self::NmBranch { .. } => 8,
            _ => 16,
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
            Self::NmBranch { n, m, v, .. } => format!("nm_branch_{v}:{n}:{m}"),
            Self::NmGather { n, m, v, .. } => format!("nm_gather_{v}:{n}:{m}"),
            Self::NmSelect { n, v, whole_steps } => {
                format!("nm_select_{v}:{n}:4{}", tail(whole_steps))
            }
            Self::Bsr { br, bc } => format!("bsr_{br}x{bc}"),
            Self::BsrTransposed { br, bc } => format!("bsr_transposed_{br}x{bc}"),
            Self::DenseTransposed {
                vector_weights,
                whole_steps,
            } => format!(
                "dense_transposed{}{}",
                if vector_weights { "" } else { "_unaligned" },
                tail(whole_steps)
            ),
            Self::NmTransposed {
                n,
                m,
                v,
                whole_steps,
                ..
            } => format!("nm_transposed_{v}:{n}:{m}{}", tail(whole_steps)),
        }
    }

    pub(crate) fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        match self {
            Self::Dense { .. } | Self::DenseTransposed { .. } => Ok(()),
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
            | Self::NmBranch {
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
            }
            | Self::NmTransposed {
                n,
                m,
                v,
                index_bits,
                ..
            } => {
                require((1..m).contains(&n), kernel, "n", n, "1 to m - 1")?;
                require((2..=32).contains(&m), kernel, "m", m, "2 to 32")?;
                require(v > 0, kernel, "v", v, "at least 1")?;
                let few =
                    !matches!(self, Self::NmBranch { .. }) || Self::BRANCHES.contains(&(n, m));
                require(few, kernel, "m of a branch", m, "2:4, 1:4 and 1:2")?;
                let holds = matches!(index_bits, 1 | 2 | 4 | 8) && (m - 1) >> index_bits == 0;
                require(
                    holds,
                    kernel,
                    "index_bits",
                    index_bits as usize,
                    "1, 2, 4 or 8, and m - 1 fits",
                )
            }
            Self::NmSelect { n, v, .. } => {
                require((1..=2).contains(&n), kernel, "n", n, "1 or 2")?;
                require(v > 0, kernel, "v", v, "at least 1")
            }
            Self::Bsr { br, bc } | Self::BsrTransposed { br, bc } => {
                require(br > 0, kernel, "block rows", br, "at least 1")?;
                require(bc > 0, kernel, "block columns", bc, "at least 1")
            }
        }
    }
}

impl Walk {
    /// Whether tiles of `rows` rows can take this walk's weights.
    pub(crate) fn check_rows(
        self,
        kernel: &dyn Fn() -> String,
        rows: usize,
    ) -> Result<(), ConfigError> {
        let fours = !self.quads() || rows.is_multiple_of(4);
        require(
            fours,
            kernel,
            "rows",
            rows,
            "4, 8 or 16 where w is transposed",
        )?;
        require(
            rows <= self.most_rows(),
            kernel,
            "rows",
            rows,
            "at most 8 where rows branch, at most 4 of 1:4: compilers take minutes for more branches one after the other",
        )
    }
}

const fn tail(whole_steps: bool) -> &'static str {
    if whole_steps { "" } else { "_tail" }
}

/// The numbers of a walk as its template reads them (`config`).
#[derive(Serialize)]
pub(crate) struct WalkConfig {
    weight: Storage,
    /// Weights are bound as an array of f16, for cooperative matrices, rather than as words.
    native: bool,
    vector_weights: bool,
    n: usize,
    m: usize,
    v: usize,
    index_bits: u32,
    groups_per_step: usize,
    quad: QuadPatterns,
    br: usize,
    br4: usize,
    bc: usize,
    bc4: usize,
    whole_steps: bool,
    /// Workgroups are made for GPUs, whose compilers care about the order of loads and of additions. Those of at most 8 invocations are for
    /// processors, where what a loop carries costs.
    for_gpus: bool,
    /// The list is read a step ahead of the multiplications. By the compilers' estimates (Intel, Adreno,
    /// `docs/isa`) that hides the read behind half-width weights, whose unpacking takes registers, and behind those of blocks; f32 weights of N:M
    /// are scheduled better without.
    reads_ahead: bool,
    /// A list that is not read ahead is read first, then come weights, then the places in x that follow from it (the same estimates: NVIDIA
    /// 8:2:4 1.09 of dense -> 1.03, Battlemage 16:2:8 1.11 -> 1.07, DG2 1.07 -> 1.09).
    weights_first: bool,
    /// From one k of the packed activations to the next, and the power of two that this is, if it is one.
    x_stride: usize,
    x_shift: Option<u32>,
}

impl WalkConfig {
    /// `x_stride` is in elements of the array of packed activations, which are `vec4` or, for one token, f32.
    pub(crate) fn new(walk: Walk, weight: Storage, x_stride: usize) -> Self {
        let mut config = Self {
            weight,
            native: false,
            vector_weights: true,
            n: 0,
            m: 0,
            v: 0,
            index_bits: 0,
            groups_per_step: 0,
            quad: QuadPatterns::default(),
            br: 0,
            br4: 0,
            bc: 0,
            bc4: 0,
            whole_steps: true,
            for_gpus: true,
            reads_ahead: weight != Storage::F32 || matches!(walk, Walk::Bsr { .. }),
            weights_first: weight == Storage::F32 && matches!(walk, Walk::Nm { .. }),
            x_stride,
            x_shift: x_stride
                .is_power_of_two()
                .then(|| x_stride.trailing_zeros()),
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
            | Walk::NmBranch {
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
            }
            | Walk::NmTransposed {
                n,
                m,
                v,
                index_bits,
                ..
            } => {
                (config.n, config.m, config.v, config.index_bits) = (n, m, v, index_bits);
                // Four columns from any multiple of 4: within one group where 4 divides m, else at most this many.
                config.groups_per_step = if m % 4 == 0 {
                    1
                } else {
                    3_usize.div_ceil(m) + 1
                };
            }
            Walk::NmSelect { n, v, .. } => {
                (config.n, config.m, config.v, config.index_bits) = (n, 4, v, 2);
            }
            Walk::Bsr { br, bc } | Walk::BsrTransposed { br, bc } => {
                (config.br, config.br4) = (br, br.div_ceil(4));
                (config.bc, config.bc4) = (bc, bc.div_ceil(4));
            }
            Walk::DenseTransposed { vector_weights, .. } => config.vector_weights = vector_weights,
        }
        if let Walk::NmBranch {
            n, m, index_bits, ..
        } = walk
        {
            config.quad = QuadPatterns::new(n, m, index_bits);
        }
        if let Walk::DenseTransposed { whole_steps, .. }
        | Walk::NmTransposed { whole_steps, .. }
        | Walk::NmSelect { whole_steps, .. } = walk
        {
            config.whole_steps = whole_steps;
        }
        config
    }

    /// For workgroups of so many invocations.
    pub(crate) fn for_lanes(mut self, lanes: usize) -> Self {
        self.for_gpus = lanes > 8;
        self.reads_ahead &= self.for_gpus;
        self.weights_first &= self.for_gpus;
        self
    }

    /// Of weights in f16 that cooperative matrices load.
    pub(crate) fn native(walk: Walk, x_stride: usize) -> Self {
        Self {
            native: true,
            ..Self::new(walk, Storage::F16, x_stride)
        }
    }
}
