//! What every kernel description has in common.

use serde::Serialize;

use crate::config_error::ConfigError;

/// Invocations of a workgroup of the kernels whose work is not tiled; their templates know the number as `plain_lanes`.
pub(crate) const PLAIN_LANES: usize = 64;

/// A kernel that [`crate::expand`] can turn into WGSL: plain data, serialised into the template's variables.
pub trait Kernel: Serialize {
    /// The template's file, relative to the crate.
    fn template(&self) -> &'static str;
    /// A name that tells every variant apart: label, cache key, line of a report.
    fn name(&self) -> String;
    /// Checks that the template can be expanded with these numbers.
    ///
    /// # Errors
    /// [`ConfigError`], one variant per rule.
    fn check(&self) -> Result<(), ConfigError>;
    /// What the kernel needs of a compiler beyond WebGPU's core.
    fn extensions(&self) -> Extensions {
        Extensions::None
    }
}

/// Extensions of WGSL that a kernel is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extensions {
    /// None: every WebGPU implementation compiles it.
    #[default]
    None,
    /// Cooperative matrices of f16, subgroups to share them out: naga's extension, which writes them for Vulkan and Metal. Its writer of
    /// HLSL panics at them, and Tint does not know them.
    CooperativeMatrix,
    /// Integers of 64 bits ([`crate::Words::Bits64`]): naga's extension. Tint does not know them.
    Int64,
}

impl Extensions {
    /// The lines that a text starts with.
    pub(crate) const fn enable(self) -> &'static str {
        match self {
            // naga takes 64-bit integers without an `enable`, too.
            Self::None | Self::Int64 => "",
            // naga knows the builtins of subgroups without an `enable`, and refuses that one.
            Self::CooperativeMatrix => "enable f16;\nenable wgpu_cooperative_matrix;\n\n",
        }
    }
}
