//! `bsr_sddmm.wgsl`: a dense product of which only some blocks are computed.

use serde::Serialize;

use crate::config_error::{ConfigError, require, require_lanes};
use crate::counting::times;
use crate::kernel::Kernel;
use crate::output::Output;
use crate::storage::Storage;

/// `out = alpha * dy^T x + beta * out` at the stored blocks of a block-sparse matrix; see `bsr_sddmm.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SddmmKernel {
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Rows of a block that an invocation computes: 4 or 8.
    pub rows: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
    /// Storage of dy.
    pub dy: Storage,
    /// Blocks of dy start at multiples of four elements.
    pub vector_dy: bool,
    /// Storage of x.
    pub x: Storage,
    /// Blocks of x start at multiples of four elements.
    pub vector_x: bool,
    /// Storage of the result.
    pub out: Storage,
    /// alpha is not 1.
    pub scaled: bool,
    /// The result is added to what is there, times beta.
    pub accumulate: bool,
}

impl SddmmKernel {
    const fn bc4(&self) -> usize {
        self.block.1.div_ceil(4)
    }

    const fn row_tiles(&self) -> usize {
        times(self.block.0, self.rows)
    }

    /// Invocations that a block needs; more than can be counted where an invocation computes no rows.
    pub const fn items_per_block(&self) -> usize {
        self.row_tiles().saturating_mul(self.bc4())
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
            lanes: usize,
            one_block: bool,
            dy: Storage,
            vector_dy: bool,
            x: Storage,
            vector_x: bool,
            output: Output,
        }
        Variables {
            br: self.block.0,
            bc: self.block.1,
            bc4: self.bc4(),
            rows: self.rows,
            row_tiles: self.row_tiles(),
            lanes: self.lanes,
            one_block: self.bc4().is_multiple_of(self.lanes),
            dy: self.dy,
            vector_dy: self.vector_dy,
            x: self.x,
            vector_x: self.vector_x,
            output: Output {
                vectors: self.out == Storage::F32,
                ..Output::of(self.out).scaled_and_added(self.scaled, self.accumulate)
            },
        }
        .serialize(serializer)
    }
}

impl Kernel for SddmmKernel {
    fn template(&self) -> &'static str {
        "bsr_sddmm.wgsl"
    }

    fn name(&self) -> String {
        let flag = |on: bool, name: &'static str| if on { name } else { "" };
        format!(
            "bsr_sddmm_{}x{}_{}x{}_dy-{}{}_x-{}{}_out-{}{}{}",
            self.block.0,
            self.block.1,
            self.rows,
            self.lanes,
            self.dy.name(),
            flag(!self.vector_dy, "-unaligned"),
            self.x.name(),
            flag(!self.vector_x, "-unaligned"),
            self.out.name(),
            flag(self.scaled, "_alpha"),
            flag(self.accumulate, "_beta"),
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let (br, bc) = self.block;
        require(br > 0, &name, "block rows", br, "at least 1")?;
        require(bc > 0, &name, "block columns", bc, "at least 1")?;
        require(
            matches!(self.rows, 4 | 8),
            &name,
            "rows",
            self.rows,
            "4 or 8",
        )?;
        require_lanes(&name, "lanes", self.lanes)?;
        let aligned =
            (!self.vector_dy || br.is_multiple_of(4)) && (!self.vector_x || bc.is_multiple_of(4));
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

    #[test]
    fn a_block_needs_an_invocation_for_each_tile_of_it() {
        let items = |block, rows| {
            let kernel = SddmmKernel {
                block,
                rows,
                lanes: 8,
                dy: Storage::F32,
                vector_dy: false,
                x: Storage::F32,
                vector_x: false,
                out: Storage::F32,
                scaled: false,
                accumulate: false,
            };
            assert_eq!(kernel.check().is_ok(), rows == 8, "{kernel:?}");
            kernel.items_per_block()
        };
        assert_eq!(items((17, 9), 8), 3 * 3);
        // An invocation that computes no rows never gets through a block.
        assert_eq!(items((17, 9), 0), usize::MAX);
        assert_eq!(items((usize::MAX, usize::MAX), 1), usize::MAX);
    }
}
