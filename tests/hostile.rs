//! Bad input: every error of the GPU crate says what was asked and what to do, and nothing is recorded.

mod support;

use half::{bf16, f16};
use sparse_core::attention::AttentionShape;
use sparse_core::bounds::{compare, matmul_bounds};
use sparse_core::matmul::dense_matmul;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::normal_matrix;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BsrMatrix, DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    AttentionTile, BlockAttention, BsrMatmul, DenseMatmul, Epilogue, Error, Extras, Gpu,
    GpuOptions, GpuTensor, MatmulPlan, MatmulTypes, NaiveMatmul, NmMatmul, Tile, Weights,
    XAttentionScore, wgpu,
};
use support::attention::attention_shape;
use support::gpu::{gpu, open, submit};

fn matrix(rows: usize, cols: usize) -> Matrix<f32> {
    normal_matrix(rows, cols, 1).unwrap()
}

fn upload(rows: usize, cols: usize) -> GpuTensor {
    gpu().upload(&matrix(rows, cols)).unwrap()
}

/// What recording says.
fn refused<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    y: &GpuTensor,
) -> String {
    refused_with(plan, w, x, None, y)
}

fn refused_with<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    bias: Option<&GpuTensor>,
    y: &GpuTensor,
) -> String {
    let mut message = String::new();
    submit(gpu(), |pass| {
        let result = plan.record_with(
            pass,
            w,
            x,
            Extras {
                bias,
                ..Extras::default()
            },
            &mut y.clone(),
        );
        message = result.unwrap_err().to_string();
    });
    message
}

#[test]
fn an_unknown_adapter_lists_those_there_are() {
    let options = GpuOptions {
        adapter: Some("voodoo 2".to_owned()),
        ..GpuOptions::default()
    };
    let error = Gpu::open_blocking(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("no adapter matches \"voodoo 2\"; there are: "),
        "{error}"
    );
    assert!(error.contains(&gpu().adapter().name), "{error}");
}

#[test]
fn a_device_with_too_little_is_refused() {
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 4,
        ..wgpu::Limits::defaults()
    };
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_limits: limits,
        ..Default::default()
    });
    let error = Gpu::from_device(device, queue).unwrap_err().to_string();
    assert_eq!(
        error,
        "sharing a device needs max_storage_buffers_per_shader_stage >= 8, the device has 4; \
         request wgpu::Limits::defaults() or better in the DeviceDescriptor"
    );
}

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

