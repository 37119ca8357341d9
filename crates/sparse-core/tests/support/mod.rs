//! Data that the tests of the formats share.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file uses its own part of this module"
)]

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::{Element, Matrix, Nm};

/// The bit patterns of `values`, so that NaN payloads and signs of zeros compare.
pub(crate) fn bits<T: Element>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

/// Any legal pattern.
pub(crate) fn any_pattern() -> impl Strategy<Value = Nm> {
    (2_usize..=32)
        .prop_flat_map(|m| (1..m, Just(m), 1_usize..7))
        .prop_map(|(n, m, v)| Nm::new(n, m, v))
}

/// A small matrix of any bits: NaN with payloads, infinities, subnormals and both zeros come often.
pub(crate) fn any_matrix<T: Element>() -> impl Strategy<Value = Matrix<T>> {
    matrix_of(prop_oneof![
        4 => Just(T::ZERO),
        1 => Just(T::from_f32(-0.0)),
        3 => prop::array::uniform4(any::<u8>()).prop_map(|bytes| {
            bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()])
        }),
        1 => special(),
    ])
}

/// A small matrix without NaN, with many equal magnitudes.
pub(crate) fn number_matrix() -> impl Strategy<Value = Matrix<f32>> {
    matrix_of(prop_oneof![
        4 => (-3_i8..=3).prop_map(f32::from),
        1 => Just(-0.0),
        2 => any::<f32>().prop_map(|x| if x.is_nan() { 1.0 } else { x }),
    ])
}

fn matrix_of<T: Element>(
    element: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Matrix<T>> {
    (0_usize..9, 0_usize..70).prop_flat_map(move |(rows, cols)| {
        prop::collection::vec(element.clone(), rows * cols)
            .prop_map(move |data| Matrix::new(rows, cols, data))
    })
}

/// Quiet and signalling NaNs with payloads, infinities, the smallest and largest subnormals.
fn special<T: Element>() -> impl Strategy<Value = T> + Clone {
    prop::sample::select(specials::<T>())
}

/// As [`special`], all of them.
pub(crate) fn specials<T: Element>() -> Vec<T> {
    let of = |f32s: &[u32], f16s: &[u16], bf16s: &[u16]| -> Vec<u8> {
        match T::DTYPE {
            sparse_core::DType::F32 => bytemuck::cast_slice(f32s).to_vec(),
            sparse_core::DType::F16 => bytemuck::cast_slice(f16s).to_vec(),
            sparse_core::DType::Bf16 => bytemuck::cast_slice(bf16s).to_vec(),
        }
    };
    let bytes = of(
        &[
            0x7fc0_1234,
            0xff80_0001,
            0x7f80_0000,
            0xff80_0000,
            1,
            0x807f_ffff,
        ],
        &[0x7e12, 0xfc01, 0x7c00, 0xfc00, 1, 0x83ff],
        &[0x7fd2, 0xff81, 0x7f80, 0xff80, 1, 0x807f],
    );
    bytes
        .chunks(size_of::<T>())
        .map(bytemuck::pod_read_unaligned)
        .collect()
}

/// Runs a generic test for every storage type.
macro_rules! for_every_type {
    ($test:ident) => {{
        $test::<f32>();
        $test::<half::f16>();
        $test::<half::bf16>();
    }};
}
pub(crate) use for_every_type;

// The specials that matter most are what the bit patterns above are meant to be.
#[test]
fn specials_are_special() {
    assert!(specials::<f32>()[..2].iter().all(|x| x.is_nan()));
    assert!(specials::<f16>()[..2].iter().all(|x| x.is_nan()));
    assert!(specials::<bf16>()[..2].iter().all(|x| x.is_nan()));
    assert!(specials::<f16>()[2].is_infinite() && !specials::<bf16>()[5].is_normal());
}
