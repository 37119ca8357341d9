//! `bsr_sddmm.wgsl`: a dense product of which only some blocks are computed.

use serde::Serialize;

use crate::config_error::{ConfigError, require, require_lanes};
use crate::counting::times;
use crate::kernel::Kernel;
use crate::output::Output;
use crate::sampled::{SampledDy, SampledReads, SampledResult, SampledX};

/// `out = alpha * dy^T x + beta * out` at the stored blocks of a block-sparse matrix; see `bsr_sddmm.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SddmmKernel {
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Rows of a block that an invocation computes: 4, 8, 12 or 16.
    pub rows: usize,
    /// Quads of columns of a block that an invocation computes of each row: 1 to 4.
    pub quads: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
    /// dy. A tile of rows starts at a multiple of four elements where blocks do.
    pub dy: SampledDy,
    /// x. Columns that are read together start at a multiple of four elements where blocks do.
    pub x: SampledX,
    /// The result.
    pub result: SampledResult,
}

impl SddmmKernel {
    const fn bc4(&self) -> usize {
        self.block.1.div_ceil(4)
    }

    const fn row_tiles(&self) -> usize {
        times(self.block.0, self.rows)
    }

    /// Invocations side by side that a block has columns for.
    const fn across(&self) -> usize {
        times(self.bc4(), self.quads)
    }

    /// Invocations that a block needs; more than can be counted where an invocation computes nothing.
    pub const fn items_per_block(&self) -> usize {
        self.row_tiles().saturating_mul(self.across())
    }

    /// Sums that an invocation keeps.
    pub const fn sums_per_lane(&self) -> usize {
        self.rows.saturating_mul(self.quads).saturating_mul(4)
    }
}

impl Serialize for SddmmKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            br: usize,
            bc: usize,
            bc4: usize,
            rows: usize,
            row_tiles: usize,
            quads: usize,
            across: usize,
            whole_quads: bool,
            lanes: usize,
            one_block: bool,
            dy: SampledDy,
            x: SampledX,
            output: Output,
        }
        Variables {
            br: self.block.0,
            bc: self.block.1,
            bc4: self.bc4(),
            rows: self.rows,
            row_tiles: self.row_tiles(),
            quads: self.quads,
            across: self.across(),
            whole_quads: self.bc4().is_multiple_of(self.quads),
            lanes: self.lanes,
            one_block: self.across().is_multiple_of(self.lanes),
            dy: self.dy,
            x: self.x,
            output: self.result.output(),
        }
        .serialize(serializer)
    }
}

impl Kernel for SddmmKernel {
    fn template(&self) -> &'static str {
        "bsr_sddmm.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "bsr_sddmm_{}x{}_{}x{}x{}_{}_{}_{}",
            self.block.0,
            self.block.1,
            self.rows,
            4_usize.saturating_mul(self.quads),
            self.lanes,
            self.dy.label(),
            self.x.label(false),
            self.result.label(),
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let (br, bc) = self.block;
        require(br > 0, &name, "block rows", br, "at least 1")?;
        require(bc > 0, &name, "block columns", bc, "at least 1")?;
        let rows = matches!(self.rows, 4 | 8 | 12 | 16);
        require(rows, &name, "rows", self.rows, "4, 8, 12 or 16")?;
        let quads = (1..=4).contains(&self.quads);
        require(quads, &name, "quads", self.quads, "1 to 4")?;
        require_lanes(&name, "lanes", self.lanes)?;
        let in_quads = self.x.reads == SampledReads::Quads;
        let aligned =
            (!self.dy.vectors || br.is_multiple_of(4)) && (!in_quads || bc.is_multiple_of(4));
        require(
            aligned,
            &name,
            "rows and columns of a block",
            br.min(bc),
            "multiples of 4, for vec4 operands",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;

    #[test]
    fn a_block_needs_an_invocation_for_each_tile_of_it() {
        let items = |block, rows, quads| {
            let kernel = SddmmKernel {
                block,
                rows,
                quads,
                lanes: 8,
                dy: SampledDy {
                    storage: Storage::F32,
                    vectors: false,
                },
                x: SampledX {
                    storage: Storage::F32,
                    reads: SampledReads::Elements,
                },
                result: SampledResult::sums(false),
            };
            let tile = rows == 8 && quads > 0;
            assert_eq!(kernel.check().is_ok(), tile, "{kernel:?}");
            kernel.items_per_block()
        };
        assert_eq!(items((17, 9), 8, 1), 3 * 3);
        assert_eq!(items((17, 9), 8, 2), 3 * 2);
        // An invocation that computes nothing never gets through a block.
        assert_eq!(items((17, 9), 0, 1), usize::MAX);
        assert_eq!(items((17, 9), 8, 0), usize::MAX);
        assert_eq!(items((usize::MAX, usize::MAX), 1, 1), usize::MAX);
    }
}
