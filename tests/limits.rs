//! Problems beyond a device's limits: operands larger than one binding, grids larger than one dispatch, rows that cannot be bound.
//! The device has exactly WebGPU's default limits: 128 MiB a binding, 256 MiB a buffer, 65 535 workgroups a dimension.

mod support;

use half::f16;
use sparse_core::bounds::compare;
use sparse_core::bsr::bsr_matmul_tokens;
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::nm::{nm_matmul_tokens, nm_matmul_transposed};
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, DType, Element, Epilogue, MatmulReference, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Gpu, GpuTensor, MatmulPlan, MatmulTypes, NmMatmul, Problem, Tile,
    Transposed, Weights,
};
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
    run::<f32>(gpu, &plan, w, x, n_out, tokens)
}

fn run<'a, Y: Element>(
    gpu: &Gpu,
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    n_out: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let mut y = poisoned::<Y>(gpu, &[x.shape()[0], n_out]);
    submit(gpu, |pass| plan.record(pass, w, x, &mut y).unwrap());
    let y = gpu.read_blocking::<Y>(&y).unwrap();
    tokens
        .iter()
        .flat_map(|&t| &y.data()[t * n_out..(t + 1) * n_out])
        .map(|v| v.to_f64())
        .collect()
}

/// Ones and minus ones: sums of a few hundred are f16 numbers.
fn signs<T: Element>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    integer_matrix(rows, cols, 1, seed).unwrap()
}

/// A product with half-width y, of `rows` of x and `cols` of w.
fn half_width_equals_the_reference(
    [tokens, n_out, k_in]: [usize; 3],
    sampled: &[usize],
    notes: [&str; 2],
) {
    let (x, w) = (signs::<f16>(tokens, k_in, 1), signs::<f16>(n_out, k_in, 2));
    let problem = DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    for note in notes {
        assert!(
            plan.explain().to_string().contains(note),
            "{}",
            plan.explain()
        );
    }
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = run::<f16>(gpu(), &plan, &gw, &gx, n_out, sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), sampled).unwrap(),
    );
}

const CHUNKS: &str = "tokens at a time";
const ROUNDED: &str = "rounded by a second kernel";

#[test]
fn rounding_chunks_that_packing_limits() {
    let sampled = [0, 33_551, 33_552, 33_553, 40_001, 69_999, 70_000];
    half_width_equals_the_reference([70_001, 3, 500], &sampled, [CHUNKS, ROUNDED]);
}

#[test]
fn rounding_chunks_that_the_result_limits() {
    // 67243 rows of f32 sums can be bound, an odd number of odd rows: no chunk may start in the middle of a word.
    let sampled = [0, 67_199, 67_200, 67_242, 67_243, 67_244, 70_000];
    half_width_equals_the_reference([70_001, 499, 4], &sampled, [CHUNKS, ROUNDED]);
}

#[test]
fn chunks_of_tokens_slices_of_weights_and_rounding_together() {
    let (tokens, n_out, k_in) = (70, 257, 262_132);
    assert!(n_out * k_in * 2 > BINDING);
    // Sums of hundreds of thousands of signs stay within f16's whole numbers: ten standard deviations are below 2048 where most
    // of x is zero.
    let mut x = vec![f16::ZERO; tokens * k_in];
    let signs = signs::<f16>(tokens, 1000, 1);
    for (row, signs) in x
        .chunks_exact_mut(k_in)
        .zip(signs.data().chunks_exact(1000))
    {
        row[..500].copy_from_slice(&signs[..500]);
        row[k_in - 500..].copy_from_slice(&signs[500..]);
    }
    let x = Matrix::new(tokens, k_in, x);
    let w = self::signs::<f16>(n_out, k_in, 2);
    let problem = DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        tile: Some(Tile {
            rows: 8,
            cols: 4,
            lanes: 8,
        }),
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    for note in [CHUNKS, ROUNDED] {
        assert!(
            plan.explain().to_string().contains(note),
            "{}",
            plan.explain()
        );
    }
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let sampled = [0, 31, 32, 63, 64, 69];
    let actual = run::<f16>(gpu(), &plan, &gw, &gx, n_out, &sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &sampled).unwrap(),
    );
}

