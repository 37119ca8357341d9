//! `matmul_cooperative.wgsl`: the matmul whose multiply-adds are cooperative matrices, f16 in, f32 out.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::{Extensions, Kernel};
use crate::output::Output;
use crate::walk::{Walk, WalkConfig};

/// Sides of the matrices: naga 30 writes square ones of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixSize {
    /// 8 x 8 x 8.
    Eight,
    /// 16 x 16 x 16.
    Sixteen,
}

impl MatrixSize {
    /// Both, the larger first.
    pub const ALL: [Self; 2] = [Self::Sixteen, Self::Eight];

    /// Rows, which are as many as columns.
    pub const fn side(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }
}

/// How the outputs of a workgroup are divided among subgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CooperativeTile {
    /// Of a matrix.
    pub size: MatrixSize,
    /// Matrices of a subgroup along the rows of w: 1, 2 or 4.
    pub row_matrices: usize,
    /// Matrices of a subgroup along tokens: 1, 2, 4 or 8.
    pub token_matrices: usize,
    /// Shares into which the subgroups of a workgroup divide its tokens: at least as many as there can be subgroups, `lanes` over the device's
    /// smallest subgroup.
    pub shares: usize,
    /// Invocations of a workgroup: a multiple of the device's largest subgroup.
    pub lanes: usize,
}

impl CooperativeTile {
    /// Rows of w of a workgroup.
    pub const fn rows(self) -> usize {
        self.row_matrices.saturating_mul(self.size.side())
    }

    /// Tokens of a workgroup.
    pub const fn panel(self) -> usize {
        self.shares
            .saturating_mul(self.token_matrices)
            .saturating_mul(self.size.side())
    }

    /// Workgroup memory that every device has.
    pub const WORKGROUP_BYTES: usize = 16 << 10;

    /// Workgroup memory: a matrix of sums for each share, and the k of a step of tokens and of rows of w.
    pub const fn workgroup_bytes(self) -> usize {
        let side = self.size.side();
        let sums = self.shares.saturating_mul(side * side * 4);
        let staged = self.panel().saturating_add(self.rows());
        sums.saturating_add(staged.saturating_mul(side * 2))
    }

    fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let power = |n: usize, most: usize| n.is_power_of_two() && n <= most;
        let Self {
            row_matrices,
            token_matrices,
            shares,
            lanes,
            ..
        } = self;
        require(
            power(row_matrices, 4),
            kernel,
            "tile.row_matrices",
            row_matrices,
            "1, 2 or 4",
        )?;
        require(
            power(token_matrices, 8),
            kernel,
            "tile.token_matrices",
            token_matrices,
            "1, 2, 4 or 8",
        )?;
        require(
            power(lanes, 256) && lanes >= 4,
            kernel,
            "tile.lanes",
            lanes,
            "a power of two from 4 to 256",
        )?;
        require(
            power(shares, lanes),
            kernel,
            "tile.shares",
            shares,
            "a power of two up to tile.lanes",
        )?;
        require(
            self.workgroup_bytes() <= Self::WORKGROUP_BYTES,
            kernel,
            "bytes of workgroup memory of tile",
            self.workgroup_bytes(),
            "at most 16384, which every device has: fewer shares or token matrices",
        )
    }
}

impl std::fmt::Display for CooperativeTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = self.size.side();
        write!(
            f,
            "{}x{}x{side}-by-{}x{}",
            self.row_matrices, self.token_matrices, self.shares, self.lanes
        )
    }
}

/// `y = act(alpha * x w^T + beta * c + bias)` by cooperative matrices; see `matmul_cooperative.wgsl`. x and w are f16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CooperativeKernel {
    /// Which k each strip of weights visits: [`Walk::Dense`], [`Walk::Nm`] or [`Walk::Bsr`], the latter two with strips, and blocks, whose sides
    /// are multiples of the matrix size.
    pub walk: Walk,
    /// The tile.
    pub tile: CooperativeTile,
    /// What lies outside of the weights, or behind the last k of a strip, is taken for zero. Without, rows of weights start at multiples of four
    /// elements and are multiples of the matrix size.
    pub padded: bool,
    /// What becomes of the sums.
    pub output: Output,
    /// k is split in parts, each with sums of its own, for [`crate::MatmulFinishKernel`] to add up.
    pub split: bool,
}

