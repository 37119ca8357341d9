//! Problems beyond a device's limits: operands larger than one binding, grids larger than one dispatch, rows that cannot be bound.
//! The device has exactly WebGPU's default limits: 128 MiB a binding, 256 MiB a buffer, 65 535 workgroups a dimension.

mod support;

use half::f16;
use sparse_core::bounds::compare;
use sparse_core::bsr::{bsr_matmul_tokens, bsr_matmul_transposed};
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::nm::{nm_matmul_tokens, nm_matmul_transposed};
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, DType, Element, Epilogue, MatmulReference, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Gpu, GpuTensor, MatmulPlan, MatmulTypes, NmMatmul, NmVariant, Problem,
    Tile, Transposed, Weights,
};
use support::gpu::{gpu, poisoned, submit};
use support::matmul::{Case, Format, check};

const BINDING: usize = 128 << 20;

/// Bytes of an operand beyond one binding and within one buffer.
const LARGE: usize = 200 << 20;

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
    nm_equals_the_reference(1, "8:2:4", None, 25_600);
    nm_equals_the_reference(1, "2:4", None, 16_403);
    nm_equals_the_reference(3, "3:2:4", None, 16_411);
}

/// Each row gathers the x of its own list.
#[test]
fn few_tokens_and_gathering_weights_larger_than_a_binding() {
    nm_equals_the_reference(2, "2:3", None, 12_211);
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
    let (tokens, n_out, k_in) = (10, 12_800, 4128);
    assert!(n_out * k_in * 4 > LARGE);
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
    transposed_equals_the_reference([2, 8_193, 4100], &[0, 1]);
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
    let (tokens, n_out, k_in) = (70_001, 3, 750);
    assert!(tokens * k_in * 4 > LARGE);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 40_000, 70_000]);
}

#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 750, 4);
    assert!(tokens * n_out * 4 > LARGE);
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

/// A product of small integers with weights beyond one binding, compared at the last token.
fn nm_equals_the_reference(tokens: usize, pattern: &str, variant: Option<NmVariant>, n_out: usize) {
    let (pattern, k_in): (Nm, usize) = (pattern.parse().unwrap(), 4128);
    let w = nm_integers(n_out, k_in, pattern);
    assert!(w.values().len() * 4 > BINDING);
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
    let problem = NmMatmul {
        variant,
        ..NmMatmul::new(tokens, n_out, k_in, pattern)
    };
    let last = [tokens - 1];
    assert_equal(
        multiply(&problem, &gw, &gx, n_out, &last),
        &nm_matmul_tokens(&x, &w, &Epilogue::default(), &last).unwrap(),
    );
}

#[test]
fn nm_weights_larger_than_a_binding() {
    nm_equals_the_reference(9, "8:2:4", None, 25_600);
    nm_equals_the_reference(9, "2:4", None, 16_403);
    nm_equals_the_reference(9, "24:2:4", None, 16_411);
    nm_equals_the_reference(9, "3:2:4", None, 16_411);
}

#[test]
fn nm_weights_whose_rows_branch_larger_than_a_binding() {
    nm_equals_the_reference(9, "2:4", Some(NmVariant::Branch), 16_403);
}

const BLOCK: usize = 64;

/// Blocks of 64 x 64, more than 200 MiB of them, in block rows of very different length, some of them empty. Three rows less than whole blocks.
fn large_blocks() -> BsrMatrix<f32> {
    let (block_rows, block_cols) = (472, 40);
    let (rows, cols) = (BLOCK * block_rows - 3, BLOCK * block_cols);
    let mut indptr = vec![0_u32];
    let mut indices = Vec::new();
    for row in 0..block_rows {
        let count = [block_cols, 0, 30, 39][row % 4];
        // From the left and from the right by turns, so that every block column differs from its neighbours.
        let first = [0, block_cols - count][row / 4 % 2];
        indices.extend((first..first + count).map(|c| u32::try_from(c).unwrap()));
        indptr.push(u32::try_from(indices.len()).unwrap());
    }
    let mut values = integers(indices.len() * BLOCK, BLOCK, 4).into_data();
    // The padding of the last block row is zero.
    let last = indptr[block_rows - 1] as usize;
    for stored in values[last * BLOCK * BLOCK..].chunks_exact_mut(BLOCK * BLOCK) {
        stored[(BLOCK - 3) * BLOCK..].fill(0.0);
    }
    assert!(values.len() * 4 > LARGE);
    BsrMatrix::new(rows, cols, (BLOCK, BLOCK), indptr, indices, values)
}

#[test]
fn blocks_larger_than_a_binding() {
    let w = large_blocks();
    let gw = gpu().upload_bsr(&w).unwrap();
    let (tokens, n_out, k_in) = (9, w.rows(), w.cols());
    let x = integers(tokens, k_in, 1);
    let gx = gpu().upload(&x).unwrap();
    let problem = BsrMatmul::new(tokens, n_out, k_in, (BLOCK, BLOCK));
    let actual = multiply(&problem, &gw, &gx, n_out, &[0, 8]);
    assert_equal(
        actual,
        &bsr_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 8]).unwrap(),
    );

    // The same matrix as a transposed w: its block columns have blocks everywhere. Tiles, few tokens, a transposed y, parts by the caller.
    let (n_out, k_in) = (k_in, n_out);
    let x = integers(tokens, k_in, 1);
    let expected = bsr_matmul_transposed(&x, &w, &Epilogue::default()).unwrap();
    let all: Vec<usize> = (0..tokens).collect();
    for (tokens, split_k, turned) in [
        (tokens, None, false),
        (tokens, Some(5), true),
        (1, None, false),
    ] {
        let problem = BsrMatmul {
            transposed: Transposed {
                w: true,
                y: turned,
                ..Transposed::NONE
            },
            split_k,
            ..BsrMatmul::new(tokens, n_out, k_in, (BLOCK, BLOCK))
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        let note = "the blocks of w may not fit one binding";
        assert!(
            plan.explain().to_string().contains(note),
            "{}",
            plan.explain()
        );
        let few = Matrix::new(tokens, k_in, x.data()[..tokens * k_in].to_vec());
        let gx = gpu().upload(&few).unwrap();
        let actual = if turned {
            let mut y = poisoned::<f32>(gpu(), &[n_out, tokens]);
            submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut y).unwrap());
            let y = gpu().read_blocking::<f32>(&y).unwrap();
            let at = |t: usize| (0..n_out).map(move |o| o * tokens + t);
            let places = all.iter().flat_map(|&t| at(t));
            places.map(|i| f64::from(y.data()[i])).collect()
        } else {
            run::<f32>(gpu(), &plan, &gw, &gx, n_out, &all[..tokens])
        };
        let expected = &expected.y[..tokens * n_out];
        assert!(expected.iter().any(|&y| y != 0.0), "nothing to compare");
        let comparison = compare(actual, expected, &vec![0.0; expected.len()]);
        assert!(comparison.holds(), "{tokens} tokens: {comparison}");
    }
}