#[test]
fn reading_from_a_lost_device_is_an_error() {
    let gpu = open(None).unwrap();
    let [destroyed, tensor] = [0, 1].map(|_| gpu.upload(&matrix(4, 4)).unwrap());
    destroyed.buffer().destroy();
    let read = |tensor| gpu.read_blocking::<f32>(tensor).unwrap_err();
    let error = read(&destroyed);
    assert!(
        matches!(error, Error::Readback { bytes: 64, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("destroyed"), "{error}");
    gpu.device().destroy();
    let error = read(&tensor);
    assert!(
        matches!(error, Error::Readback { bytes: 64, .. }),
        "{error}"
    );
    let error = pollster::block_on(gpu.read::<f32>(&tensor)).unwrap_err();
    assert!(matches!(error, Error::Readback { .. }), "{error}");
}

/// Whether or not the devices come from one wgpu instance, whose buffers wgpu itself tells apart.
#[test]
fn operands_of_another_device_are_refused() {
    let (here, there) = (gpu(), open(None).unwrap());
    let w = matrix(4, 4);
    let [own, foreign] = [here, &there].map(|gpu| gpu.upload(&w).unwrap());
    let dense = here.plan_blocking(&DenseMatmul::new(4, 4, 4)).unwrap();
    assert_eq!(
        refused(&dense, &foreign, &own, &own.clone()),
        "dense_matmul: w lies on another device; use it with the Gpu that it was made with, or a clone of that"
    );
    for (x, y) in [(&foreign, &own), (&own, &foreign)] {
        let message = refused(&dense, &own, x, y);
        assert!(message.contains("lies on another device"), "{message}");
    }
    let pattern = Nm::try_new(2, 4, 1).unwrap();
    let nm = there.upload_nm(&NmMatrix::prune(&w, pattern).unwrap());
    let plan = here
        .plan_blocking(&NmMatmul::new(4, 4, 4, pattern))
        .unwrap();
    let message = refused(&plan, &nm.unwrap(), &own, &own.clone());
    assert!(
        message.contains("nm_matmul: w lies on another"),
        "{message}"
    );
    let blocks = BsrMatrix::from_dense(&w, (4, 4)).unwrap();
    let bsr = there.upload_bsr(&blocks).unwrap();
    let plan = here
        .plan_blocking(&BsrMatmul::new(4, 4, 4, (4, 4)))
        .unwrap();
    let message = refused(&plan, &bsr, &own, &own.clone());
    assert!(
        message.contains("bsr_matmul: w lies on another"),
        "{message}"
    );
    for error in [
        here.read_blocking::<f32>(&foreign).unwrap_err(),
        here.read_bsr_blocking::<f32>(&bsr).unwrap_err(),
        here.read_mask_blocking(&there.empty_mask([1, 1, 1, 1]).unwrap())
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    }
    // Another `Gpu` on the same device is none.
    let again = Gpu::from_device(here.device().clone(), here.queue().clone()).unwrap();
    assert_eq!(again.read_blocking::<f32>(&own).unwrap().data(), w.data());
}

/// `[rows, cols]` with the same row everywhere.
fn repeated(rows: usize, row: &[f32]) -> Matrix<f32> {
    Matrix::new(rows, row.len(), row.repeat(rows))
}

fn product<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &Matrix<f32>,
    n_out: usize,
) -> Vec<f32> {
    let x = gpu().upload(x).unwrap();
    let mut y = gpu()
        .empty_tensor(&[x.shape()[0], n_out], DType::F32)
        .unwrap();
    submit(gpu(), |pass| plan.record(pass, w, &x, &mut y).unwrap());
    gpu().read_blocking::<f32>(&y).unwrap().into_parts().1
}

#[test]
fn an_infinity_does_not_leak_through_a_weight_that_is_not_stored() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    // 13 columns: the last group of 4 has one, and the format pads it.
    let x = repeated(
        9,
        &[
            inf, 1.0, 1.0, nan, -inf, 1.0, 1.0, inf, nan, 1.0, 1.0, nan, 5.0,
        ],
    );
    let w = repeated(
        8,
        &[
            0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0,
        ],
    );
    for pattern in ["8:2:4", "4:2:4"] {
        let pattern: Nm = pattern.parse().unwrap();
        let nm = gpu()
            .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
            .unwrap();
        let plan = gpu()
            .plan_blocking(&NmMatmul::new(9, 8, 13, pattern))
            .unwrap();
        assert_eq!(product(&plan, &nm, &x, 8), [12.0; 72]);
    }
    // Few tokens, one pattern per row: each row selects its x.
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(2, 8, 13, Nm::TWO_FOUR))
        .unwrap();
    assert_eq!(
        product(&plan, &nm, &repeated(2, &x.data()[..13]), 8),
        [12.0; 16]
    );
    // Many tokens, one pattern per row: all columns are multiplied, as the documentation of the problem says.
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(9, 8, 13, Nm::TWO_FOUR))
        .unwrap();
    assert!(product(&plan, &nm, &x, 8).iter().all(|y| y.is_nan()));
    // Blocks of 3 x 2, of which only the first column block is stored, padded to 4 columns inside the kernel.
    let w = repeated(8, &[0.0, 1.0, 0.0, 0.0, 0.0]);
    let x = repeated(9, &[3.0, 3.0, nan, inf, nan]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 2)).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&BsrMatmul::new(9, 8, 5, (3, 2)))
        .unwrap();
    assert_eq!(product(&plan, &bsr, &x, 8), [3.0; 72]);
    // All columns are real, and the infinite last one is not stored: padding must not point at it.
    let w = repeated(8, &[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    let x = repeated(9, &[3.0, 3.0, 3.0, nan, inf, inf]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 3)).unwrap())
        .unwrap();
    let six = gpu()
        .plan_blocking(&BsrMatmul::new(9, 8, 6, (3, 3)))
        .unwrap();
    assert_eq!(product(&six, &bsr, &x, 8), [6.0; 72]);
    // The first column block is not stored.
    let w = repeated(8, &[0.0, 0.0, 0.0, 1.0, 0.0]);
    let x = repeated(9, &[inf, nan, 3.0, 3.0, nan]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 2)).unwrap())
        .unwrap();
    assert_eq!(product(&plan, &bsr, &x, 8), [3.0; 72]);
}

