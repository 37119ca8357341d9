//! Loops, dispatches and grids that are longer than a driver runs them.

use half::f16;
use sparse_core::{BsrMatrix, DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, GpuTensor, MatmulPlan, MatmulTypes, NmMatmul, NmMatvec, Problem,
    Transposed, Weights,
};

use crate::support::gpu::gpu;
use crate::support::matmul::{Case, Format, check, integers};
use crate::{dense_equals_the_reference, run};

/// Every sum is `k_in` or the plan is refused; nothing in between.
fn long_sums_are_whole_or_refused(tokens: usize, k_in: usize, split_k: Option<usize>) {
    let ones = |rows| Matrix::new(rows, k_in, vec![f16::ONE; rows * k_in]);
    let problem = DenseMatmul {
        types: MatmulTypes {
            x: DType::F16,
            w: DType::F16,
            y: DType::F32,
        },
        split_k,
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
                "{k_in} columns, parts: {split_k:?}"
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
        long_sums_are_whole_or_refused(9, k_in, None);
    }
    for k_in in [2_096_000, 2_097_120, 2_200_000] {
        long_sums_are_whole_or_refused(1, k_in, None);
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

/// 2:4 with a pattern per row has a loop inside of the one over k. The sum of the longest k that is planned is whole.
#[test]
fn sums_of_sparse_rows_longer_than_a_driver_loops() {
    let problem = |k_in| NmMatvec::new(1, 8, k_in, Nm::TWO_FOUR);
    let is_planned = |k_in| gpu().plan_blocking(&problem(k_in)).is_ok();
    // In steps of whole words of codes; f32 counts to 2^24.
    let (mut planned, mut refused) = (1_usize, (1 << 24) / 128);
    while refused - planned > 1 {
        let middle = planned.midpoint(refused);
        if is_planned(128 * middle) {
            planned = middle;
        } else {
            refused = middle;
        }
    }
    let k_in = 128 * planned;
    let llvmpipe = gpu().adapter().name.starts_with("llvmpipe");
    assert_eq!(llvmpipe, k_in < 1 << 23, "{k_in} columns");
    let plan = gpu().plan_blocking(&problem(k_in)).unwrap();
    let w = Matrix::new(8, k_in, vec![1.0_f32; 8 * k_in]);
    let w = gpu().upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap());
    let x = gpu().upload(&Matrix::new(1, k_in, vec![1.0_f32; k_in]));
    let y = run::<f32>(gpu(), &plan, &w.unwrap(), &x.unwrap(), 8, &[0]);
    let half = f64::from(u32::try_from(k_in / 2).unwrap());
    assert_eq!(y, [half; 8], "{k_in} columns");
}

/// The second kernel loops over the parts, once for each of the two sums that an invocation adds up.
#[test]
fn more_parts_than_a_driver_loops() {
    for parts in [32_767, 32_768, 40_000, 70_000] {
        long_sums_are_whole_or_refused(16, 4 * parts, Some(parts));
    }
    let parts = |split_k| {
        gpu().plan_blocking(&DenseMatmul {
            split_k: Some(split_k),
            ..DenseMatmul::new(16, 2, 160_000)
        })
    };
    assert!(parts(32_767).is_ok());
    if gpu().adapter().name.starts_with("llvmpipe") {
        let error = parts(40_000).unwrap_err().to_string();
        assert!(
            error.starts_with("dense_matmul with the sums of 40000 parts of k needs a driver that runs loops of 80000 rounds, "),
            "{error}"
        );
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

/// As many rows of y, and as many of w, as no grid has workgroups in one dimension; every element is compared.
#[test]
fn seventy_thousand_tokens_and_rows_in_every_format() {
    for format in [
        Format::Dense,
        Format::nm("8:2:8"),
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
        let format = Format::nm_matvec(pattern);
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
