//! Epilogues, splits and residuals that are refused.

use sparse_gpu::{Addend, Batch, DenseMatmul, Epilogue, Extras};

use crate::support::gpu::{gpu, poisoned, submit};

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
    // Even of one: sparse weights have no leading dimension.
    for items in [1, 2] {
        let batch = Batch::PerItem(items);
        let bsr = sparse_gpu::BsrMatmul {
            batch,
            ..sparse_gpu::BsrMatmul::new(4, 4, 4, (4, 4))
        };
        let nm = sparse_gpu::NmMatmul {
            batch,
            ..sparse_gpu::NmMatmul::new(4, 4, 4, sparse_core::Nm::TWO_FOUR)
        };
        let reason = format!(
            "a batch of {items} item(s) with a w each; that is for dense weights, sparse ones are shared (Batch::Shared)"
        );
        assert_eq!(
            gpu().plan_blocking(&bsr).unwrap_err().to_string(),
            format!("bsr_matmul: {reason}")
        );
        assert_eq!(
            gpu().plan_blocking(&nm).unwrap_err().to_string(),
            format!("nm_matmul: {reason}")
        );
    }
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