#[test]
fn tokens_do_not_touch_each_other() {
    // Padding of a row (13 columns in groups or steps of 4, blocks of 3 x 2) must not reach into the next tokens: those of the next
    // panel are infinite.
    let tile = Some(Tile {
        rows: 8,
        cols: 4,
        lanes: 8,
    });
    let (tokens, n_out, k_in) = (64, 8, 13);
    let w = repeated(n_out, &[1.0; 13]);
    let mut x = vec![1.0; tokens / 2 * k_in];
    x.resize(tokens * k_in, f32::INFINITY);
    let x = Matrix::new(tokens, k_in, x);
    let finite = |y: Vec<f32>, sum: f32, what: &str| {
        assert_eq!(
            y[..tokens / 2 * n_out],
            vec![sum; tokens / 2 * n_out],
            "{what}"
        );
    };
    let plan = DenseMatmul {
        tile,
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&plan).unwrap();
    finite(
        product(&plan, &gpu().upload(&w).unwrap(), &x, n_out),
        13.0,
        "dense",
    );
    for (pattern, sum) in [
        ("8:2:4", 7.0),
        ("8:3:7", 6.0),
        ("8:1:5", 3.0),
        ("8:5:32", 5.0),
        ("2:4", 7.0),
        ("1:3", 5.0),
    ] {
        let nm: Nm = pattern.parse().unwrap();
        let plan = NmMatmul {
            tile,
            ..NmMatmul::new(tokens, n_out, k_in, nm)
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        let nm = gpu().upload_nm(&NmMatrix::prune(&w, nm).unwrap()).unwrap();
        finite(product(&plan, &nm, &x, n_out), sum, pattern);
    }
    for block in [(3, 2), (8, 4), (5, 5)] {
        let plan = BsrMatmul {
            tile,
            ..BsrMatmul::new(tokens, n_out, k_in, block)
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        let bsr = gpu()
            .upload_bsr(&BsrMatrix::from_dense(&w, block).unwrap())
            .unwrap();
        finite(product(&plan, &bsr, &x, n_out), 13.0, "blocks");
    }
}

#[test]
fn the_last_weight_of_an_unaligned_row_is_multiplied_once() {
    // What a step reads past the end of a row of 13 is nothing, also where the last weight times zero would be NaN.
    let mut row = [1.0; 13];
    row[12] = f32::INFINITY;
    for tokens in [1, 9] {
        let w = gpu().upload(&repeated(8, &row)).unwrap();
        let plan = gpu()
            .plan_blocking(&DenseMatmul::new(tokens, 8, 13))
            .unwrap();
        let y = product(&plan, &w, &repeated(tokens, &[1.0; 13]), 8);
        assert_eq!(y, vec![f32::INFINITY; tokens * 8]);
    }
}

#[test]
fn halves_round_to_nearest_and_keep_their_nans_and_infinities() {
    // One column, weight 1: y is x rounded. The numbers lie above, below and at the middle between two bf16, whose even neighbour is
    // above or below. Rounding the last two NaNs as numbers would carry into the sign.
    let bits: [u32; 14] = [
        0x3f80_7fff,
        0x3f80_8000,
        0x3f80_8001,
        0x3f81_7fff,
        0x3f81_8000,
        0x3f81_8001,
        0x7f7f_ffff,
        0xff80_0000,
        0x8000_0000,
        0xbf81_8000,
        0x7f80_0001,
        0xffc0_0001,
        0x7fff_ffff,
        0xffff_ffff,
    ];
    let x = Matrix::new(14, 1, bits.map(f32::from_bits).to_vec());
    let plan = DenseMatmul {
        types: MatmulTypes {
            y: DType::Bf16,
            ..MatmulTypes::default()
        },
        ..DenseMatmul::new(14, 2, 1)
    };
    let plan = gpu().plan_blocking(&plan).unwrap();
    let (gx, w) = (
        gpu().upload(&x).unwrap(),
        gpu().upload(&repeated(2, &[1.0])).unwrap(),
    );
    let mut y = gpu().empty_tensor(&[14, 2], DType::Bf16).unwrap();
    submit(gpu(), |pass| plan.record(pass, &w, &gx, &mut y).unwrap());
    let y = gpu().read_blocking::<bf16>(&y).unwrap();
    for (t, x) in x.data().iter().enumerate() {
        for &y in &y.data()[2 * t..2 * t + 2] {
            if x.is_nan() {
                assert!(y.is_nan(), "{x} became {y}");
            } else {
                // -0.0 may lose its sign in the sum with the accumulator's zero.
                assert_eq!(y, bf16::from_f32(*x), "{x:e}");
            }
        }
    }
}

#[test]
fn strips_and_blocks_longer_than_the_weights_cost_nothing() {
    let (w, x) = (matrix(20, 16), matrix(9, 16));
    let alone = |v| {
        let nm = NmMatrix::prune(&w, Nm::new(2, 4, v)).unwrap();
        let plan = NmMatmul::new(9, 20, 16, nm.pattern());
        let plan = gpu().plan_blocking(&plan).unwrap();
        product(&plan, &gpu().upload_nm(&nm).unwrap(), &x, 20)
    };
    let expected = alone(20);
    for v in [21, 1 << 20, u32::MAX as usize, usize::MAX] {
        assert_eq!(alone(v), expected, "{v} rows a strip");
    }
    let bsr = BsrMatrix::try_new(20, 16, (1 << 28, 4), vec![0, 0], vec![], Vec::<f32>::new());
    let plan = BsrMatmul::new(9, 20, 16, (1 << 28, 4));
    let plan = gpu().plan_blocking(&plan).unwrap();
    let zeros = product(&plan, &gpu().upload_bsr(&bsr.unwrap()).unwrap(), &x, 20);
    assert_eq!(zeros, [0.0; 180]);
    for block in [
        (1 << 30, 4),
        (1 << 31, 1),
        (2, usize::MAX),
        (usize::MAX, 2),
        (0, 4),
    ] {
        let plan = BsrMatmul::new(9, 20, 16, block);
        let error = gpu().plan_blocking(&plan).unwrap_err().to_string();
        let (br, bc) = block;
        assert_eq!(
            error,
            format!(
                "bsr_matmul: blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to \
                 multiples of 4"
            )
        );
    }
}

#[test]
fn a_weight_that_is_pruned_away_does_not_leak() {
    // The smaller half of every group is stored nowhere; what is kept is infinite in one column.
    let w = repeated(8, &[f32::INFINITY, 1.0, 2.0, 0.5]);
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(9, 8, 4, Nm::TWO_FOUR))
        .unwrap();
    let y = product(&plan, &nm, &repeated(9, &[1.0, 5.0, 1.0, 7.0]), 8);
    assert_eq!(y, [f32::INFINITY; 72]);
}

#[test]
fn only_the_result_is_written() {
    // y lies in the middle of a buffer of sevens; x and w lie at offsets of theirs.
    // Few tokens, and tiles that reach behind the last one, with rows of vec4s and others.
    for [tokens, n_out, k_in] in [[5, 9, 12], [13, 9, 12], [13, 12, 12]] {
        let bytes = |tensor: &Matrix<f32>| bytemuck::cast_slice::<f32, u8>(tensor.data()).to_vec();
        let in_the_middle = |content: Vec<u8>, shape: &[usize]| {
            let mut all = vec![7.0_f32; 64];
            all.extend(bytemuck::cast_slice::<u8, f32>(&content));
            all.extend([7.0; 64]);
            let all = gpu().upload(&Matrix::new(1, all.len(), all)).unwrap();
            GpuTensor::from_buffer(all.buffer().clone(), 256, shape, DType::F32).unwrap()
        };
        let (x, w) = (matrix(tokens, k_in), matrix(n_out, k_in));
        let gx = in_the_middle(bytes(&x), &[tokens, k_in]);
        let gw = in_the_middle(bytes(&w), &[n_out, k_in]);
        let mut gy = in_the_middle(vec![0; tokens * n_out * 4], &[tokens, n_out]);
        let plan = gpu()
            .plan_blocking(&DenseMatmul::new(tokens, n_out, k_in))
            .unwrap();
        submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut gy).unwrap());
        let whole =
            GpuTensor::from_buffer(gy.buffer().clone(), 0, &[128 + tokens * n_out], DType::F32)
                .unwrap();
        let whole = gpu().read_blocking::<f32>(&whole).unwrap();
        let (before, rest) = whole.data().split_at(64);
        let (y, after) = rest.split_at(tokens * n_out);
        assert!(
            before.iter().chain(after).all(|&v| v == 7.0),
            "something beside y was written"
        );
        let plain = gpu().upload(&x).unwrap();
        let mut expected = gpu().empty_tensor(&[tokens, n_out], DType::F32).unwrap();
        submit(gpu(), |pass| {
            plan.record(pass, &gpu().upload(&w).unwrap(), &plain, &mut expected)
                .unwrap();
        });
        assert_eq!(gpu().read_blocking::<f32>(&expected).unwrap().data(), y);
        assert!(y.iter().any(|&v| v != 0.0));
    }
}