/// Every sum is `k_in` or the plan is refused; nothing in between.
fn long_sums_are_whole_or_refused(tokens: usize, k_in: usize) {
    let ones = |rows| Matrix::new(rows, k_in, vec![f16::ONE; rows * k_in]);
    let problem = DenseMatmul {
        types: MatmulTypes {
            x: DType::F16,
            w: DType::F16,
            y: DType::F32,
        },
        ..DenseMatmul::new(tokens, 2, k_in)
    };
    match gpu().plan_blocking(&problem) {
        Ok(plan) => {
            let (x, w) = (gpu().upload(&ones(tokens)), gpu().upload(&ones(2)));
            let y = run::<f32>(gpu(), &plan, &w.unwrap(), &x.unwrap(), 2, &[0, tokens - 1]);
            assert!(k_in <= 1 << 24, "f32 cannot count so far");
            assert_eq!(
                y,
                [f64::from(u32::try_from(k_in).unwrap()); 4],
                "{k_in} columns"
            );
        }
        Err(error) => {
            let error = error.to_string();
            assert!(
                error.contains("llvmpipe, which ends the loops of a shader"),
                "{error}"
            );
            assert!(gpu().adapter().name.starts_with("llvmpipe"), "{error}");
        }
    }
}

#[test]
fn sums_longer_than_a_driver_loops() {
    for k_in in [262_140, 262_141, 300_000] {
        long_sums_are_whole_or_refused(9, k_in);
    }
    for k_in in [2_096_000, 2_097_120, 2_200_000] {
        long_sums_are_whole_or_refused(1, k_in);
    }
    let refused = gpu().plan_blocking(&DenseMatmul::new(9, 2, 300_000));
    if gpu().adapter().name.starts_with("llvmpipe") {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "dense_matmul with k_in = 300000 needs a driver that runs loops of 75000 rounds, the device has llvmpipe, which ends the \
             loops of a shader after 65535 without a word; split the longest dimension and combine the results, or use another adapter"
        );
    } else {
        assert!(refused.is_ok());
    }
}

/// `problem` planned for whole dispatches and for dispatches of one workgroup, and of three.
fn cut_dispatches_change_nothing<'a, P: Problem<Plan = MatmulPlan>>(
    problem: &P,
    w: impl Into<Weights<'a>> + Copy,
    x: &GpuTensor,
    n_out: usize,
) {
    let all: Vec<usize> = (0..x.shape()[0]).collect();
    let whole = run::<f32>(
        gpu(),
        &gpu().plan_blocking(problem).unwrap(),
        w,
        x,
        n_out,
        &all,
    );
    assert!(whole.iter().any(|&y| y != 0.0), "nothing to compare");
    for multiply_adds in [1, 3 * 1024] {
        let cut = gpu().with_longest_dispatch(multiply_adds);
        let plan = cut.plan_blocking(problem).unwrap();
        let y = run::<f32>(&cut, &plan, w, x, n_out, &all);
        assert_eq!(y, whole, "dispatches of {multiply_adds} multiply-adds");
    }
}

#[test]
fn dispatches_are_cut_where_they_would_be_long() {
    let (n_out, k_in) = (70, 48);
    for tokens in [1, 6, 300] {
        let x = gpu().upload(&integers(tokens, k_in, 1)).unwrap();
        let w = integers(n_out, k_in, 2);
        let dense = gpu().upload(&w).unwrap();
        cut_dispatches_change_nothing(&DenseMatmul::new(tokens, n_out, k_in), &dense, &x, n_out);
        let pattern = Nm::TWO_FOUR;
        let nm = gpu()
            .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
            .unwrap();
        let problem = NmMatmul::new(tokens, n_out, k_in, pattern);
        cut_dispatches_change_nothing(&problem, &nm, &x, n_out);
        let bsr = gpu()
            .upload_bsr(&BsrMatrix::from_dense(&w, (8, 8)).unwrap())
            .unwrap();
        let problem = BsrMatmul::new(tokens, n_out, k_in, (8, 8));
        cut_dispatches_change_nothing(&problem, &bsr, &x, n_out);
    }
}

#[test]
fn few_tokens_and_weights_larger_than_a_binding() {
    let k_in = 4128;
    for (tokens, pattern, n_out) in [
        (1, "8:2:4", 16_400),
        (1, "2:4", 16_403),
        (3, "3:2:4", 16_411),
    ] {
        let pattern: Nm = pattern.parse().unwrap();
        let w = nm_integers(n_out, k_in, pattern);
        assert!(w.values().len() * 4 > BINDING);
        let x = integers(tokens, k_in, 1);
        let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
        let problem = NmMatmul::new(tokens, n_out, k_in, pattern);
        let actual = multiply(&problem, &gw, &gx, n_out, &[tokens - 1]);
        assert_equal(
            actual,
            &nm_matmul_tokens(&x, &w, &Epilogue::default(), &[tokens - 1]).unwrap(),
        );
    }
}