/// Slices of a transposed y, each of some block columns of a transposed w: their lists begin anywhere, and are taken in their own order.
#[test]
fn a_transposed_result_of_block_columns_larger_than_a_binding() {
    let (tokens, n_out, k_in, block) = (70_001, 500, 24, (3, 4));
    assert!(tokens * n_out * 4 > BINDING);
    let w = Matrix::new(
        k_in,
        n_out,
        (0..k_in * n_out)
            .map(|i| {
                let (row, column) = (i / n_out / 3, i % n_out / 4);
                let stored = (row * 5 + column * 3) % 8 < column % 6;
                if stored { (i % 7) as f32 - 3.0 } else { 0.0 }
            })
            .collect(),
    );
    let w = BsrMatrix::from_dense(&w, block).unwrap();
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_bsr(&w).unwrap());
    let sampled = [0, 33_551, 70_000];
    let rows = Matrix::new(3, k_in, sampled.map(|t| x.row(t)).concat());
    let expected = bsr_matmul_transposed(&rows, &w, &Epilogue::default()).unwrap();
    // Written at once, and finished from the sums of two parts, some rows of y at a time.
    for split_k in [None, Some(2)] {
        let problem = BsrMatmul {
            transposed: Transposed {
                w: true,
                y: true,
                ..Transposed::NONE
            },
            split_k,
            ..BsrMatmul::new(tokens, n_out, k_in, block)
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        let mut y = poisoned::<f32>(gpu(), &[n_out, tokens]);
        submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut y).unwrap());
        let y = gpu().read_blocking::<f32>(&y).unwrap();
        let of_token = |t: usize| (0..n_out).map(move |o| o * tokens + t);
        let places = sampled.into_iter().flat_map(of_token);
        assert_equal(places.map(|i| f64::from(y.data()[i])).collect(), &expected);
    }
}

#[test]
fn a_transposed_w_of_few_blocks_is_one_run_of_a_plan_for_many() {
    // All blocks of this shape would be 400 MiB; these fit one binding.
    let n = 10_240;
    let selected = |row: usize| (row % 5..n / BLOCK).step_by(7 + row % 3);
    let (mut indptr, mut indices) = (vec![0_u32], Vec::new());
    for row in 0..n / BLOCK {
        indices.extend(selected(row).map(|column| u32::try_from(column).unwrap()));
        indptr.push(u32::try_from(indices.len()).unwrap());
    }
    let values = integers(indices.len() * BLOCK, BLOCK, 4).into_data();
    assert!(values.len() * 4 < BINDING);
    let w = BsrMatrix::new(n, n, (BLOCK, BLOCK), indptr, indices, values);
    let x = integers(9, n, 1);
    let problem = BsrMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..BsrMatmul::new(9, n, n, (BLOCK, BLOCK))
    };
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_bsr(&w).unwrap());
    let all: Vec<usize> = (0..9).collect();
    let actual = multiply(&problem, &gw, &gx, n, &all);
    let expected = bsr_matmul_transposed(&x, &w, &Epilogue::default()).unwrap();
    assert_equal(actual, &expected);
}

#[test]
fn a_block_larger_than_a_binding_is_an_error_that_says_so() {
    let problem = BsrMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..BsrMatmul::new(9, 8192, 8192, (8192, 8192))
    };
    let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "bsr_matmul: one block of 8192 x 8192 needs bindings of 268435456 bytes, the device has bindings of "
        ),
        "{error}"
    );
}

/// As many rows of y, and as many of w, as no grid has workgroups in one dimension; every element is compared.
#[test]
fn seventy_thousand_tokens_and_rows_in_every_format() {
    for format in [
        Format::Dense,
        Format::Nm("8:2:8".parse().unwrap()),
        Format::Nm(Nm::TWO_FOUR),
        Format::Bsr((8, 4), 0.5),
        Format::Bsr((5, 3), 0.5),
    ] {
        for shape in [[70_001, 7, 12], [9, 70_001, 12], [1, 70_001, 12]] {
            for transposed in [false, true] {
                let case = Case {
                    integers: true,
                    transposed: Transposed {
                        w: transposed,
                        ..Transposed::NONE
                    },
                    ..Case::new(format, shape)
                };
                check::<f32, f32, f32>(&case);
            }
        }
    }
    for pattern in ["8:2:8", "2:4"] {
        let format = Format::NmMatvec(pattern.parse().unwrap());
        check::<f32, f32, f32>(&Case {
            integers: true,
            ..Case::new(format, [8, 70_001, 12])
        });
    }
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