impl CooperativeKernel {
    /// Padded weights, f32 results, no epilogue, k in one part.
    pub const fn new(walk: Walk, tile: CooperativeTile) -> Self {
        Self {
            walk,
            tile,
            padded: true,
            output: Output::F32,
            split: false,
        }
    }

    /// Rows of w that share one list of k.
    pub const fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.tile.rows())
    }
}

impl Serialize for CooperativeKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            walk: &'static str,
            config: WalkConfig,
            size: usize,
            row_matrices: usize,
            token_matrices: usize,
            lanes: usize,
            panel: usize,
            strip_rows: usize,
            padded: bool,
            output: Output,
            split: bool,
        }
        Variables {
            walk: self.walk.name(),
            config: WalkConfig::native(self.walk, self.tile.panel() / 4),
            size: self.tile.size.side(),
            row_matrices: self.tile.row_matrices,
            token_matrices: self.tile.token_matrices,
            lanes: self.tile.lanes,
            panel: self.tile.panel(),
            strip_rows: self.strip_rows(),
            padded: self.padded,
            output: self.output,
            split: self.split,
        }
        .serialize(serializer)
    }
}

impl Kernel for CooperativeKernel {
    fn template(&self) -> &'static str {
        "matmul_cooperative.wgsl"
    }

    fn extensions(&self) -> Extensions {
        Extensions::CooperativeMatrix
    }

    fn name(&self) -> String {
        format!(
            "matmul_cooperative_{}_{}{}_{}{}",
            self.walk.label(),
            self.tile,
            if self.padded { "_padded" } else { "" },
            self.output.label(),
            if self.split { "_split" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.tile.check(&name)?;
        self.walk.check(&name)?;
        let side = self.tile.size.side();
        let whole = |what, n: usize| {
            let ok = n > 0 && n.is_multiple_of(side);
            require(ok, &name, what, n, "a multiple of the matrix size")
        };
        match self.walk {
            Walk::Dense { vector_weights } => require(
                vector_weights || self.padded,
                &name,
                "alignment of rows of w",
                1,
                "4 elements, unless weights are padded",
            )?,
            Walk::Nm { v, .. } => whole("v", v)?,
            Walk::Bsr { br, bc } => {
                whole("block rows", br)?;
                whole("block columns", bc)?;
                require(
                    !self.padded,
                    &name,
                    "rows of a block that are padded",
                    br,
                    "0: blocks are whole matrices",
                )?;
            }
            _ => require(
                false,
                &name,
                "walks of this kind",
                1,
                "dense, N:M with shared patterns, or blocks; w not transposed",
            )?,
        }
        self.output
            .check(&name, self.tile.rows(), self.strip_rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_holds_sums_of_each_share_and_a_step_of_both_operands() {
        let tile = CooperativeTile {
            size: MatrixSize::Eight,
            row_matrices: 2,
            token_matrices: 4,
            shares: 4,
            lanes: 32,
        };
        assert_eq!((tile.rows(), tile.panel()), (16, 128));
        assert_eq!(tile.workgroup_bytes(), 4 * 8 * 8 * 4 + (128 + 16) * 8 * 2);
    }

    #[test]
    fn tiles_of_any_numbers_are_refused_without_a_panic() {
        for n in [0, 3, usize::MAX - 1, usize::MAX] {
            for size in MatrixSize::ALL {
                let tile = CooperativeTile {
                    size,
                    row_matrices: n,
                    token_matrices: n,
                    shares: n,
                    lanes: n,
                };
                assert!(tile.check(&|| tile.to_string()).is_err(), "{tile}");
                let (rows, panel) = (tile.rows(), tile.panel());
                assert!(tile.workgroup_bytes() >= rows.max(panel), "{tile}");
            }
        }
    }
}
