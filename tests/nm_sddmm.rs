//! `nm_sddmm` against its CPU reference.

mod support;

use half::{bf16, f16};
use sparse_core::{DType, Element, Matrix, Nm, NmMatrix, NmSelection};
use sparse_gpu::{AdapterClass, GpuNm, GpuTensor, NmMatmul, NmSddmm, Words};
use support::gpu::{gpu, has_wide_words, in_words, open, read, submit};
use support::nm_sddmm::{Case, check, poisoned};
use support::pairs::pairs;

/// Whole words of indices and others, groups that vectors divide and others; a row, some and many rows to a pattern, and more than there are.
const PATTERNS: [&str; 16] = [
    "2:4", "1:2", "1:3", "1:4", "4:8", "2:8", "2:5", "31:32", "2:2:4", "3:2:4", "4:1:2", "8:2:4",
    "20:2:8", "12:5:16", "7:3:7", "500:1:32",
];

fn nm(text: &str) -> Nm {
    text.parse().unwrap()
}

fn integers(shape: [usize; 3], pattern: &str) -> Case {
    Case {
        integers: true,
        ..Case::new(shape, nm(pattern))
    }
}

#[test]
fn small_integers_are_exact_in_every_pattern_and_shape() {
    for pattern in PATTERNS {
        // Added to what is there, an element that two invocations write is wrong in whichever order they do.
        for (shape, beta) in [([9, 130, 135], 0.0), ([17, 64, 96], 1.0), ([4, 7, 5], 1.0)] {
            check::<f32, f32, f32>(&Case {
                beta,
                ..integers(shape, pattern)
            });
        }
    }
}

/// The tiles of GPUs, of lanes side by side and of few rows, which read x as it lies.
#[test]
fn small_integers_are_exact_in_the_tiles_of_gpus() {
    let mut tiles = Vec::new();
    for (pattern, class) in PATTERNS.into_iter().flat_map(|pattern| {
        [AdapterClass::Nvidia, AdapterClass::Intel].map(|class| (pattern, class))
    }) {
        let case = Case {
            class: Some(class),
            beta: 1.0,
            ..integers([9, 42, 702], pattern)
        };
        let (_, explanation) = check::<f32, f32, f32>(&case);
        assert!(!explanation.kernel.contains("packed"), "{explanation}");
        tiles.push(explanation.tile);
    }
    // Where a row has few slots, workgroups are smaller.
    for lanes in ["x 32 lanes", "x 8 lanes"] {
        assert!(tiles.iter().any(|tile| tile.ends_with(lanes)), "{tiles:?}");
    }
}

/// What plans take on drivers that run shaders on the processor.
#[test]
fn small_integers_are_exact_in_words_of_64_bits() {
    if !has_wide_words() {
        return;
    }
    for pattern in ["2:4", "8:2:4", "3:3:7"] {
        in_words(Words::Bits64, || {
            let case = Case {
                beta: 1.0,
                ..integers([9, 64, 96], pattern)
            };
            let (_, explanation) = check::<f32, f32, f32>(&case);
            assert!(explanation.kernel.ends_with("_u64"), "{explanation}");
            check::<f16, bf16, f16>(&case);
            check::<f32, f16, bf16>(&integers([5, 31, 41], pattern));
        });
    }
}

#[test]
fn sums_are_listed_or_selected() {
    for class in [AdapterClass::Software, AdapterClass::Nvidia] {
        for (pattern, kind) in [("2:4", "_selected-"), ("8:2:4", "_listed-")] {
            let case = Case {
                class: Some(class),
                ..Case::new([5, 16, 16], nm(pattern))
            };
            let (_, explanation) = check::<f32, f32, f32>(&case);
            let kernel = &explanation.kernel;
            assert!(kernel.contains(kind), "{pattern}: {kernel}");
        }
    }
}

#[test]
fn empty_sizes() {
    for pattern in ["2:4", "8:2:8", "3:5"] {
        for shape in [[0, 8, 8], [3, 0, 8], [3, 8, 0], [0, 0, 0], [1, 1, 1]] {
            check::<f32, f32, f32>(&integers(shape, pattern));
        }
    }
    // Without tokens the sum is zero, and what is there stays.
    check::<f16, f32, f16>(&Case {
        beta: 1.0,
        ..integers([0, 8, 9], "2:4")
    });
}

