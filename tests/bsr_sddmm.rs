//! `bsr_sddmm` against its CPU reference.

mod support;

use half::{bf16, f16};
use sparse_core::{BlockSelection, BsrMatrix, DType, Element, Matrix};
use sparse_gpu::{AdapterClass, BsrMatmul, BsrSddmm, GpuBsr, GpuTensor, Words};
use support::gpu::{gpu, has_wide_words, in_words, open, read, submit};
use support::pairs::pairs;
use support::sddmm::{Case, check};

const BLOCKS: [(usize, usize); 10] = [
    (32, 32),
    (64, 16),
    (16, 64),
    (4, 128),
    (128, 4),
    (4, 4),
    (4, 6),
    (6, 4),
    (5, 3),
    (1, 1),
];

#[test]
fn small_integers_are_exact_in_every_block_and_shape() {
    for (i, block) in BLOCKS.into_iter().enumerate() {
        for shape in [[9, 130, 135], [17, 64, 96], [4, 7, 5]] {
            let case = Case {
                integers: true,
                density: [0.3, 0.6, 1.0][i % 3],
                ..Case::new(shape, block)
            };
            check::<f32, f32, f32>(&case);
        }
    }
}

/// The tiles of GPUs, which read x as it lies.
#[test]
fn small_integers_are_exact_in_the_tiles_of_gpus() {
    // Invocations side by side that share a tile of rows, and others.
    let blocks = BLOCKS.into_iter().chain([(4, 256), (12, 512)]);
    for (block, class) in blocks.zip(
        [AdapterClass::Nvidia, AdapterClass::Intel]
            .into_iter()
            .cycle(),
    ) {
        for shape in [[9, 130, 1035], [17, 64, 96]] {
            let case = Case {
                integers: true,
                beta: 1.0,
                class: Some(class),
                ..Case::new(shape, block)
            };
            let (_, explanation) = check::<f32, f32, f32>(&case);
            assert!(explanation.tile.ends_with("x 32 lanes"), "{explanation}");
            assert!(!explanation.kernel.contains("packed"), "{explanation}");
            check::<f16, bf16, f16>(&case);
        }
    }
}

/// What plans take on drivers that run shaders on the processor.
#[test]
fn small_integers_are_exact_in_words_of_64_bits() {
    if !has_wide_words() {
        return;
    }
    for block in [(32, 32), (8, 16), (5, 3)] {
        in_words(Words::Bits64, || {
            let case = Case {
                integers: true,
                beta: 1.0,
                ..Case::new([9, 64, 96], block)
            };
            let (_, explanation) = check::<f32, f32, f32>(&case);
            assert!(explanation.kernel.ends_with("_u64"), "{explanation}");
            check::<f16, bf16, f16>(&case);
            check::<f32, f16, bf16>(&Case {
                shape: [5, 31, 41],
                ..case
            });
        });
    }
}

#[test]
fn empty_sizes() {
    for shape in [[0, 8, 8], [3, 0, 8], [3, 8, 0], [1, 1, 1]] {
        check::<f32, f32, f32>(&Case {
            integers: true,
            ..Case::new(shape, (4, 4))
        });
    }
    check::<f32, f32, f32>(&Case {
        density: 0.0,
        ..Case::new([5, 8, 8], (4, 4))
    });
}

#[test]
fn every_storage_type_alpha_and_beta() {
    for block in [(32, 32), (8, 4), (5, 3)] {
        for (alpha, beta) in [(1.0, 0.0), (1.3, -0.7)] {
            let case = Case {
                alpha,
                beta,
                ..Case::new([33, 40, 70], block)
            };
            check::<f32, f32, f32>(&case);
            check::<f16, f16, f16>(&case);
            check::<bf16, f32, bf16>(&case);
        }
    }
}

/// dy, x and the result stored as these types of a list.
fn check_types(case: &Case, [y, x, w]: [usize; 3]) {
    fn with_x<Y: Element>(case: &Case, x: usize, w: usize) {
        match x {
            0 => with_w::<Y, f32>(case, w),
            1 => with_w::<Y, f16>(case, w),
            _ => with_w::<Y, bf16>(case, w),
        }
    }
    fn with_w<Y: Element, X: Element>(case: &Case, w: usize) {
        match w {
            0 => check::<Y, X, f32>(case),
            1 => check::<Y, X, f16>(case),
            _ => check::<Y, X, bf16>(case),
        };
    }
    match y {
        0 => with_x::<f32>(case, x, w),
        1 => with_x::<f16>(case, x, w),
        _ => with_x::<bf16>(case, x, w),
    }
}

