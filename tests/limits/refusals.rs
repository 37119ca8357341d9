//! What cannot be cut is refused.

use sparse_core::DType;
use sparse_gpu::DenseMatmul;

use crate::support::gpu::gpu;

#[test]
fn a_row_that_cannot_be_bound_is_an_error_that_says_so() {
    let error = gpu()
        .plan_blocking(&DenseMatmul::new(64, 4, 40_000_000))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("max_storage_buffer_binding_size"), "{error}");
    let error = gpu()
        .plan_blocking(&DenseMatmul::new(70_000, 70_000, 4))
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        error,
        "dense_matmul: y is 70000 x 70000; an operand has at most 2^32 - 1 elements, split the problem"
    );
}

#[test]
fn a_tensor_larger_than_a_buffer_is_an_error_that_says_so() {
    let error = gpu()
        .empty_tensor(&[1 << 10, 1 << 20], DType::F32)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("needs max_buffer_size >= 4294967296, the device has 268435456"),
        "{error}"
    );
}
