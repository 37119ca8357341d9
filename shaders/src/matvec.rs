//! `matvec.wgsl`: few tokens, the invocations of a workgroup share out k.

use serde::Serialize;

use crate::kernel::{Activation, ConfigError, Kernel, Storage, require};
use crate::matmul::{Walk, WalkConfig};

/// The same product as [`crate::MatmulKernel`] for at most 8 tokens; see `matvec.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatvecKernel {
    /// Which k each row of weights visits.
    pub walk: Walk,
    /// Rows of w of a workgroup: 1, 2, 4, 8 or 16.
    pub rows: usize,
    /// Tokens of the packed x: 1, 4 or 8.
    pub panel: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
    /// Storage of the weights.
    pub weight: Storage,
    /// Storage of the result.
    pub output: Storage,
    /// Storage of the bias, if there is one.
    pub bias: Option<Storage>,
    /// Applied last.
    pub activation: Activation,
}

impl MatvecKernel {
    /// Most tokens that the kernel takes.
    pub const MAX_TOKENS: usize = 8;

    /// f32 throughout, no bias, no activation.
    pub const fn new(walk: Walk, rows: usize, panel: usize, lanes: usize) -> Self {
        Self {
            walk,
            rows,
            panel,
            lanes,
            weight: Storage::F32,
            output: Storage::F32,
            bias: None,
            activation: Activation::None,
        }
    }

    /// Rows of w that share one list of k.
    pub const fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.rows)
    }

    /// Workgroups that a strip needs.
    pub const fn tiles_per_strip(&self) -> usize {
        self.strip_rows().div_ceil(self.rows)
    }
}

impl Serialize for MatvecKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            walk: &'static str,
            own_lists: bool,
            config: WalkConfig,
            rows: usize,
            panel: usize,
            vectors: usize,
            lanes: usize,
            strip_rows: usize,
            tiles_per_strip: usize,
            output: Storage,
            bias: Option<Storage>,
            activation: Activation,
        }
        Variables {
            walk: self.walk.name(),
            own_lists: matches!(self.walk, Walk::NmGather { .. }),
            config: WalkConfig::new(self.walk, self.weight),
            rows: self.rows,
            panel: self.panel,
            vectors: self.panel / 4,
            lanes: self.lanes,
            strip_rows: self.strip_rows(),
            tiles_per_strip: self.tiles_per_strip(),
            output: self.output,
            bias: self.bias,
            activation: self.activation,
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
            "matvec_{}_{}x{}x{}_w-{}_y-{}{}_{}",
            self.walk.label(),
            self.rows,
            self.panel,
            self.lanes,
            self.weight.name(),
            self.output.name(),
            self.bias
                .map_or_else(String::new, |bias| format!("_bias-{}", bias.name())),
            self.activation.name(),
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.walk.check(&name)?;
        let rows = self.rows.is_power_of_two() && self.rows <= 16;
        require(rows, &name, "rows", self.rows, "1, 2, 4, 8 or 16")?;
        require(
            matches!(self.panel, 1 | 4 | 8),
            &name,
            "panel",
            self.panel,
            "1, 4 or 8",
        )?;
        let lanes = self.lanes.is_power_of_two() && self.lanes <= 256;
        require(
            lanes,
            &name,
            "lanes",
            self.lanes,
            "a power of two up to 256",
        )?;
        let bytes = 4 * self.rows * self.panel * (self.lanes + 1);
        require(
            bytes <= 16384,
            &name,
            "bytes of workgroup memory",
            bytes,
            "16384",
        )?;
        let pairs = self.output == Storage::F32
            || (self.rows.is_multiple_of(2) && self.strip_rows().is_multiple_of(2));
        require(
            pairs,
            &name,
            "rows",
            self.rows,
            "even rows of tile and strip, for half-width results",
        )
    }
}