#[test]
fn what_surrounds_an_operand_does_not_matter() {
    let in_the_middle = |matrix: &Matrix<f32>, shape: &[usize]| {
        let mut all = vec![f32::NAN; 64];
        all.extend(matrix.data());
        all.extend([f32::NAN; 64]);
        let all = gpu().upload(&Matrix::new(1, all.len(), all)).unwrap();
        GpuTensor::from_buffer(all.buffer().clone(), 256, shape, DType::F32).unwrap()
    };
    let alone = |matrix: &Matrix<f32>, shape: &[usize]| {
        let tensor = gpu().upload(matrix).unwrap();
        GpuTensor::from_buffer(tensor.buffer().clone(), 0, shape, DType::F32).unwrap()
    };
    let (n_out, k_in) = (9, 13);
    let (w, bias) = (matrix(n_out, k_in), matrix(1, n_out));
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap())
        .unwrap();
    let epilogue = Epilogue {
        bias: Some(DType::F32),
        ..Epilogue::default()
    };
    for tokens in [1, 5, 9] {
        let x = matrix(tokens, k_in);
        let dense = DenseMatmul {
            epilogue,
            ..DenseMatmul::new(tokens, n_out, k_in)
        };
        let sparse = NmMatmul {
            epilogue,
            ..NmMatmul::new(tokens, n_out, k_in, Nm::TWO_FOUR)
        };
        let dense = gpu().plan_blocking(&dense).unwrap();
        let sparse = gpu().plan_blocking(&sparse).unwrap();
        let results = [true, false].map(|surrounded| {
            let place = |matrix: &Matrix<f32>, shape: &[usize]| {
                if surrounded {
                    in_the_middle(matrix, shape)
                } else {
                    alone(matrix, shape)
                }
            };
            let x = place(&x, &[tokens, k_in]);
            let w = place(&w, &[n_out, k_in]);
            let bias = place(&bias, &[n_out]);
            let extras = Extras {
                bias: Some(&bias),
                ..Extras::default()
            };
            let y = || gpu().empty_tensor(&[tokens, n_out], DType::F32).unwrap();
            let (mut y1, mut y2) = (y(), y());
            submit(gpu(), |pass| {
                dense.record_with(pass, &w, &x, extras, &mut y1).unwrap();
                sparse.record_with(pass, &nm, &x, extras, &mut y2).unwrap();
            });
            [y1, y2].map(|y| gpu().read_blocking::<f32>(&y).unwrap().into_parts().1)
        });
        assert_eq!(results[0], results[1], "{tokens} tokens");
    }
}