#[test]
fn every_storage_type_alpha_and_beta() {
    for pattern in ["2:4", "8:2:8", "3:3:7"] {
        for (alpha, beta) in [(1.0, 0.0), (1.3, -0.7)] {
            let case = Case {
                alpha,
                beta,
                ..Case::new([33, 40, 70], nm(pattern))
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
    // Whole vectors, primes, one, one token, no token, whole vectors of one operand.
    let shapes = [
        [33, 64, 96],
        [13, 19, 41],
        [1, 1, 1],
        [1, 37, 53],
        [0, 8, 8],
        [4, 32, 63],
        [6, 31, 64],
    ];
    let patterns = [
        "2:4", "1:3", "2:2:4", "8:2:4", "20:2:8", "7:3:7", "500:1:32",
    ];
    let classes = [None, Some(AdapterClass::Nvidia)];
    let levels = [shapes.len(), patterns.len(), 3, 3, 3, 3, 3, classes.len()];
    for row in pairs(&levels) {
        let [shape, pattern, y, x, w, alpha, beta, class] = row[..] else {
            panic!("{} choices", row.len());
        };
        let case = Case {
            alpha: [1.0, 1.3, 0.0][alpha],
            beta: [0.0, -0.7, 1.0][beta],
            class: classes[class],
            ..Case::new(shapes[shape], nm(patterns[pattern]))
        };
        check_types(&case, [y, x, w]);
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    for pattern in ["2:4", "8:2:4"] {
        let worst = [1, 2, 3]
            .map(|tokens| check::<f32, f32, f32>(&Case::new([tokens, 64, 64], nm(pattern))).0)
            .into_iter()
            .fold(0.0, f64::max);
        assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
    }
}

/// What is not kept touches nothing, whether it is gathered, summed beside, or read because there is no such column; the result is weights again, whose
/// padding meets zeros.
#[test]
fn a_result_can_be_used_as_weights() {
    for (pattern, class) in [
        ("2:4", AdapterClass::Software),
        ("4:2:4", AdapterClass::Software),
        ("2:4", AdapterClass::Nvidia),
        ("4:2:4", AdapterClass::Nvidia),
    ] {
        let gpu = gpu().with_class(class);
        // The first two columns of each group are kept; of the tail group of one column the last slot stands for nothing, and two more pad the row.
        let (rows, cols, pattern) = (6_usize, 9, nm(pattern));
        let strips = rows.div_ceil(pattern.v());
        let selection = NmSelection::new(rows, cols, pattern, [0, 1].repeat(3 * strips));
        let number = |i: usize| match i % cols {
            1 | 5 | 8 => 1.0,
            0 | 4 => 0.0,
            2 | 7 => f32::INFINITY,
            _ => f32::NAN,
        };
        let x = Matrix::new(2, cols, (0..2 * cols).map(number).collect());
        let upload = |matrix: &Matrix<f32>| gpu.upload(matrix).unwrap();
        let ones = |rows, cols| upload(&Matrix::new(rows, cols, vec![1.0; rows * cols]));
        let sddmm = NmSddmm::new(2, rows, cols, pattern);
        let sddmm = gpu.plan_blocking(&sddmm).unwrap();
        let matmul = NmMatmul::new(9, rows, cols, pattern);
        let matmul = gpu.plan_blocking(&matmul).unwrap();
        let mut w = poisoned::<f32>(&selection);
        let mut y = gpu.empty_tensor(&[9, rows], DType::F32).unwrap();
        submit(&gpu, |pass| {
            let (dy, x) = (ones(2, rows), upload(&x));
            sddmm.record(pass, &dy, &x, &mut w).unwrap();
            matmul.record(pass, &w, &ones(9, cols), &mut y).unwrap();
        });
        let values = gpu.read_nm_blocking::<f32>(&w).unwrap();
        assert_eq!(values.values(), [0.0, 2.0, 0.0, 2.0, 2.0, 0.0].repeat(rows));
        // Three weights of 2 in each row.
        assert_eq!(read::<f32>(&gpu, &y), [6.0; 54]);
    }
}

/// Sums of f32 that another order would round to other numbers.
#[test]
fn tokens_are_summed_in_their_order() {
    for (pattern, class) in [
        ("2:4", AdapterClass::Software),
        ("4:2:4", AdapterClass::Software),
        ("2:4", AdapterClass::Nvidia),
        ("4:2:4", AdapterClass::Nvidia),
    ] {
        let gpu = gpu().with_class(class);
        let pattern = nm(pattern);
        let of_tokens = [1e8_f32, 1.0, -1e8, 3.0, 0.0, 1.0, 2.0];
        let x = of_tokens.iter().flat_map(|&x| [x; 8]).collect();
        let x = gpu.upload(&Matrix::new(7, 8, x)).unwrap();
        let dy = gpu.upload(&Matrix::new(7, 4, vec![1.0_f32; 28])).unwrap();
        let strips = 4 / pattern.v();
        let selection = NmSelection::new(4, 8, pattern, [0, 1].repeat(2 * strips));
        let mut dw = poisoned::<f32>(&selection);
        let plan = gpu.plan_blocking(&NmSddmm::new(7, 4, 8, pattern)).unwrap();
        submit(&gpu, |pass| plan.record(pass, &dy, &x, &mut dw).unwrap());
        let dw = gpu.read_nm_blocking::<f32>(&dw).unwrap();
        // 1e8 + 1 is 1e8.
        assert_eq!(dw.values(), [6.0; 16], "{pattern} {class:?}");
    }
}

/// Not the product, were it infinite; nor what was there, were it NaN.
#[test]
fn factors_of_zero_let_nothing_through() {
    for pattern in ["2:4", "8:2:4"] {
        let pattern = nm(pattern);
        let w = Matrix::new(8, 10, (0..80_u8).map(f32::from).collect());
        let w = NmMatrix::prune(&w, pattern).unwrap();
        let selection = w.selection().unwrap();
        let endless = |cols| Matrix::new(3, cols, vec![f32::INFINITY; 3 * cols]);
        let (dy, x) = (endless(8), endless(10));
        let (dy, x) = (gpu().upload(&dy).unwrap(), gpu().upload(&x).unwrap());
        let scaled = |alpha, beta, mut out: GpuNm| {
            let problem = NmSddmm {
                alpha,
                beta,
                ..NmSddmm::new(3, 8, 10, pattern)
            };
            let plan = gpu().plan_blocking(&problem).unwrap();
            submit(gpu(), |pass| plan.record(pass, &dy, &x, &mut out).unwrap());
            gpu().read_nm_blocking::<f32>(&out).unwrap()
        };
        let doubled: Vec<f32> = w.values().iter().map(|w| 2.0 * w).collect();
        let out = scaled(0.0, 2.0, gpu().upload_nm(&w).unwrap());
        assert_eq!(out.values(), doubled);
        let out = scaled(0.0, 0.0, poisoned::<f32>(&selection));
        assert!(out.values().iter().all(|&v| v == 0.0), "{:?}", out.values());
    }
}

#[test]
fn many_tokens() {
    check::<f32, f32, f32>(&integers([70_000, 8, 12], "8:2:4"));
    check::<f32, f32, f32>(&integers([70_000, 8, 12], "2:4"));
}

#[test]
fn many_rows_and_many_columns() {
    for pattern in ["2:4", "8:2:8"] {
        check::<f32, f32, f32>(&integers([3, 70_000, 12], pattern));
        check::<f32, f32, f16>(&integers([3, 12, 70_000], pattern));
    }
    // More workgroups than one row of a dispatch has.
    let tiles = Case {
        class: Some(AdapterClass::Nvidia),
        ..integers([2, 70_000 * 4, 4], "4:2:4")
    };
    check::<f32, f32, f32>(&tiles);
}

/// Bytes of an operand beyond one binding and within one buffer.
const LARGE: usize = 200 << 20;

#[test]
fn operands_larger_than_a_binding() {
    // dy, then x; rows that do not start where a binding may.
    let tokens = 70_001;
    assert!(tokens * 750 * 4 > LARGE && tokens * 1500 * 2 > LARGE);
    let scaled = |shape, pattern, alpha, beta| Case {
        alpha,
        beta,
        ..integers(shape, pattern)
    };
    let (_, explanation) = check::<f32, f32, f32>(&scaled([tokens, 750, 8], "6:1:4", 2.0, -1.0));
    let notes = explanation.notes.join("\n");
    assert!(notes.contains("tokens at a time"), "{explanation}");
    check::<f16, f16, f16>(&scaled([tokens, 8, 1500], "4:1:32", 1.0, 0.0));
    check::<f16, f16, f16>(&scaled([tokens, 8, 1500], "1:32", 1.0, 1.0));
    // Random numbers, whose sums meet in the scratch memory.
    check::<f32, f32, f32>(&Case {
        integers: false,
        ..scaled([tokens, 750, 8], "1:4", 1.3, -0.7)
    });
}

/// Runs of tiles that are not alike: twelve rows of a strip and the other eight.
#[test]
fn sums_larger_than_their_scratch_memory() {
    let (tokens, n_out, k_in) = (17, 2_100_000, 16);
    assert!(tokens * n_out * 4 > 128 << 20 && n_out * k_in / 2 * 4 > 64 << 20);
    let case = Case {
        beta: 1.0,
        ..integers([tokens, n_out, k_in], "20:2:4")
    };
    let (_, explanation) = check::<f32, f32, f32>(&case);
    // Four tokens of x are packed side by side.
    let packed = tokens.next_multiple_of(4) * k_in * 4;
    let most = (64 << 20) + packed as u64;
    assert!(explanation.scratch_bytes <= most, "{explanation}");
}

/// Four tokens of x, side by side, exceed a binding.
#[test]
fn rows_of_x_that_are_too_wide_to_be_packed() {
    let k_in = 8_400_003;
    assert!(4 * k_in * 4 > 128 << 20);
    for pattern in ["1:32", "4:1:32"] {
        let (_, explanation) = check::<f32, f32, f32>(&integers([5, 4, k_in], pattern));
        assert!(!explanation.kernel.contains("packed"), "{explanation}");
    }
}

#[test]
fn more_tokens_than_a_driver_loops() {
    check::<f32, f32, f32>(&integers([300_000, 4, 4], "4:2:4"));
}

/// Runs begin within a strip of all rows, and between those of a pattern of their own.
#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (2, 4200, 8448);
    for pattern in ["9000:31:32", "31:32"] {
        assert!(n_out * k_in / 32 * 31 * 4 > 130 << 20);
        check::<f32, f32, f32>(&integers([tokens, n_out, k_in], pattern));
    }
}

#[test]
fn problems_that_do_not_fit_are_refused() {
    // Without elements nothing is bound.
    for [n_out, k_in] in [[0, 50_000_000], [50_000_000, 0], [0, 4], [4, 0]] {
        let empty = NmSddmm::new(300_000, n_out, k_in, nm("2:4"));
        let plan = gpu().plan_blocking(&empty).unwrap();
        assert_eq!(plan.explain().scratch_bytes, 0);
    }
    let plan_error = |problem: NmSddmm| gpu().plan_blocking(&problem).unwrap_err().to_string();
    let problem = NmSddmm::new(4, 8, 8, Nm::TWO_FOUR);
    let (alpha, beta) = (f32::NAN, f32::INFINITY);
    assert_eq!(
        plan_error(NmSddmm { alpha, ..problem }),
        "nm_sddmm: alpha = NaN; it is a finite number"
    );
    assert_eq!(
        plan_error(NmSddmm { beta, ..problem }),
        "nm_sddmm: beta = inf; it is a finite number"
    );
    assert!(
        plan_error(NmSddmm::new(2, 40_000_000, 8, Nm::TWO_FOUR))
            .contains("request a larger max_storage_buffer_binding_size")
    );
    assert_eq!(
        plan_error(NmSddmm::new(1 << 32, 1, 1, Nm::TWO_FOUR)),
        "nm_sddmm: 4294967296 tokens, n_out = 1, k_in = 1; each is at most 2^32 - 1"
    );
    assert_eq!(
        plan_error(NmSddmm::new(0, 1 << 16, 1 << 16, Nm::TWO_FOUR)),
        "nm_sddmm: out is 65536 x 65536; an operand has at most 2^32 - 1 elements, split the problem"
    );
    let wide = |n_out| NmSddmm::new(0, n_out, 80_000_000, Nm::TWO_FOUR);
    let message = plan_error(wide(1));
    assert!(
        message.starts_with(
            "nm_sddmm: one row of the result needs bindings of 160000000 bytes, the device has bindings of "
        ) && message.ends_with(" or split k_in"),
        "{message}"
    );
    // Without elements there is no row.
    gpu().plan_blocking(&wide(0)).unwrap();
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let plan = gpu()
        .plan_blocking(&NmSddmm::new(4, 8, 8, Nm::TWO_FOUR))
        .unwrap();
    let tensor = |rows, cols| gpu().empty_tensor(&[rows, cols], DType::F32).unwrap();
    let zeros = |n, pattern| {
        NmMatrix::<f32>::from_dense(&Matrix::<f32>::zeros(n, n).unwrap(), pattern).unwrap()
    };
    let upload = |n, pattern| gpu().upload_nm(&zeros(n, pattern)).unwrap();
    let refused = |dy: &GpuTensor, x: &GpuTensor, mut out: GpuNm| {
        let mut message = String::new();
        submit(gpu(), |pass| {
            message = plan.record(pass, dy, x, &mut out).unwrap_err().to_string();
        });
        message
    };
    let (dy, x) = (tensor(4, 8), tensor(4, 8));
    let fitting = || upload(8, Nm::TWO_FOUR);
    assert_eq!(
        refused(&tensor(3, 8), &x, fitting()),
        "nm_sddmm: dy has shape [3, 8], the plan is for [4, 8]"
    );
    assert_eq!(
        refused(&dy, &tensor(4, 9), fitting()),
        "nm_sddmm: x has shape [4, 9], the plan is for [4, 8]"
    );
    let halves = gpu().empty_tensor(&[4, 8], DType::Bf16).unwrap();
    assert_eq!(
        refused(&dy, &halves, fitting()),
        "nm_sddmm: x is stored as bf16, the plan is for f32"
    );
    assert_eq!(
        refused(&dy, &x, upload(8, nm("2:2:4"))),
        "nm_sddmm: out has pattern 2:2:4, the plan is for 2:4"
    );
    assert_eq!(
        refused(&dy, &x, upload(12, Nm::TWO_FOUR)),
        "nm_sddmm: out has shape [12, 12], the plan is for [8, 8]"
    );
    let half = gpu().empty_nm_like(&fitting(), DType::F16).unwrap();
    assert_eq!(
        refused(&dy, &x, half),
        "nm_sddmm: out is stored as f16, the plan is for f32"
    );
    let there = open(None).unwrap();
    let foreign = there.upload_nm(&zeros(8, Nm::TWO_FOUR)).unwrap();
    assert_eq!(
        refused(&dy, &x, foreign),
        "nm_sddmm: out lies on another device; use it with the Gpu that it was made with, or a clone of that"
    );
    let foreign = there.empty_tensor(&[4, 8], DType::F32).unwrap();
    assert!(refused(&foreign, &x, fitting()).starts_with("nm_sddmm: dy lies on another device"));
    assert!(refused(&dy, &foreign, fitting()).starts_with("nm_sddmm: x lies on another device"));
}

/// The values of a result are a tensor, which a program may take for dy or x.
#[test]
fn a_result_that_is_read_is_refused() {
    let refused = |n: usize, k_in: usize, values_are_dy: bool| {
        let zeros = Matrix::<f32>::zeros(n, k_in).unwrap();
        let out = NmMatrix::from_dense(&zeros, Nm::TWO_FOUR).unwrap();
        let mut out = gpu().upload_nm(&out).unwrap();
        let values = out.values();
        let plan = NmSddmm::new(n, n, k_in, Nm::TWO_FOUR);
        let plan = gpu().plan_blocking(&plan).unwrap();
        let [dy, x] = [n, k_in].map(|cols| gpu().empty_tensor(&[n, cols], DType::F32).unwrap());
        let (dy, x) = if values_are_dy {
            (&values, &x)
        } else {
            (&dy, &values)
        };
        let mut message = String::new();
        submit(gpu(), |pass| {
            message = plan.record(pass, dy, x, &mut out).unwrap_err().to_string();
        });
        message
    };
    // Eight slots of eight rows are [tokens, n_out], and two slots with their padding [tokens, k_in].
    for (message, input) in [(refused(8, 16, true), "dy"), (refused(4, 4, false), "x")] {
        let expected = format!("nm_sddmm: out shares its buffer with {input}; ");
        assert!(message.starts_with(&expected), "{message}");
    }
}
