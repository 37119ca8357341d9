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

    /// The smallest positive normal number. Devices may read anything below as zero; f16 too: WebGPU's conformance tests let
    /// `unpack2x16float` give zero for what is subnormal in 16 bits, although f32 holds it as a normal number.
    pub const fn smallest_normal(self) -> f64 {
        match self {
            Self::F32 | Self::Bf16 => 1.175_494_350_822_287_5e-38, // 2^-126
            Self::F16 => 6.103_515_625e-5,                         // 2^-14
        }
    }

    /// Whether `value` is smaller than normal numbers of this type, and not zero.
    pub const fn is_subnormal(self, value: f64) -> bool {
        value != 0.0 && value.abs() < self.smallest_normal()
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
///
/// ```
/// use sparse_core::half::f16;
/// use sparse_core::{DType, Element, Matrix};
///
/// let halves = Matrix::new(1, 2, vec![f16::ONE, f16::from_f32(0.5)]);
/// assert_eq!(f16::DTYPE, DType::F16);
/// assert_eq!(halves.cast::<f32>().data(), [1.0, 0.5]);
/// ```
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

/// `value`, or of the two f32 next to it that with an odd last bit: rounding this to fewer bits gives what rounding `value` itself does,
/// where the nearest f32 may have become a tie. (`half` rounds twice, or ignores the last bits of an f64.)
fn rounded_to_odd(value: f64) -> f32 {
    let nearest = <f32 as Element>::from_f64(value);
    let back = f64::from(nearest);
    if back == value || value.is_nan() || nearest.to_bits() & 1 == 1 {
        nearest
    } else if back < value {
        nearest.next_up()
    } else {
        nearest.next_down()
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
        Self::from_f32(rounded_to_odd(value))
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
        Self::from_f32(rounded_to_odd(value))
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
    fn numbers_below_the_smallest_normal_one_are_subnormal() {
        let of = |dtype: DType, value: f64| dtype.is_subnormal(value);
        assert_eq!(
            DType::ALL.map(DType::smallest_normal),
            [
                f64::from(f32::MIN_POSITIVE),
                f16::MIN_POSITIVE.to_f64(),
                bf16::MIN_POSITIVE.to_f64()
            ]
        );
        for dtype in DType::ALL {
            let least = dtype.smallest_normal();
            let below = least * (1.0 - dtype.unit_roundoff());
            assert!(of(dtype, below) && of(dtype, -below), "{dtype}");
            assert!(!of(dtype, least) && !of(dtype, -least), "{dtype}");
            for other in [0.0, -0.0, 1.0, f64::INFINITY, f64::NAN] {
                assert!(!of(dtype, other), "{dtype} {other}");
            }
        }
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

    /// Numbers halfway between neighbours, and those next to that, go where one rounding takes them.
    #[test]
    fn doubles_are_rounded_once() {
        fn check<T: Element>(from_bits: impl Fn(u16) -> T, infinity: u16) {
            for bits in 0..infinity - 1 {
                let (low, high) = (from_bits(bits), from_bits(bits + 1));
                let middle = (low.to_f64() + high.to_f64()) / 2.0;
                let even = if bits % 2 == 0 { low } else { high };
                for sign in [1.0, -1.0] {
                    let rounded = |value: f64| T::from_f64(sign * value).to_f64() * sign;
                    assert_eq!(rounded(middle), even.to_f64(), "{middle}");
                    assert_eq!(rounded(middle.next_up()), high.to_f64(), "above {middle}");
                    assert_eq!(rounded(middle.next_down()), low.to_f64(), "below {middle}");
                }
            }
        }
        check(f16::from_bits, f16::INFINITY.to_bits());
        check(bf16::from_bits, bf16::INFINITY.to_bits());
        for beyond in [1e39, f64::MAX, f64::INFINITY] {
            let all = |x: f64| {
                [
                    <f16 as Element>::from_f64(x).to_f64(),
                    <bf16 as Element>::from_f64(x).to_f64(),
                ]
            };
            assert_eq!(
                [all(beyond), all(-beyond)],
                [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]]
            );
        }
        assert!(<f16 as Element>::from_f64(f64::NAN).is_nan());
        assert!(<bf16 as Element>::from_f64(f64::NAN).is_nan());
    }
}