#[test]
fn few_tokens_go_in_smaller_panels_where_rows_are_long() {
    // 8 tokens of sums do not fit a binding, 4 do.
    dense_equals_the_reference([8, 5_000_000, 4], &[0, 3, 4, 7]);
}

fn assert_equal(actual: Vec<f64>, expected: &MatmulReference) {
    assert!(expected.y.iter().any(|&y| y != 0.0), "nothing to compare");
    let comparison = compare(actual, &expected.y, &vec![0.0; expected.y.len()]);
    assert!(comparison.holds(), "{comparison}");
}

/// A dense product of small integers, compared at some tokens.
fn dense_equals_the_reference([tokens, n_out, k_in]: [usize; 3], sampled: &[usize]) {
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul::new(tokens, n_out, k_in);
    let actual = multiply(&problem, &gw, &gx, n_out, sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), sampled).unwrap(),
    );
}

#[test]
fn dense_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (10, 8200, 4128);
    assert!(n_out * k_in * 4 > BINDING);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 9]);
}

/// x and w transposed: rows of k are bound some at a time, those of w in parts whose sums meet.
fn transposed_equals_the_reference([tokens, n_out, k_in]: [usize; 3], sampled: &[usize]) {
    let (x, w) = (integers(k_in, tokens, 1), integers(k_in, n_out, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul {
        transposed: Transposed {
            x: true,
            w: true,
            y: true,
        },
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[n_out, tokens]);
    submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut y).unwrap());
    let y = gpu().read_blocking::<f32>(&y).unwrap();
    let actual = sampled
        .iter()
        .flat_map(|&t| (0..n_out).map(move |o| o * tokens + t))
        .map(|i| f64::from(y.data()[i]))
        .collect();
    let (x, w) = (x.view().transposed(), w.view().transposed());
    assert_equal(
        actual,
        &dense_matmul_tokens(x, w, &Epilogue::default(), sampled).unwrap(),
    );
}

#[test]
fn transposed_operands_larger_than_a_binding() {
    // w of 200 MiB, x, y; and rows that do not start at vec4s.
    transposed_equals_the_reference([9, 12_800, 4096], &[0, 8]);
    transposed_equals_the_reference([70_001, 3, 500], &[0, 33_551, 33_552, 70_000]);
    transposed_equals_the_reference([70_001, 500, 3], &[0, 33_551, 33_552, 70_000]);
}

#[test]
fn transposed_nm_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (9, 4128, 16_403);
    let w = nm_integers(k_in, n_out, Nm::TWO_FOUR);
    assert!(w.values().len() * 4 > BINDING);
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
    let problem = NmMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..NmMatmul::new(tokens, n_out, k_in, Nm::TWO_FOUR)
    };
    let tokens: Vec<usize> = (0..tokens).collect();
    let actual = multiply(&problem, &gw, &gx, n_out, &tokens);
    assert_equal(
        actual,
        &nm_matmul_transposed(&x, &w, &Epilogue::default()).unwrap(),
    );
}

#[test]
fn unaligned_dense_weights_larger_than_a_binding() {
    dense_equals_the_reference([1, 8209, 4127], &[0]);
}

#[test]
fn activations_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 3, 500);
    assert!(tokens * k_in * 4 > BINDING);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 40_000, 70_000]);
}

#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 500, 4);
    assert!(tokens * n_out * 4 > BINDING);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 35_555, 70_000]);
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
    for (pattern, n_out) in [
        ("8:2:4", 16_400),
        ("2:4", 16_403),
        ("24:2:4", 16_411),
        ("3:2:4", 16_411),
    ] {
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
fn transposed_blocks_larger_than_a_binding_are_refused() {
    let (n, block) = (6400, (64, 64));
    let w = BsrMatrix::from_dense(&integers(n, n, 2), block).unwrap();
    assert!(w.values().len() * 4 > BINDING);
    let (x, w) = (
        gpu().upload(&integers(9, n, 1)).unwrap(),
        gpu().upload_bsr(&w).unwrap(),
    );
    let problem = BsrMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..BsrMatmul::new(9, n, n, block)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[9, n]);
    submit(gpu(), |pass| {
        let error = plan.record(pass, &w, &x, &mut y).unwrap_err().to_string();
        assert!(error.starts_with("bsr_matmul: the blocks of a transposed w, all at once needs max_storage_buffer_binding_size"), "{error}");
    });
}

#[test]
fn more_workgroups_than_one_dimension_has() {
    dense_equals_the_reference([9, 600_000, 4], &[0, 8]);
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
        .empty_tensor(&[1 << 10, 1 << 20], DType::F32)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("needs max_buffer_size >= 4294967296, the device has 268435456"),
        "{error}"
    );
}
