//! What every matmul does with its sums: alpha, beta, bias, activation; and how x and y may lie.

mod support;

use half::{bf16, f16};
use sparse_core::{Matrix, Nm, Tensor};
use sparse_gpu::{Activation, Addend, Batch, DenseMatmul, Epilogue, Extras, Transposed};
use support::gpu::{gpu, poisoned, read, submit};
use support::matmul::{Added, Case, EPILOGUES, Format, check};

/// Every format with shapes for the tiled kernel and for few tokens. Each pair is a kernel to compile, so that what multiplies with them
/// is dealt out over them rather than tried with all.
fn cases() -> Vec<Case> {
    let nm = |pattern: &str| Format::Nm(pattern.parse::<Nm>().unwrap_or_else(|e| panic!("{e}")));
    // Rows of y that start at vec4s, at words, at neither.
    [
        (Format::Dense, [33, 32, 40]),
        (Format::Dense, [11, 7, 13]),
        (Format::Dense, [5, 9, 17]),
        (nm("8:2:8"), [18, 14, 15]),
        (nm("8:2:8"), [1, 20, 36]),
        (nm("2:4"), [11, 7, 13]),
        (Format::Bsr((16, 8), 0.5), [33, 32, 40]),
        (Format::Bsr((5, 3), 0.5), [18, 14, 15]),
        (Format::Bsr((4, 4), 0.5), [3, 10, 30]),
    ]
    .into_iter()
    .map(|(format, shape)| Case::new(format, shape))
    .collect()
}

/// `case` in one of three mixes of storage types, dealt by `number`.
fn check_some_types(number: usize, case: &Case) {
    match number % 3 {
        0 => check::<f32, f32, f32>(case),
        1 => check::<f32, f16, f16>(case),
        _ => check::<f16, bf16, bf16>(case),
    };
}

#[test]
fn alpha_beta_bias_and_activation() {
    for (i, case) in cases().into_iter().enumerate() {
        for (j, (alpha, addend, bias, activation)) in EPILOGUES.into_iter().enumerate() {
            let case = Case {
                alpha,
                addend,
                bias,
                activation,
                ..case
            };
            check_some_types(i + j, &case);
        }
    }
}