#[test]
fn one_pass_holds_many_operations() {
    // Two layers, the second reading what the first has written, and the same plan recorded twice.
    let layer = |n, k| DenseMatmul::new(6, n, k);
    let (first, second) = (
        gpu().plan_blocking(&layer(10, 8)).unwrap(),
        gpu().plan_blocking(&layer(4, 10)).unwrap(),
    );
    let (x, w1, w2) = (upload(6, 8), upload(10, 8), upload(4, 10));
    let empty = |n| gpu().empty_tensor(&[6, n], DType::F32).unwrap();
    let (mut hidden, mut together, mut alone) = (empty(10), empty(4), empty(4));
    submit(gpu(), |pass| {
        first.record(pass, &w1, &x, &mut hidden).unwrap();
        second.record(pass, &w2, &hidden, &mut together).unwrap();
    });
    submit(gpu(), |pass| {
        second.record(pass, &w2, &hidden, &mut alone).unwrap();
    });
    let read = |y: &GpuTensor| gpu().read_blocking::<f32>(y).unwrap();
    assert_eq!(read(&together), read(&alone));
    assert!(read(&alone).data().iter().any(|&v| v != 0.0));
}

#[test]
fn tiles_that_no_kernel_has_are_refused() {
    let tile = |rows, cols, lanes| Some(Tile { rows, cols, lanes });
    for (tile, what) in [
        (
            tile(0, 8, 8),
            "tile.rows is 0, possible is 1, 2, 4, 8 or 16",
        ),
        (tile(8, 0, 8), "tile.cols is 0, possible is 4, 8, 12 or 16"),
        (
            tile(8, 8, 0),
            "tile.lanes is 0, possible is a power of two up to 256",
        ),
        (tile(8, usize::MAX, usize::MAX), "tile.cols is"),
    ] {
        let problem = DenseMatmul {
            tile,
            ..DenseMatmul::new(16, 16, 16)
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("dense_matmul: ") && error.contains(what),
            "{error}"
        );
        let shape = AttentionShape::try_new(1, 1, 1, 64, 64, 16).unwrap();
        let problem = XAttentionScore {
            tile,
            ..XAttentionScore::new(shape, XAttentionOptions::default())
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("xattention_score: ") && error.contains(what),
            "{error}"
        );
    }
    let attention = BlockAttention::new(attention_shape(1, 1, 1, 64, 64, 16));
    let direct = |lanes, keys, dims| AttentionTile::Direct {
        lanes,
        queries: 1,
        keys,
        dims,
    };
    let tiled = |queries, split| AttentionTile::Tiled { queries, split };
    for (tile, what) in [
        (direct(8, 0, 16), "tile.keys is 0, possible is 4, 8 or 16"),
        (
            direct(0, 4, 16),
            "tile.lanes is 0, possible is a power of two",
        ),
        (
            direct(8, 4, 0),
            "tile.dims is 0, possible is a multiple of 4 from 16 up",
        ),
        (
            direct(8, 4, 18),
            "tile.dims is 18, possible is a multiple of 4 from 16 up",
        ),
        (direct(usize::MAX, 4, 16), "tile.lanes is"),
        (tiled(64, 0), "tile.split is 0, possible is 4, 8 or 16"),
        (
            tiled(0, 8),
            "invocations of the tile is 0, possible is 1 to 256",
        ),
        (tiled(usize::MAX - 3, usize::MAX), "tile.split is"),
    ] {
        let problem = BlockAttention {
            tile: Some(tile),
            ..attention.clone()
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("block_attention: ") && error.contains(what),
            "{tile}: {error}"
        );
    }
}