#[test]
fn every_two_choices_together() {
    // Whole vectors, primes, one, empty.
    let shapes = [
        [33, 64, 96],
        [13, 19, 41],
        [5, 2, 3],
        [1, 1, 1],
        [0, 8, 8],
        [4, 32, 64],
    ];
    let blocks = [(32, 32), (16, 8), (4, 64), (5, 3), (1, 1)];
    for row in pairs(&[shapes.len(), blocks.len(), 3, 3, 3, 2, 2]) {
        let [shape, block, y, x, w, alpha, beta] = row[..] else {
            panic!("{} choices", row.len());
        };
        let case = Case {
            alpha: [1.0, 1.3][alpha],
            beta: [0.0, -0.7][beta],
            ..Case::new(shapes[shape], blocks[block])
        };
        check_types(&case, [y, x, w]);
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let worst = [1, 2, 3]
        .map(|tokens| check::<f32, f32, f32>(&Case::new([tokens, 64, 64], (8, 8))).0)
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

/// Rows of blocks are padded with zeros, also where infinite columns of x lie behind a block: with the result as weights, padding meets zeros.
#[test]
fn a_result_can_be_used_as_weights() {
    let (rows, cols, block) = (4, 6, (2, 3));
    let selection = BlockSelection::new(rows, cols, block, vec![0, 1, 2], vec![0, 0]);
    let number = |i: usize| if i % cols < 3 { 1.0 } else { f32::INFINITY };
    let x = Matrix::new(2, cols, (0..2 * cols).map(number).collect());
    let upload = |matrix: &Matrix<f32>| gpu().upload(matrix).unwrap();
    let ones = |rows, cols| upload(&Matrix::new(rows, cols, vec![1.0; rows * cols]));
    let sddmm = BsrSddmm::new(2, rows, cols, block);
    let sddmm = gpu().plan_blocking(&sddmm).unwrap();
    let matmul = BsrMatmul::new(9, rows, cols, block);
    let matmul = gpu().plan_blocking(&matmul).unwrap();
    let mut w = gpu().empty_bsr(&selection, DType::F32).unwrap();
    let mut y = gpu().empty_tensor(&[9, rows], DType::F32).unwrap();
    submit(gpu(), |pass| {
        let (dy, x) = (ones(2, rows), upload(&x));
        sddmm.record(pass, &dy, &x, &mut w).unwrap();
        matmul.record(pass, &w, &ones(9, cols), &mut y).unwrap();
    });
    // Three weights of 2 in each row.
    assert_eq!(read::<f32>(gpu(), &y), [6.0; 36]);
}

#[test]
fn many_tokens() {
    check::<f32, f32, f32>(&Case {
        integers: true,
        ..Case::new([70_000, 8, 12], (4, 4))
    });
}

/// Bytes of an operand beyond one binding and within one buffer.
const LARGE: usize = 200 << 20;

#[test]
fn operands_larger_than_a_binding() {
    // dy, then x; rows that do not start where a binding may.
    let tokens = 70_001;
    assert!(tokens * 750 * 4 > LARGE && tokens * 1500 * 2 > LARGE);
    let integers = |shape, block, alpha, beta| Case {
        integers: true,
        density: 0.1,
        alpha,
        beta,
        ..Case::new(shape, block)
    };
    check::<f32, f32, f32>(&integers([tokens, 750, 8], (6, 4), 2.0, -1.0));
    check::<f16, f16, f16>(&integers([tokens, 8, 1500], (4, 12), 1.0, 0.0));
    check::<f16, f16, f16>(&integers([tokens, 8, 1500], (4, 12), 1.0, 1.0));
    // Random numbers, whose sums meet in the scratch memory.
    check::<f32, f32, f32>(&Case {
        integers: false,
        ..integers([tokens, 750, 8], (6, 4), 1.3, -0.7)
    });
}

#[test]
fn sums_larger_than_their_scratch_memory() {
    let (tokens, n_out, k_in) = (40, 1_050_000, 16);
    assert!(tokens * n_out * 4 > 128 << 20 && n_out * k_in * 4 > 64 << 20);
    let case = Case {
        integers: true,
        density: 1.0,
        beta: 1.0,
        ..Case::new([tokens, n_out, k_in], (64, 16))
    };
    check::<f32, f32, f32>(&case);
}

/// Tokens are bound some at a time, of which the second begins within a word.
#[test]
fn rows_wider_than_where_bindings_may_start() {
    for (tokens, n_out, k_in) in [(70, 1_050_001, 4), (70, 4, 1_050_001)] {
        assert!(tokens * n_out.max(k_in) * 2 > 128 << 20);
        for class in [None, Some(AdapterClass::Nvidia)] {
            let case = Case {
                integers: true,
                density: 0.01,
                beta: 1.0,
                class,
                ..Case::new([tokens, n_out, k_in], (4, 4))
            };
            let (_, explanation) = check::<f16, f16, f16>(&case);
            let notes = explanation.notes.join("\n");
            assert!(notes.contains("tokens at a time"), "{explanation}");
        }
    }
}

/// Four tokens of x, side by side, exceed a binding.
#[test]
fn rows_of_x_that_are_too_wide_to_be_packed() {
    let k_in = 8_400_003;
    assert!(4 * k_in * 4 > 128 << 20);
    let case = Case {
        integers: true,
        density: 0.01,
        ..Case::new([5, 4, k_in], (4, 4))
    };
    let (_, explanation) = check::<f32, f32, f32>(&case);
    assert!(!explanation.kernel.contains("packed"), "{explanation}");
}

#[test]
fn more_tokens_than_a_driver_loops() {
    check::<f32, f32, f32>(&Case {
        integers: true,
        ..Case::new([300_000, 4, 4], (4, 4))
    });
}

#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (2, 8192, 6464);
    let case = Case {
        integers: true,
        density: 1.0,
        ..Case::new([tokens, n_out, k_in], (64, 64))
    };
    assert!(n_out * k_in * 4 > LARGE);
    check::<f32, f32, f32>(&case);
}

#[test]
fn what_does_not_fit_is_refused() {
    let problem = BsrSddmm::new(4, 8, 8, (4, 4));
    let plan_error = |problem: BsrSddmm| gpu().plan_blocking(&problem).unwrap_err().to_string();
    assert_eq!(
        plan_error(BsrSddmm {
            alpha: f32::NAN,
            ..problem
        }),
        "bsr_sddmm: alpha = NaN; it is a finite number"
    );
    assert!(plan_error(BsrSddmm::new(4, 8, 8, (0, 4))).contains("blocks of 0 x 4"));
    assert!(
        plan_error(BsrSddmm::new(2, 40_000_000, 8, (4, 4)))
            .contains("request a larger max_storage_buffer_binding_size")
    );
    let one_block = |side| BsrSddmm::new(4, side, side, (8192, 8192));
    let message = plan_error(one_block(8));
    assert!(
        message.starts_with(
            "bsr_sddmm: one block needs bindings of 268435456 bytes, the device has bindings of "
        ) && message.ends_with(" or use smaller blocks"),
        "{message}"
    );
    // Without elements there is no block.
    gpu().plan_blocking(&one_block(0)).unwrap();
    let plan = gpu().plan_blocking(&problem).unwrap();
    let tensor = |rows, cols| gpu().empty_tensor(&[rows, cols], DType::F32).unwrap();
    let full = |n, block| {
        let dense = Matrix::new(n, n, vec![1.0_f32; n * n]);
        gpu()
            .upload_bsr(&BsrMatrix::from_dense(&dense, block).unwrap())
            .unwrap()
    };
    let refused = |dy: &GpuTensor, x: &GpuTensor, mut out: GpuBsr| {
        let mut message = String::new();
        submit(gpu(), |pass| {
            message = plan.record(pass, dy, x, &mut out).unwrap_err().to_string();
        });
        message
    };
    let (dy, x) = (tensor(4, 8), tensor(4, 8));
    assert_eq!(
        refused(&tensor(3, 8), &x, full(8, (4, 4))),
        "bsr_sddmm: dy has shape [3, 8], the plan is for [4, 8]"
    );
    assert_eq!(
        refused(&dy, &x, full(8, (4, 8))),
        "bsr_sddmm: out has pattern blocks of 4 x 8, the plan is for blocks of 4 x 4"
    );
    assert_eq!(
        refused(&dy, &x, full(12, (4, 4))),
        "bsr_sddmm: out has shape [12, 12], the plan is for [8, 8]"
    );
    let foreign = open(None).unwrap();
    let foreign = foreign.empty_bsr(full(8, (4, 4)).selection(), DType::F32);
    assert!(refused(&dy, &x, foreign.unwrap()).contains("out lies on another device"));
    let mut half = gpu()
        .empty_bsr(full(8, (4, 4)).selection(), DType::F16)
        .unwrap();
    submit(gpu(), |pass| {
        let error = plan
            .record(pass, &dy, &x, &mut half)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "bsr_sddmm: out is stored as f16, the plan is for f32"
        );
    });
}
