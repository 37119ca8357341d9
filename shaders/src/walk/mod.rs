//! Which k the weights of a strip visit, and how they are read.

mod check;
mod config;
mod quad_patterns;

pub(crate) use config::WalkConfig;

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

/// N, M and V of weights, and how their indices are packed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WalkPattern {
    pub(crate) n: usize,
    pub(crate) m: usize,
    pub(crate) v: usize,
    pub(crate) index_bits: u32,
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

    /// Whether dense weights load as vec4; those of sparse formats always do.
    pub(crate) const fn vector_weights(self) -> bool {
        match self {
            Self::Dense { vector_weights } | Self::DenseTransposed { vector_weights, .. } => {
                vector_weights
            }
            _ => true,
        }
    }

    /// Whether the last step is as long as the others.
    pub(crate) const fn whole_steps(self) -> bool {
        match self {
            Self::DenseTransposed { whole_steps, .. }
            | Self::NmTransposed { whole_steps, .. }
            | Self::NmSelect { whole_steps, .. } => whole_steps,
            _ => true,
        }
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

    /// The pattern of N:M weights.
    pub(crate) const fn pattern(self) -> Option<WalkPattern> {
        match self {
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
            } => Some(WalkPattern {
                n,
                m,
                v,
                index_bits,
            }),
            Self::NmSelect { n, v, .. } => Some(WalkPattern {
                n,
                m: 4,
                v,
                index_bits: 2,
            }),
            Self::Dense { .. }
            | Self::DenseTransposed { .. }
            | Self::Bsr { .. }
            | Self::BsrTransposed { .. } => None,
        }
    }

    /// Rows and columns of a block of block-sparse weights.
    pub(crate) const fn block(self) -> Option<(usize, usize)> {
        match self {
            Self::Bsr { br, bc } | Self::BsrTransposed { br, bc } => Some((br, bc)),
            _ => None,
        }
    }

    /// Groups of N:M weights that four columns from any multiple of 4 on reach into, at most; 0 of other weights.
    pub const fn groups_of_a_quad(self) -> usize {
        match self.pattern() {
            Some(WalkPattern { m, .. }) if m.is_multiple_of(4) => 1,
            Some(WalkPattern { m, .. }) => 3_usize.div_ceil(m) + 1,
            None => 0,
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
}

const fn tail(whole_steps: bool) -> &'static str {
    if whole_steps { "" } else { "_tail" }
}
