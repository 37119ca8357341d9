//! `matvec.wgsl`: few tokens, the invocations of a workgroup share out k, or the outputs where those are neighbours in memory.

use serde::Serialize;
use serde::ser::Error;

use crate::config_error::{ConfigError, require, require_lanes};
use crate::kernel::Kernel;
use crate::output::Output;
use crate::storage::Storage;
use crate::walk::{Walk, WalkConfig};

/// The same product as [`crate::MatmulKernel`] for at most 8 tokens; see `matvec.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatvecKernel {
    /// Which k each row of weights visits.
    pub walk: Walk,
    /// Outputs of a workgroup: 1, 2, 4, 8 or 16 rows of w, 4 to 1024 columns of a transposed one.
    pub rows: usize,
    /// Tokens of the packed x: 1, 4 or 8.
    pub panel: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
    /// Storage of the weights.
    pub weight: Storage,
    /// What becomes of the sums; never in vectors.
    pub output: Output,
    /// k is split in parts, each with sums of its own, for [`crate::MatmulFinishKernel`] to add up.
    pub split: bool,
}

impl MatvecKernel {
    /// Most tokens that the kernel takes.
    pub const MAX_TOKENS: usize = 8;

    /// f32 throughout, no epilogue, k in one part.
    pub const fn new(walk: Walk, rows: usize, panel: usize, lanes: usize) -> Self {
        Self {
            walk,
            rows,
            panel,
            lanes,
            weight: Storage::F32,
            output: Output::F32,
            split: false,
        }
    }

    /// Rows of w that share one list of k.
    pub const fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.rows)
    }

    /// Invocations side by side that own different outputs: one for each four of a transposed w, as far as there are so many.
    const fn across(&self) -> usize {
        match (self.walk.columns(), self.rows / 4) {
            (false, _) | (true, 0) => 1,
            (true, quads) if quads > self.lanes && self.lanes > 0 => self.lanes,
            (true, quads) => quads,
        }
    }

    /// Times four outputs that an invocation owns, where w is transposed.
    const fn owned(&self) -> usize {
        self.rows / 4 / self.across()
    }

    /// Invocations that share out the steps of an output.
    pub const fn slices(&self) -> usize {
        self.lanes / self.across()
    }

    /// Words of workgroup memory from the sums of one output to those of the next: one more than there are spreads them over the banks.
    const fn sums_stride(&self) -> usize {
        match self.slices() {
            1 => 1,
            slices => slices + 1,
        }
    }
}

impl Serialize for MatvecKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The patterns of a walk that branches are of quads of whole groups.
        self.check().map_err(S::Error::custom)?;
        #[derive(Serialize)]
        struct Variables {
            walk: &'static str,
            quads: bool,
            own_lists: bool,
            config: WalkConfig,
            rows: usize,
            panel: usize,
            vectors: usize,
            /// x of one token is read in fours, which the walk visits together.
            fours: bool,
            lanes: usize,
            across: usize,
            slices: usize,
            sums_stride: usize,
            owned: usize,
            strip_rows: usize,
            output: Output,
            split: bool,
        }
        Variables {
            walk: self.walk.name(),
            quads: self.walk.quads(),
            own_lists: self.walk.own_lists(),
            config: WalkConfig::new(self.walk, self.weight, self.panel.div_ceil(4))
                .for_lanes(self.lanes),
            rows: self.rows,
            panel: self.panel,
            vectors: self.panel / 4,
            fours: self.panel == 1
                && (self.walk.columns()
                    || matches!(self.walk, Walk::Dense { .. } | Walk::NmSelect { .. })),
            lanes: self.lanes,
            across: self.across(),
            slices: self.slices(),
            sums_stride: self.sums_stride(),
            owned: self.owned(),
            strip_rows: self.strip_rows(),
            output: self.output,
            split: self.split,
        }
        .serialize(serializer)
    }
}

impl Kernel for MatvecKernel {
    fn template(&self) -> &'static str {
        "matvec.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "matvec_{}_{}x{}x{}_w-{}_{}{}",
            self.walk.label(),
            self.rows,
            self.panel,
            self.lanes,
            self.weight.name(),
            self.output.label(),
            if self.split { "_split" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.walk.check(&name)?;
        let walks = !matches!(self.walk, Walk::NmBranch { .. });
        require(walks, &name, "branches of a row", 1, "none: for tiles only")?;
        let (rows, known) = if self.walk.columns() {
            (
                4..=1024,
                "4, 8, 16 and so on up to 1024 where w is transposed",
            )
        } else if self.walk.quads() {
            (4..=16, "4, 8 or 16 where w is transposed")
        } else {
            (1..=16, "1, 2, 4, 8 or 16")
        };
        let fits = self.rows.is_power_of_two() && rows.contains(&self.rows);
        require(fits, &name, "rows", self.rows, known)?;
        require(
            matches!(self.panel, 1 | 4 | 8),
            &name,
            "panel",
            self.panel,
            "1, 4 or 8",
        )?;
        require_lanes(&name, "lanes", self.lanes)?;
        let quads = self.owned() * self.panel;
        require(
            quads <= 64,
            &name,
            "sums of an invocation, in fours",
            quads,
            "at most 64: fewer columns or more lanes",
        )?;
        let bytes = 4 * self.rows * self.panel * self.sums_stride();
        require(
            bytes <= 16384,
            &name,
            "bytes of workgroup memory",
            bytes,
            "16384",
        )?;
        require(
            !self.output.vectors,
            &name,
            "results stored at once",
            4,
            "1, or 2 halves",
        )?;
        // A pair of tokens of a transposed half-width y takes two of the panel.
        let pairs =
            self.output.storage == Storage::F32 || !self.output.transposed || self.panel > 1;
        require(
            pairs,
            &name,
            "panel",
            self.panel,
            "4 or 8, for transposed half-width results",
        )?;
        self.output.check(&name, self.rows, self.strip_rows())
    }
}
