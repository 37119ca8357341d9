//! Tensors and weights that a plan was not made for, that their buffer cannot hold, or that are read as something else.

use half::f16;
use sparse_core::prune::BlockBudget;
use sparse_core::{BsrMatrix, DType, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, DenseMatmul, Epilogue, Error, GpuTensor, NmMatmul, wgpu};

use crate::support::gpu::gpu;
use crate::{matrix, refused, refused_with, upload};

#[test]
fn operands_that_the_plan_was_not_made_for() {
    let plan = gpu().plan_blocking(&DenseMatmul::new(3, 4, 5)).unwrap();
    let (w, x, y) = (upload(4, 5), upload(3, 5), upload(3, 4));
    assert_eq!(
        refused(&plan, &w, &upload(3, 6), &y),
        "dense_matmul: x has shape [3, 6], the plan is for [3, 5]"
    );
    assert_eq!(
        refused(&plan, &upload(5, 4), &x, &y),
        "dense_matmul: w has shape [5, 4], the plan is for [4, 5]"
    );
    assert_eq!(
        refused(&plan, &w, &x, &upload(4, 3)),
        "dense_matmul: y has shape [4, 3], the plan is for [3, 4]"
    );
    let half = gpu().upload(&matrix(3, 5).cast::<f16>()).unwrap();
    assert_eq!(
        refused(&plan, &w, &half, &y),
        "dense_matmul: x is stored as f16, the plan is for f32"
    );
    let bias = upload(1, 4);
    assert_eq!(
        refused_with(&plan, &w, &x, Some(&bias), &y),
        "dense_matmul: the plan was made without a bias, it was recorded with it"
    );
    let with_bias = DenseMatmul {
        epilogue: Epilogue {
            bias: Some(DType::F32),
            ..Default::default()
        },
        ..DenseMatmul::new(3, 4, 5)
    };
    let with_bias = gpu().plan_blocking(&with_bias).unwrap();
    assert_eq!(
        refused(&with_bias, &w, &x, &y),
        "dense_matmul: the plan was made with a bias, it was recorded without it"
    );
    let square = gpu().plan_blocking(&DenseMatmul::new(4, 4, 4)).unwrap();
    let (a, b) = (upload(4, 4), upload(4, 4));
    assert_eq!(
        refused(&square, &a, &b, &b),
        "dense_matmul: y shares its buffer with x; give the result a buffer of its own"
    );
    assert_eq!(
        refused(&square, &a, &b, &a),
        "dense_matmul: y shares its buffer with w; give the result a buffer of its own"
    );
}

#[test]
fn weights_of_another_pattern() {
    let (x, y) = (upload(3, 16), upload(3, 16));
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&matrix(16, 16), Nm::TWO_FOUR).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(3, 16, 16, Nm::ONE_FOUR))
        .unwrap();
    assert_eq!(
        refused(&plan, &nm, &x, &y),
        "nm_matmul: w has pattern 2:4, the plan is for 1:4"
    );
    assert_eq!(
        refused(&plan, &upload(16, 16), &x, &y),
        "nm_matmul: w has pattern dense, the plan is for 1:4"
    );
    let bsr = BsrMatrix::prune(&matrix(16, 16), (4, 8), BlockBudget::Count(3)).unwrap();
    let bsr = gpu().upload_bsr(&bsr).unwrap();
    let plan = gpu()
        .plan_blocking(&BsrMatmul::new(3, 16, 16, (8, 4)))
        .unwrap();
    assert_eq!(
        refused(&plan, &bsr, &x, &y),
        "bsr_matmul: w has pattern blocks of 4 x 8, the plan is for blocks of 8 x 4"
    );
}

#[test]
fn buffers_that_cannot_hold_a_tensor() {
    let buffer = |size, usage| {
        gpu().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let refused = |buffer, offset, shape: &[usize], dtype| {
        GpuTensor::from_buffer(buffer, offset, shape, dtype)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(buffer(64, GpuTensor::USAGES), 0, &[4, 5], DType::F32),
        "a buffer of 64 bytes cannot hold a tensor of 80 bytes at offset 0"
    );
    assert_eq!(
        refused(buffer(64, GpuTensor::USAGES), u64::MAX, &[1], DType::F32),
        "a buffer of 64 bytes cannot hold a tensor of 4 bytes at offset 18446744073709551615"
    );
    assert_eq!(
        refused(buffer(512, GpuTensor::USAGES), 4, &[1], DType::F32),
        "a tensor at byte offset 4 cannot be bound; offsets are multiples of 256"
    );
    let error = refused(buffer(64, wgpu::BufferUsages::VERTEX), 0, &[1], DType::F16);
    assert!(
        error.contains("VERTEX") && error.ends_with("a tensor needs STORAGE"),
        "{error}"
    );
    let error = refused(
        buffer(64, GpuTensor::USAGES),
        0,
        &[usize::MAX, 2],
        DType::F32,
    );
    assert!(
        error.contains("more bytes than can be addressed"),
        "{error}"
    );
    // Bytes that u64 holds, and their next whole word it does not.
    assert_eq!(
        refused(
            buffer(64, GpuTensor::USAGES),
            0,
            &[usize::MAX / 2],
            DType::F16
        ),
        "a buffer of 64 bytes cannot hold a tensor of 18446744073709551615 bytes at offset 0"
    );
    let error = gpu()
        .empty_tensor(&[usize::MAX / 4], DType::F32)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("a tensor of 18446744073709551612 bytes needs max_buffer_size >= "),
        "{error}"
    );
}

#[test]
fn reading_as_another_type_is_an_error() {
    let error = gpu().read_blocking::<f16>(&upload(2, 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a tensor of f32 cannot be read as f16; read it as f32"
    );
    let only_storage = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let tensor = GpuTensor::from_buffer(only_storage, 0, &[4], DType::F32).unwrap();
    let error = gpu().read_blocking::<f32>(&tensor).unwrap_err();
    assert!(matches!(error, Error::BufferUsage { .. }), "{error}");
}
