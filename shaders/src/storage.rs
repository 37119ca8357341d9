//! How elements are stored, and in which words they move.

use serde::Serialize;

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
