//! `nm_matvec` against its CPU reference.

mod support;

use sparse_core::{Matrix, Nm, NmMatrix};
use sparse_gpu::{Activation, Batch, NmMatvec};
use support::gpu::{gpu, poisoned, read, submit};
use support::matmul::{Case, Format, check};

#[test]
fn every_number_of_tokens_and_storage_type() {
    for tokens in [0, 1, 2, 3, 4, 5, 7, 8] {
        // Selected from registers, gathered, and a list for all rows.
        for pattern in ["2:4", "2:3", "8:2:8"] {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::nm_matvec(pattern), [tokens, 33, 130])
            });
            for_each_dtype!(T => { check::<T, T, T>(&Case::new(Format::nm_matvec(pattern), [tokens, 34, 96])); });
        }
    }
}

#[test]
fn edges_of_rows_and_columns() {
    for pattern in [
        "2:4", "4:2:4", "1:4", "3:1:4", "1:2", "16:4:16", "5:2:7", "3:16:32", "3:4",
    ] {
        for shape in [
            [1, 1, 1],
            [1, 0, 5],
            [2, 3, 0],
            [1, 7, 15],
            [1, 9, 64],
            [3, 17, 33],
            [1, 300, 1030],
        ] {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::nm_matvec(pattern), shape)
            });
        }
    }
}

/// Behind the stored weights of a row lie those of the next one: they must not meet the zeros behind the last k, also where they are infinite.
#[test]
fn infinities_of_a_row_stay_in_it() {
    let w: Vec<f32> = (0..8 * 13)
        .map(|i| if i / 13 % 2 == 1 { f32::INFINITY } else { 1.0 })
        .collect();
    let w = Matrix::new(8, 13, w);
    // Stored of 13 weights. Those of four columns select their x, the others gather it.
    for (pattern, stored) in [("2:4", 7.0), ("1:4", 4.0), ("2:3", 9.0), ("1:2", 7.0)] {
        let pattern: Nm = pattern.parse().unwrap();
        let nm = NmMatrix::prune(&w, pattern).unwrap();
        let nm = gpu().upload_nm(&nm).unwrap();
        for tokens in [1, 3] {
            let x = Matrix::new(tokens, 13, vec![1.0_f32; tokens * 13]);
            let x = gpu().upload(&x).unwrap();
            let mut y = poisoned::<f32>(gpu(), &[tokens, 8]);
            let plan = gpu()
                .plan_blocking(&NmMatvec::new(tokens, 8, 13, pattern))
                .unwrap();
            submit(gpu(), |pass| {
                plan.record(pass, &nm, &x, &mut y).unwrap();
            });
            let expected = [stored, f64::INFINITY].repeat(4 * tokens);
            assert_eq!(read::<f32>(gpu(), &y), expected, "{pattern}");
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let case = |k| Case::new(Format::nm_matvec("8:1:4"), [1, 1000, k]);
    let worst = [4, 8, 12]
        .map(|k| check::<f32, f32, f32>(&case(k)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn bias_and_activations() {
    for activation in Activation::ALL {
        for tokens in [1, 6] {
            let case = Case {
                bias: true,
                activation,
                ..Case::new(Format::nm_matvec("2:4"), [tokens, 34, 64])
            };
            for_each_dtype!(T => { check::<T, T, T>(&case); });
        }
    }
}

#[test]
fn a_batch_may_have_more_than_eight_tokens_in_all() {
    for (tokens, items) in [(5, 2), (1, 20), (8, 3)] {
        for_each_dtype!(T => {
            check::<T, T, T>(&Case {
                batch: Batch::Shared(items),
                ..Case::new(Format::nm_matvec("2:4"), [tokens, 34, 64])
            });
        });
    }
}

#[test]
fn more_than_eight_tokens_are_refused() {
    let error = gpu()
        .plan_blocking(&NmMatvec::new(9, 4, 4, Nm::TWO_FOUR))
        .err()
        .map(|e| e.to_string());
    assert_eq!(
        error.as_deref(),
        Some("nm_matvec: 9 tokens; it takes at most 8, use the matmul operation")
    );
}
