//! Numbers that are not finite, or that the storage type does not hold.

use sparse_bench::tensors::OutTensor;

use crate::support::{Folder, counting, refused};
use crate::{attention, matmul};

/// A half everywhere but at the element `at`.
fn spoiled(shape: &[usize], at: usize, value: f32) -> OutTensor {
    let count = shape.iter().product();
    let mut data = vec![0.5_f32; count];
    data[at] = value;
    OutTensor::new(shape, &data)
}

#[test]
fn operands_that_are_not_finite_are_named_with_their_place() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let folder = Folder::with(&[
        ("w", counting(&[8, 16])),
        ("w_nan", spoiled(&[8, 16], 33, nan)),
        ("x", spoiled(&[4, 16], 17, infinity)),
        ("b", spoiled(&[8], 5, -infinity)),
    ]);
    let file = folder.file();
    for (options, message) in [
        ("--tensor w_nan", "tensor \"w_nan\" holds NaN at [2, 1]"),
        (
            &*format!("--tensor w --input {} --input-tensor x", file.display()),
            "tensor \"x\" holds inf at [1, 1]",
        ),
        (
            "--tensor w --bias b",
            "tensor \"b\" holds -inf at [5], the first of its numbers",
        ),
    ] {
        refused(&matmul(&folder, options), &[message, "t.safetensors"]);
    }
    refused(
        &format!("compare --ops nm_matvec --weights {}", file.display()),
        &["tensor \"x\" holds inf at [1, 1]"],
    );
    for name in ["q", "k", "v"] {
        let of = |tensor: &str| match tensor == name {
            true => spoiled(&[1, 1, 16, 8], 21, nan),
            false => spoiled(&[1, 1, 16, 8], 21, 0.25),
        };
        let folder = Folder::with(&[("q", of("q")), ("k", of("k")), ("v", of("v"))]);
        let message = format!("tensor \"{name}\" holds NaN at [0, 0, 2, 5]");
        refused(&attention(&folder, ""), &[&message]);
        let line = format!("compare --ops xattention --qkv {}", folder.file().display());
        refused(&line, &[&message]);
    }
}

#[test]
fn numbers_that_the_storage_type_does_not_hold_are_refused() {
    let folder = Folder::with(&[
        ("w", spoiled(&[8, 16], 33, 7e4)),
        ("small", counting(&[8, 16])),
        ("x", spoiled(&[4, 16], 17, -1e6)),
    ]);
    let x = format!("--input {} --input-tensor x", folder.file().display());
    for (options, message) in [
        ("--tensor w".to_owned(), "the weights hold 70000 at [2, 1]"),
        (
            format!("--tensor small {x}"),
            "the activations hold -1000000 at [1, 1]",
        ),
    ] {
        let line = matmul(&folder, &format!("{options} --dtype f16"));
        refused(&line, &[message, "infinite in f16"]);
    }
}