#[test]
fn numbers_that_f32_or_the_kernels_do_not_hold_are_refused() {
    let attention = BlockAttention::new(attention_shape(1, 1, 1, 64, 64, 16));
    for scale in [1e39, 1e-50, f64::NAN, -1.0] {
        let problem = BlockAttention {
            scale: Some(scale),
            ..attention.clone()
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.contains("is beyond what the kernels multiply by in f32"),
            "{error}"
        );
    }
    let problem = BlockAttention {
        block: 4_294_967_280,
        ..attention.clone()
    };
    let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
    assert!(
        error.contains("block is 4294967280; possible are multiples of 16"),
        "{error}"
    );
}

#[test]
fn the_yardstick_respects_offsets_and_aliases() {
    let (x, w) = (matrix(5, 12), matrix(9, 12));
    let offset = |m: &Matrix<f32>| {
        let all: Vec<f32> = [7.0; 64]
            .iter()
            .chain(m.data())
            .chain(&[7.0; 64])
            .copied()
            .collect();
        let all = gpu().upload(&Matrix::new(1, all.len(), all)).unwrap();
        GpuTensor::from_buffer(all.buffer().clone(), 256, &[m.rows(), m.cols()], DType::F32)
            .unwrap()
    };
    let (gx, gw, mut gy) = (offset(&x), offset(&w), offset(&matrix(5, 9)));
    let plan = gpu()
        .plan_blocking(&NaiveMatmul {
            tokens: 5,
            n_out: 9,
            k_in: 12,
            dtype: DType::F32,
        })
        .unwrap();
    submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut gy).unwrap());
    let whole = GpuTensor::from_buffer(gy.buffer().clone(), 0, &[128 + 45], DType::F32).unwrap();
    let whole = gpu().read_blocking::<f32>(&whole).unwrap();
    assert!(
        whole.data()[..64]
            .iter()
            .chain(&whole.data()[109..])
            .all(|&v| v == 7.0)
    );
    let reference = dense_matmul(&x, &w, &sparse_core::Epilogue::default()).unwrap();
    let bounds = matmul_bounds(&reference, 12, sparse_core::Activation::None, DType::F32);
    let y = whole.data()[64..109].iter().map(|&v| f64::from(v));
    assert!(compare(y, &reference.y, &bounds).holds());
    let plan = gpu()
        .plan_blocking(&NaiveMatmul {
            tokens: 4,
            n_out: 4,
            k_in: 4,
            dtype: DType::F32,
        })
        .unwrap();
    let (a, b) = (upload(4, 4), upload(4, 4));
    submit(gpu(), |pass| {
        let error = plan
            .record(pass, &a, &b, &mut b.clone())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("naive_matmul: y shares its buffer with"),
            "{error}"
        );
    });
}
