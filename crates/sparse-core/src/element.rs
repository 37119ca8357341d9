//! Storage types of matrix and tensor elements.

use half::{bf16, f16};

/// How one number is stored. Accumulation is always f32 on the GPU and f64 in the CPU references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper 16 bits of a binary32.
    Bf16,
}

impl DType {
    /// All storage types, widest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// `f32`, `f16` or `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Unit roundoff: the largest relative error of rounding a number of the normal range to this type,
    /// half the distance from 1 to the next number.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => 5.960_464_477_539_063e-8, // 2^-24
            Self::F16 => 4.882_812_5e-4,           // 2^-11
            Self::Bf16 => 3.906_25e-3,             // 2^-8
        }
    }

    /// Half the smallest positive subnormal: the largest absolute error of rounding a number near zero.
    pub const fn underflow(self) -> f64 {
        match self {
            Self::F32 => 7.006_492_321_624_085e-46,  // 2^-150
            Self::F16 => 2.980_232_238_769_531_3e-8, // 2^-25
            Self::Bf16 => 4.591_774_807_899_561e-41, // 2^-134
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that matrices and tensors can hold: `f32`, [`struct@f16`] or [`bf16`].
pub trait Element: bytemuck::Pod + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// The storage type.
    const DTYPE: DType;
    /// Positive zero.
    const ZERO: Self;
    /// Exact widening.
    fn to_f32(self) -> f32;
    /// Nearest value, ties to even; overflow gives an infinity.
    fn from_f32(value: f32) -> Self;
    /// Nearest value, ties to even; overflow gives an infinity.
    fn from_f64(value: f64) -> Self;
    /// Exact widening.
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }
    /// Whether the value counts as zero: `-0.0` does, NaN does not.
    fn is_zero(self) -> bool {
        self.to_f32() == 0.0
    }
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
    const ZERO: Self = 0.0;
    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(value: f32) -> Self {
        value
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest f32 is the purpose"
    )]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
    const ZERO: Self = Self::ZERO;
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f64(value: f64) -> Self {
        Self::from_f64(value)
    }
}

impl Element for bf16 {
    const DTYPE: DType = DType::Bf16;
    const ZERO: Self = Self::ZERO;
    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f64(value: f64) -> Self {
        Self::from_f64(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_roundoff_is_half_the_step_after_one() {
        fn step<T: Element>(next_after_one: T) -> f64 {
            (next_after_one.to_f64() - 1.0) / 2.0
        }
        assert_eq!(DType::F32.unit_roundoff(), step(1.0_f32.next_up()));
        assert_eq!(
            DType::F16.unit_roundoff(),
            step(f16::from_bits(f16::ONE.to_bits() + 1))
        );
        assert_eq!(
            DType::Bf16.unit_roundoff(),
            step(bf16::from_bits(bf16::ONE.to_bits() + 1))
        );
    }

    #[test]
    fn underflow_is_half_the_smallest_subnormal() {
        assert_eq!(DType::F32.underflow(), f64::from(f32::from_bits(1)) / 2.0);
        assert_eq!(DType::F16.underflow(), f16::from_bits(1).to_f64() / 2.0);
        assert_eq!(DType::Bf16.underflow(), bf16::from_bits(1).to_f64() / 2.0);
    }

    #[test]
    fn negative_zero_is_zero_and_nan_is_not() {
        assert!((-0.0_f32).is_zero() && f16::NEG_ZERO.is_zero() && bf16::NEG_ZERO.is_zero());
        assert!(!f32::NAN.is_zero() && !f16::from_bits(1).is_zero());
    }
}
