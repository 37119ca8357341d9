//! What every kernel description has in common.

use serde::Serialize;

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
    /// Integers of 64 bits ([`Words::Bits64`]): naga's extension. Tint does not know them.
    Int64,
}

/// The words in which vectors of elements move between memory and registers, at most. What a kernel computes, and in which order, is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Words {
    /// As WebGPU has them everywhere.
    #[default]
    Bits32,
    /// Two of those together, where the device has 64-bit integers. Half as many loads and stores for a driver that takes them word by word,
    /// as those do that run shaders on a processor: lavapipe spends 40 to 60 instructions on a word that differs by invocation.
    Bits64,
}

impl Words {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Bits32, Self::Bits64];

    /// 32 or 64.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
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

/// How the elements of a buffer are stored. Every kernel computes in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// One 32-bit float a word.
    F32,
    /// Two IEEE halves a word, the first in the low bits.
    F16,
    /// Two bfloat16 a word, the first in the low bits.
    Bf16,
}

impl Storage {
    /// All storage types.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// `f32`, `f16` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// What is applied to `sum + bias` before it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(v, 0)`.
    Relu,
    /// `v * (1 + erf(v / sqrt 2)) / 2`.
    Gelu,
    /// `v / (1 + exp(-v))`.
    Silu,
}

impl Activation {
    /// All activations.
    pub const ALL: [Self; 4] = [Self::None, Self::Relu, Self::Gelu, Self::Silu];

    /// `none`, `relu`, `gelu` or `silu`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }
}

/// Numbers that a template cannot be expanded with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number lies outside of what the template supports.
    #[error("{kernel}: {what} is {value}, possible is {possible}")]
    OutOfRange {
        /// The kernel's name.
        kernel: String,
        /// Which number.
        what: &'static str,
        /// What was asked.
        value: usize,
        /// What is possible.
        possible: &'static str,
    },
}

/// `OutOfRange` unless `ok`.
pub(crate) fn require(
    ok: bool,
    kernel: &dyn Fn() -> String,
    what: &'static str,
    value: usize,
    possible: &'static str,
) -> Result<(), ConfigError> {
    if ok {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange {
            kernel: kernel(),
            what,
            value,
            possible,
        })
    }
}