#[test]
fn small_integers_are_exact() {
    for (i, case) in cases().into_iter().enumerate() {
        for (j, addend) in [Added::Previous(-1.0), Added::Residual(2.0)]
            .into_iter()
            .enumerate()
        {
            let case = Case {
                alpha: 2.0,
                addend,
                bias: true,
                integers: true,
                ..case
            };
            check_some_types(2 * i + j, &case);
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let worst = [[64, 16, 1], [64, 16, 2], [64, 16, 3]]
        .map(|shape| {
            check::<f32, f32, f32>(&Case {
                alpha: 1.3,
                addend: Added::Residual(-0.7),
                bias: true,
                ..Case::new(Format::Dense, shape)
            })
        })
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn beta_of_zero_never_reads_y() {
    for (i, case) in cases().into_iter().enumerate() {
        // y is full of NaN.
        let addend = Added::Previous(0.0);
        check_some_types(i, &Case { addend, ..case });
    }
}

/// x full of NaN, or a residual, and factors of zero.
fn with_nan(alpha: f32, addend: Addend, x: f32) -> Vec<f64> {
    let (tokens, n_out, k_in) = (9, 8, 12);
    let problem = DenseMatmul {
        epilogue: Epilogue {
            alpha,
            addend,
            ..Epilogue::default()
        },
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let x = gpu()
        .upload(&Matrix::new(tokens, k_in, vec![x; tokens * k_in]))
        .unwrap();
    let w = gpu()
        .upload(&Matrix::new(n_out, k_in, vec![1.0_f32; n_out * k_in]))
        .unwrap();
    let residual = poisoned::<f32>(gpu(), &[tokens, n_out]);
    let residual = matches!(addend, Addend::Residual { .. }).then_some(&residual);
    let mut y = gpu()
        .upload(&Tensor::new(
            vec![tokens, n_out],
            vec![3.0_f32; tokens * n_out],
        ))
        .unwrap();
    let extras = Extras {
        residual,
        ..Extras::default()
    };
    submit(gpu(), |pass| {
        plan.record_with(pass, &w, &x, extras, &mut y).unwrap();
    });
    read::<f32>(gpu(), &y)
}

#[test]
fn factors_of_zero_let_nothing_through() {
    let residual = Addend::Residual {
        beta: 0.0,
        dtype: sparse_core::DType::F32,
    };
    assert_eq!(with_nan(1.0, residual, 1.0), [12.0; 72]);
    assert_eq!(
        with_nan(0.0, Addend::Previous { beta: 2.0 }, f32::NAN),
        [6.0; 72]
    );
    // And other factors do.
    let all_nan = |y: Vec<f64>| y.iter().all(|y| y.is_nan());
    assert!(all_nan(with_nan(
        1.0,
        Addend::Previous { beta: 2.0 },
        f32::NAN
    )));
    let residual = Addend::Residual {
        beta: 0.5,
        dtype: sparse_core::DType::F32,
    };
    assert!(all_nan(with_nan(1.0, residual, 1.0)));
}

#[test]
fn split_sums_meet_in_a_fixed_order() {
    let long = [
        Case::new(Format::Dense, [40, 24, 260]),
        Case::new(Format::Bsr((8, 8), 0.4), [3, 10, 1030]),
    ];
    for (i, case) in cases().into_iter().chain(long).enumerate() {
        for (j, parts) in [2, 3, 7].into_iter().enumerate() {
            let exact = Case {
                split_k: Some(parts),
                bias: true,
                addend: Added::Previous(1.0),
                integers: true,
                ..case
            };
            check_some_types(i + j, &exact);
            let activation = Activation::Silu;
            check_some_types(
                i,
                &Case {
                    integers: false,
                    activation,
                    ..exact
                },
            );
        }
    }
}

#[test]
fn x_and_y_may_be_transposed() {
    let whole_vectors = [Case::new(Format::Dense, [72, 33, 16])];
    for (i, case) in cases().into_iter().chain(whole_vectors).enumerate() {
        for (j, (x, y)) in [(true, false), (false, true), (true, true)]
            .into_iter()
            .enumerate()
        {
            let case = Case {
                transposed: Transposed {
                    x,
                    y,
                    ..Transposed::NONE
                },
                split_k: (j == 2).then_some(2),
                bias: true,
                addend: if i % 2 == 0 {
                    Added::Residual(1.0)
                } else {
                    Added::Previous(0.5)
                },
                ..case
            };
            for k in 0..2 {
                check_some_types(i + j + k, &case);
            }
        }
    }
}

#[test]
fn batches_share_weights_or_have_their_own() {
    let mut number = 0;
    for shape in [[33, 32, 40], [11, 7, 13], [5, 9, 17], [0, 3, 4]] {
        for items in [0, 1, 3] {
            for transposed in [false, true] {
                for (format, batch) in [
                    (Format::Dense, Batch::PerItem(items)),
                    (Format::Dense, Batch::Shared(items)),
                    (Format::Bsr((4, 4), 0.5), Batch::Shared(items)),
                ] {
                    let case = Case {
                        batch,
                        transposed: Transposed {
                            x: transposed,
                            y: transposed,
                            w: transposed && number % 2 == 0,
                        },
                        addend: Added::Previous(1.0),
                        bias: true,
                        integers: true,
                        split_k: (number % 4 == 3).then_some(2),
                        ..Case::new(format, shape)
                    };
                    check_some_types(number, &case);
                    number += 1;
                }
            }
        }
    }
}

#[test]
fn what_is_not_possible_is_refused() {
    let refused = |problem: DenseMatmul| gpu().plan_blocking(&problem).unwrap_err().to_string();
    let problem = DenseMatmul::new(4, 4, 4);
    let epilogue = Epilogue {
        alpha: f32::NAN,
        ..Epilogue::default()
    };
    assert_eq!(
        refused(DenseMatmul {
            epilogue,
            ..problem
        }),
        "dense_matmul: alpha = NaN; it is a finite number"
    );
    let epilogue = Epilogue {
        addend: Addend::Previous {
            beta: f32::INFINITY,
        },
        ..Epilogue::default()
    };
    assert_eq!(
        refused(DenseMatmul {
            epilogue,
            ..problem
        }),
        "dense_matmul: beta = inf; it is a finite number"
    );
    assert_eq!(
        refused(DenseMatmul {
            split_k: Some(0),
            ..problem
        }),
        "dense_matmul: split_k = 0; k is split in 1 part or more, or leave it to the plan with None"
    );
    // Even without outputs, whose sums would not fit.
    assert_eq!(
        refused(DenseMatmul {
            split_k: Some(usize::MAX),
            ..DenseMatmul::new(4, 0, 4)
        }),
        format!(
            "dense_matmul: split_k = {}; k is split in at most 2^32 - 1 parts, and more than k_in = 4 are empty",
            usize::MAX
        )
    );
    let parts = refused(DenseMatmul {
        split_k: Some(1 << 30),
        ..problem
    });
    let needs = "dense_matmul of 4 token(s) with split_k = 1073741824 and n_out = 4 needs bindings of 68719476736 bytes, ";
    let hint = "or split k in fewer parts, or leave it to the plan with None";
    assert!(parts.starts_with(needs) && parts.ends_with(hint), "{parts}");
    assert_eq!(
        refused(DenseMatmul {
            batch: Batch::PerItem(1 << 30),
            ..problem
        }),
        "dense_matmul: x is 1073741824 x 4 x 4; an operand has at most 2^32 - 1 elements, split the problem"
    );
    let bsr = sparse_gpu::BsrMatmul {
        batch: Batch::PerItem(2),
        ..sparse_gpu::BsrMatmul::new(4, 4, 4, (4, 4))
    };
    assert_eq!(
        gpu().plan_blocking(&bsr).unwrap_err().to_string(),
        "bsr_matmul: a batch of 2 items with a w each; that is for dense weights, sparse ones are shared (Batch::Shared)"
    );
}

#[test]
fn a_residual_is_given_as_planned_and_is_not_y() {
    let epilogue = Epilogue {
        addend: Addend::Residual {
            beta: 1.0,
            dtype: sparse_core::DType::F32,
        },
        ..Epilogue::default()
    };
    let problem = DenseMatmul {
        epilogue,
        ..DenseMatmul::new(2, 4, 4)
    };
    let tensor = |rows: usize| poisoned::<f32>(gpu(), &[rows, 4]);
    let (w, x, mut y) = (tensor(4), tensor(2), tensor(2));
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mut refused = |residual: Option<&sparse_gpu::GpuTensor>| {
        let mut message = String::new();
        let extras = Extras {
            residual,
            ..Extras::default()
        };
        submit(gpu(), |pass| {
            let error = plan.record_with(pass, &w, &x, extras, &mut y);
            message = error.unwrap_err().to_string();
        });
        message
    };
    assert_eq!(
        refused(None),
        "dense_matmul: the plan was made with a residual, it was recorded without it"
    );
    assert_eq!(
        refused(Some(&tensor(3))),
        "dense_matmul: residual has shape [3, 4], the plan is for [2, 4]"
    );
    let same = y.clone();
    let extras = Extras {
        residual: Some(&same),
        ..Extras::default()
    };
    submit(gpu(), |pass| {
        let error = plan.record_with(pass, &w, &x, extras, &mut y).unwrap_err();
        assert_eq!(
            error.to_string(),
            "dense_matmul: y shares its buffer with residual; give the result a buffer of its own"
        );
    });
}
