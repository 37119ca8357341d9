//! Problems beyond a device's limits: operands larger than one binding, grids larger than one dispatch, rows that cannot be bound.
//! The device has exactly WebGPU's default limits: 128 MiB a binding, 256 MiB a buffer, 65 535 workgroups a dimension.

mod support;

use sparse_core::bounds::compare;
use sparse_core::bsr::bsr_matmul_tokens;
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::nm::nm_matmul_tokens;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, Epilogue, MatmulReference, Matrix, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, DenseMatmul, GpuTensor, MatmulPlan, NmMatmul, Problem, Weights};
use support::gpu::{gpu, poisoned, submit};

const BINDING: usize = 128 << 20;

fn integers(rows: usize, cols: usize, seed: u64) -> Matrix<f32> {
    integer_matrix(rows, cols, 3, seed).unwrap()
}

/// Runs the product and returns the rows of `tokens`.
fn multiply<'a>(
    problem: &impl Problem<Plan = MatmulPlan>,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    n_out: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let gpu = gpu();
    let plan = gpu.plan_blocking(problem).unwrap();
    let mut y = poisoned::<f32>(gpu, &[x.shape()[0], n_out]);
    submit(gpu, |pass| plan.record(pass, w, x, &mut y).unwrap());
    let y = gpu.read_blocking::<f32>(&y).unwrap();
    tokens
        .iter()
        .flat_map(|&t| &y.data()[t * n_out..(t + 1) * n_out])
        .map(|&v| f64::from(v))
        .collect()
}

fn assert_equal(actual: Vec<f64>, expected: &MatmulReference) {
    assert!(expected.y.iter().any(|&y| y != 0.0), "nothing to compare");
    let comparison = compare(actual, &expected.y, &vec![0.0; expected.y.len()]);
    assert!(comparison.holds(), "{comparison}");
}

#[test]
fn dense_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (10, 8200, 4128);
    assert!(n_out * k_in * 4 > BINDING);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = multiply(
        &DenseMatmul::new(tokens, n_out, k_in),
        &gw,
        &gx,
        n_out,
        &[0, 9],
    );
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 9]).unwrap(),
    );
}

#[test]
fn unaligned_dense_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (1, 8209, 4127);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = multiply(
        &DenseMatmul::new(tokens, n_out, k_in),
        &gw,
        &gx,
        n_out,
        &[0],
    );
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0]).unwrap(),
    );
}

#[test]
fn activations_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 3, 500);
    assert!(tokens * k_in * 4 > BINDING);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = multiply(
        &DenseMatmul::new(tokens, n_out, k_in),
        &gw,
        &gx,
        n_out,
        &[0, 40_000, 70_000],
    );
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 40_000, 70_000]).unwrap(),
    );
}

#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 500, 4);
    assert!(tokens * n_out * 4 > BINDING);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = multiply(
        &DenseMatmul::new(tokens, n_out, k_in),
        &gw,
        &gx,
        n_out,
        &[0, 35_555, 70_000],
    );
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 35_555, 70_000]).unwrap(),
    );
}

/// An N:M matrix of small integers, made without a dense one of twice its size.
fn nm_integers(rows: usize, cols: usize, pattern: Nm) -> NmMatrix<f32> {
    let kept = cols.div_ceil(pattern.m()) * pattern.n();
    let values = integers(rows, kept, 3).into_data();
    let strips = rows.div_ceil(pattern.v());
    // Slot i of a group lies at column i or one further, by turns.
    let indices: Vec<u8> = (0..strips * kept)
        .map(|i| {
            u8::try_from(i % pattern.n()).unwrap()
                + u8::from((i / kept + i / pattern.n()).is_multiple_of(2))
        })
        .collect();
    NmMatrix::new(rows, cols, pattern, values, &indices)
}

#[test]
fn nm_weights_larger_than_a_binding() {
    for (pattern, n_out) in [("8:2:4", 16_400), ("2:4", 16_403), ("24:2:4", 16_411)] {
        let (tokens, k_in) = (9, 4128);
        let pattern: Nm = pattern.parse().unwrap();
        let w = nm_integers(n_out, k_in, pattern);
        assert!(w.values().len() * 4 > BINDING);
        let x = integers(tokens, k_in, 1);
        let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
        let actual = multiply(
            &NmMatmul::new(tokens, n_out, k_in, pattern),
            &gw,
            &gx,
            n_out,
            &[8],
        );
        assert_equal(
            actual,
            &nm_matmul_tokens(&x, &w, &Epilogue::default(), &[8]).unwrap(),
        );
    }
}

#[test]
fn blocks_larger_than_a_binding() {
    let (tokens, block, block_rows, block_cols) = (9, 64, 304, 40);
    let (n_out, k_in) = (block * block_rows - 3, block * block_cols);
    // Rows of very different length, some of them empty.
    let mut indptr = vec![0_u32];
    let mut indices = Vec::new();
    for row in 0..block_rows {
        let count = [block_cols, 0, 30, 39][row % 4];
        indices.extend((0..count).map(|c| u32::try_from(c).unwrap()));
        indptr.push(u32::try_from(indices.len()).unwrap());
    }
    let mut values = integers(indices.len() * block, block, 4).into_data();
    // The padding of the last block row is zero.
    let last = indptr[block_rows - 1] as usize;
    for stored in values[last * block * block..].chunks_exact_mut(block * block) {
        stored[(block - 3) * block..].fill(0.0);
    }
    assert!(values.len() * 4 > BINDING);
    let w = BsrMatrix::new(n_out, k_in, (block, block), indptr, indices, values);
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_bsr(&w).unwrap());
    let problem = BsrMatmul::new(tokens, n_out, k_in, (block, block));
    let actual = multiply(&problem, &gw, &gx, n_out, &[0, 8]);
    assert_equal(
        actual,
        &bsr_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 8]).unwrap(),
    );
}

#[test]
fn more_workgroups_than_one_dimension_has() {
    let (tokens, n_out, k_in) = (9, 600_000, 4);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul::new(tokens, n_out, k_in);
    let actual = multiply(&problem, &gw, &gx, n_out, &[0, 8]);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 8]).unwrap(),
    );
}

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
        .empty_tensor(&[1 << 10, 1 << 20], sparse_core::DType::F32)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("needs max_buffer_size >= 4294967296, the device has 268435456"),
        "{error}"
    );
}
