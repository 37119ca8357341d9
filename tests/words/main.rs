//! Kernels that move words of 64 bits, which processors get by default: the same results as with 32 bits, to the bit, and within the
//! bounds of the CPU references.

#[path = "../support"]
mod support {
    #![allow(unused_imports, reason = "every test binary uses another part")]

    pub(crate) mod attention;
    pub(crate) mod gpu;
    pub(crate) mod matmul;
    pub(crate) mod packed;
    pub(crate) mod packed_xattention;
    pub(crate) mod product;
    pub(crate) mod sddmm;
    pub(crate) mod varlen;
    pub(crate) mod xattention_run;
}

mod attention;
mod products;

use std::fmt::Debug;

use sparse_gpu::{Explanation, Gpu, Words};
use support::gpu::{has_wide_words, in_words, open};

/// What `run` gives in both words.
fn in_both<R>(run: impl Fn() -> R) -> [R; 2] {
    Words::ALL.map(|words| in_words(words, &run))
}

/// The first element that is not the same to the bit, which tells 0 from -0. Widening to f64 keeps apart what was.
fn first_difference(a: &[f64], b: &[f64]) -> Option<usize> {
    let bits = |x: &[f64], i: usize| x.get(i).map(|x| x.to_bits());
    (0..a.len().max(b.len())).find(|&i| bits(a, i) != bits(b, i))
}

#[track_caller]
fn same(what: &dyn Debug, [narrow, wide]: [&[f64]; 2]) {
    if let Some(i) = first_difference(narrow, wide) {
        let (narrow, wide) = (narrow.get(i), wide.get(i));
        panic!("{what:?}: element {i} is {narrow:?} in words of 32 bits, {wide:?} in words of 64");
    }
}

/// Whether the kernel moves words of 64 bits: a case in which it does not compares nothing.
#[track_caller]
fn is_wide(explanation: &Explanation) {
    assert!(explanation.kernel.ends_with("_u64"), "{explanation}");
}

#[test]
fn the_comparison_sees_signs_of_zeros_lengths_and_nan() {
    assert_eq!(first_difference(&[1.0, -0.0], &[1.0, -0.0]), None);
    assert_eq!(first_difference(&[1.0, 0.0], &[1.0, -0.0]), Some(1));
    assert_eq!(first_difference(&[1.0], &[1.0, 2.0]), Some(1));
    assert_eq!(first_difference(&[f64::NAN], &[1.0]), Some(0));
}

#[test]
fn processors_get_64_bits_by_themselves() {
    let gpu = open(None).unwrap_or_else(|e| panic!("{e}"));
    let expected = if gpu.is_software() && has_wide_words() {
        Words::Bits64
    } else {
        Words::Bits32
    };
    assert_eq!(gpu.words(), expected);
    let shared = Gpu::from_device(gpu.device().clone(), gpu.queue().clone())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shared.words(), expected);
    // A device without the feature, though the adapter may have it.
    let narrow = open(Some(Words::Bits32)).unwrap_or_else(|e| panic!("{e}"));
    let shared = Gpu::from_device(narrow.device().clone(), narrow.queue().clone())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shared.words(), Words::Bits32);
}
