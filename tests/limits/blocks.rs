//! Block-sparse weights larger than a binding.

use sparse_core::bounds::compare;
use sparse_core::bsr::{bsr_matmul_tokens, bsr_matmul_transposed};
use sparse_core::{BsrMatrix, Epilogue, Matrix};
use sparse_gpu::{BsrMatmul, Transposed};

use crate::support::gpu::{gpu, poisoned, submit};
use crate::support::matmul::integers;
use crate::{BINDING, LARGE, assert_equal, multiply, run};

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

#[test]
fn more_lists_than_a_binding_holds_are_refused_when_planned() {
    let n = 17_000_000;
    let rows = BsrMatmul::new(1, n, 4, (1, 4));
    let columns = BsrMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..BsrMatmul::new(1, n, 4, (4, 1))
    };
    for problem in [rows, columns] {
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "bsr_matmul: the order of 17000000 lists of blocks needs bindings of 136000000 bytes, the device has bindings of "
            ) && error.ends_with(" or use larger blocks"),
            "{error}"
        );
    }
    let larger = BsrMatmul::new(1, n, 4, (2, 4));
    assert!(gpu().plan_blocking(&larger).is_ok());
}
