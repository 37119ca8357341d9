//! What lies around operands in their buffers is neither read nor written, and a pass keeps its order.

use sparse_core::bounds::{compare, matmul_bounds};
use sparse_core::matmul::dense_matmul;
use sparse_core::{DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{DenseMatmul, Epilogue, Extras, GpuTensor, NaiveMatmul, NmMatmul};

use crate::support::gpu::{gpu, submit};
use crate::{matrix, upload};

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
