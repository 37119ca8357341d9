//! Products on cooperative matrices against the CPU references; where the adapter has none, that every plan says so.

mod support;

use half::{bf16, f16};
use sparse_core::bounds::{compare, cooperative_matmul_bounds};
use sparse_core::matmul::dense_matmul;
use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Element, Matrix, Nm, Tensor};
use sparse_gpu::{
    Activation, Batch, DenseMatmul, Epilogue, Error, Gpu, MatmulTypes, Tier, Tile, Transposed, wgpu,
};
use support::gpu::{gpu, matrices, poisoned, read, submit};
use support::matmul::{Added, Case, EPILOGUES, Format, check};
use support::product::plan;

fn nm(pattern: &str) -> Format {
    Format::Nm(pattern.parse::<Nm>().unwrap_or_else(|e| panic!("{e}")))
}

/// On cooperative matrices, with a plan that does not split k of its own accord: the bound counts the parts.
fn case(format: Format, shape: [usize; 3]) -> Case {
    Case {
        tier: Tier::CooperativeMatrix,
        split_k: Some(1),
        ..Case::new(format, shape)
    }
}

/// Compares with the reference, or sees the plan refused where there are no matrices. Returns the share of the bound that was used.
fn check_or_refused<Y: Element>(case: &Case) -> f64 {
    if matrices().is_some() {
        return check::<f16, f16, Y>(case);
    }
    let types = MatmulTypes {
        y: Y::DTYPE,
        ..MatmulTypes::all(DType::F16)
    };
    let error = plan(case, types, Epilogue::default()).unwrap_err();
    let Error::Unavailable {
        what, has, hint, ..
    } = &error
    else {
        panic!("{case:?}: {error}");
    };
    assert!(what.ends_with("on cooperative matrices"), "{error}");
    assert!(has.contains("they were refused"), "{error}");
    assert!(hint.contains("Tier::Portable"), "{error}");
    0.0
}

/// `[tokens, n_out, k_in]`: nothing, one, odd, around a matrix, around tiles, several tiles and panels.
const EDGES: [[usize; 3]; 15] = [
    [0, 16, 8],
    [16, 0, 8],
    [16, 16, 0],
    [1, 1, 1],
    [3, 5, 9],
    [7, 8, 15],
    [8, 16, 16],
    [9, 17, 17],
    [33, 15, 31],
    [31, 32, 32],
    [65, 33, 36],
    [129, 40, 64],
    [257, 48, 66],
    [40, 130, 96],
    [530, 64, 48],
];

/// What all sizes of matrices divide, in every format.
const FORMATS: [(&str, Option<(usize, usize)>); 7] = [
    ("dense", None),
    ("16:2:4", None),
    ("32:2:8", None),
    ("48:3:7", None),
    ("64:1:2", None),
    ("", Some((16, 32))),
    ("", Some((48, 16))),
];

fn formats() -> impl Iterator<Item = Format> {
    FORMATS.into_iter().map(|(pattern, block)| match block {
        Some(block) => Format::Bsr(block, 0.4),
        None if pattern == "dense" => Format::Dense,
        None => nm(pattern),
    })
}

/// One of each kind, for what multiplies many.
fn kinds() -> [Format; 3] {
    [Format::Dense, nm("32:2:8"), Format::Bsr((16, 32), 0.4)]
}

#[test]
fn small_integers_are_exact_in_every_shape() {
    for format in kinds() {
        for shape in EDGES {
            let integers = true;
            check_or_refused::<f32>(&Case {
                integers,
                ..case(format, shape)
            });
        }
    }
}

// Every pair of a format and a type of result is a kernel to compile, which takes lavapipe a second or two: what multiplies is dealt out.

#[test]
fn real_numbers_stay_within_the_bound() {
    let shapes = [[65, 32, 64], [40, 19, 33], [130, 96, 300]];
    for (i, format) in formats().enumerate() {
        check_or_refused::<f32>(&case(format, shapes[i % 3]));
        check_or_refused::<f16>(&case(format, shapes[(i + 1) % 3]));
        check_or_refused::<bf16>(&case(format, shapes[(i + 2) % 3]));
    }
}

#[test]
fn epilogues() {
    let nothing = (0.0, Added::Previous(0.0), true, Activation::None);
    let epilogues = EPILOGUES.into_iter().chain([nothing]);
    // Rows of y that start at vec4s, at words, at neither.
    let shapes = [[33, 32, 40], [18, 14, 15], [20, 15, 24]];
    for (i, (alpha, addend, bias, activation)) in epilogues.enumerate() {
        for (j, format) in kinds().into_iter().enumerate() {
            let case = Case {
                alpha,
                addend,
                bias,
                activation,
                ..case(format, shapes[(i + j) % 3])
            };
            if i % 2 == 0 {
                check_or_refused::<f32>(&case);
            } else {
                check_or_refused::<f16>(&case);
            }
        }
    }
}

#[test]
fn x_and_y_lie_as_their_transposes() {
    for (i, (x, y)) in [(true, false), (false, true), (true, true)]
        .into_iter()
        .enumerate()
    {
        let transposed = Transposed { x, w: false, y };
        for (j, format) in kinds().into_iter().enumerate() {
            let shape = [[65, 33, 36], [64, 32, 64]][(i + j) % 2];
            let case = Case {
                transposed,
                ..case(format, shape)
            };
            check_or_refused::<f32>(&case);
            check_or_refused::<f16>(&case);
        }
    }
}

#[test]
fn batches_and_split_k() {
    for (batch, format) in [
        (Batch::Shared(3), Format::Dense),
        (Batch::PerItem(3), Format::Dense),
        (Batch::Shared(2), nm("16:2:8")),
    ] {
        for shape in [[20, 16, 32], [9, 7, 20]] {
            let case = Case {
                batch,
                ..case(format, shape)
            };
            check_or_refused::<f32>(&case);
            check_or_refused::<f16>(&case);
        }
    }
    for (i, format) in formats().enumerate() {
        let case = Case {
            split_k: Some([2, 3, 7][i % 3]),
            ..case(format, [40, 48, 130])
        };
        check_or_refused::<f32>(&case);
    }
}

/// The bound is made for hardware that cuts off where others round, and so leaves room; not room for sums in f16, nor for a product left out.
#[test]
fn sums_in_f16_would_exceed_the_bound() {
    let (x, w) = (
        normal_matrix::<f16>(24, 64, 1).unwrap(),
        normal_matrix::<f16>(16, 64, 2).unwrap(),
    );
    let reference = dense_matmul(&x, &w, &sparse_core::Epilogue::default()).unwrap();
    let none = sparse_core::Activation::None;
    let bounds = cooperative_matmul_bounds(&reference, 64, 1, none, DType::F32);
    let of_halves = |t: usize, o: usize| {
        (0..64).fold(f16::ZERO, |sum, k| {
            let product = x.data()[t * 64 + k].to_f32() * w.data()[o * 64 + k].to_f32();
            f16::from_f32(sum.to_f32() + product)
        })
    };
    let sums = (0..24 * 16).map(|i| of_halves(i / 16, i % 16).to_f64());
    let worst = compare(sums, &reference.y, &bounds);
    assert!(worst.ratio > 10.0, "{worst}");
    // What is left out of a sum of 64 is more than the bound, as a rule by far.
    let short = (0..24 * 16).map(|i| {
        let (t, o) = (i / 16, i % 16);
        reference.y[i] - x.data()[t * 64 + 63].to_f64() * w.data()[o * 64 + 63].to_f64()
    });
    assert!(compare(short, &reference.y, &bounds).ratio > 1000.0);
}

#[test]
fn some_of_the_bound_is_used() {
    let shapes = [[64, 32, 8], [64, 32, 16], [64, 32, 48]];
    let shares = shapes.map(|shape| check_or_refused::<f32>(&case(Format::Dense, shape)));
    if matrices().is_some() {
        let worst = shares.into_iter().fold(0.0, f64::max);
        assert!(
            worst > 1.0 / 32.0,
            "a thirty-second of the bound would do: {worst}"
        );
    }
}

/// x is subnormal, w is large: nothing may be flushed.
#[test]
fn subnormal_activations_count() {
    let x: Vec<f16> = (0..16 * 32).map(|i| f16::from_bits(1 + i % 7)).collect();
    let w: Vec<f16> = (0..16 * 32)
        .map(|i| f16::from_f32((i % 11) as f32 * 4096.0))
        .collect();
    let (x, w) = (Matrix::new(16, 32, x), Matrix::new(16, 32, w));
    let reference = dense_matmul(&x, &w, &sparse_core::Epilogue::default()).unwrap();
    assert!(reference.y.iter().any(|&y| y > 1e-3));
    let problem = DenseMatmul {
        types: MatmulTypes {
            y: DType::F32,
            ..MatmulTypes::all(DType::F16)
        },
        tier: Tier::CooperativeMatrix,
        ..DenseMatmul::new(16, 16, 32)
    };
    let Some(gpu) = matrices() else {
        assert!(gpu().plan_blocking(&problem).is_err());
        return;
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let (x, w) = (gpu.upload(&x).unwrap(), gpu.upload(&w).unwrap());
    let mut y = poisoned::<f32>(gpu, &[16, 16]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), reference.y);
}

/// A weight that is not stored never meets x: an infinity there does not leak.
#[test]
fn infinities_do_not_leak_through_padding() {
    let Some(gpu) = matrices() else {
        check_or_refused::<f32>(&case(nm("16:2:8"), [16, 16, 30]));
        return;
    };
    // Of 30 columns one is infinite in x; the only strip keeps the columns that are large, and that is not among them.
    let w: Vec<f16> = (0..20 * 30)
        .map(|i| f16::from_f32(if i % 30 % 8 < 2 { 2.0 } else { 0.5 }))
        .collect();
    let pattern: Nm = "32:2:8".parse().unwrap();
    let w = sparse_core::NmMatrix::prune(&Matrix::new(20, 30, w), pattern).unwrap();
    let x: Vec<f16> = (0..9 * 30)
        .map(|i| {
            if i % 30 == 13 {
                f16::INFINITY
            } else {
                f16::ONE
            }
        })
        .collect();
    let x = gpu.upload(&Matrix::new(9, 30, x)).unwrap();
    let w = gpu.upload_nm(&w).unwrap();
    let problem = sparse_gpu::NmMatmul {
        types: MatmulTypes {
            y: DType::F32,
            ..MatmulTypes::all(DType::F16)
        },
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::NmMatmul::new(9, 20, 30, pattern)
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu, &[9, 20]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), vec![16.0; 9 * 20]);
}

/// What a step reads behind the last k repeats the four before it, in both operands: an infinity among them must meet nothing but itself.
#[test]
fn infinities_of_the_last_k_stay_infinite() {
    let Some(gpu) = matrices() else {
        check_or_refused::<f32>(&case(nm("16:2:8"), [16, 16, 16]));
        return;
    };
    let (tokens, n_out) = (9, 20);
    let types = MatmulTypes {
        y: DType::F32,
        ..MatmulTypes::all(DType::F16)
    };
    // The first weight, too: it is what is loaded in the place of weights that do not exist.
    let (row, token) = (0, 2);
    let one_infinite = |rows: usize, k_in: usize, at: usize| {
        let ones = (0..rows * k_in).map(|i| {
            if i / k_in == at && [0, k_in - 1].contains(&(i % k_in)) {
                f16::INFINITY
            } else {
                f16::ONE
            }
        });
        Matrix::new(rows, k_in, ones.collect::<Vec<f16>>())
    };
    let expected = |kept: usize| {
        let sums = (0..tokens * n_out).map(|i| {
            if i / n_out == token || i % n_out == row {
                f64::INFINITY
            } else {
                kept as f64
            }
        });
        sums.collect::<Vec<f64>>()
    };
    // Rows that load four at once and one by one.
    for k_in in [20, 19] {
        let x = gpu.upload(&one_infinite(tokens, k_in, token)).unwrap();
        let w = gpu.upload(&one_infinite(n_out, k_in, row)).unwrap();
        let problem = DenseMatmul {
            types,
            tier: Tier::CooperativeMatrix,
            ..DenseMatmul::new(tokens, n_out, k_in)
        };
        let plan = gpu.plan_blocking(&problem).unwrap();
        let mut y = poisoned::<f32>(gpu, &[tokens, n_out]);
        submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
        assert_eq!(read::<f32>(gpu, &y), expected(k_in), "k_in = {k_in}");
    }
    // Two of eight, the last ones: the row with the infinity decides no less than the others.
    let k_in = 16;
    let mut w = one_infinite(n_out, k_in, row);
    for (i, weight) in w.data_mut().iter_mut().enumerate() {
        if i % 8 < 6 {
            *weight = f16::from_f32(0.5);
        }
    }
    let pattern: Nm = "32:2:8".parse().unwrap();
    let w = sparse_core::NmMatrix::prune(&w, pattern).unwrap();
    let x = gpu.upload(&one_infinite(tokens, k_in, token)).unwrap();
    let w = gpu.upload_nm(&w).unwrap();
    let problem = sparse_gpu::NmMatmul {
        types,
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::NmMatmul::new(tokens, n_out, k_in, pattern)
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu, &[tokens, n_out]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), expected(4));
}

#[test]
fn what_is_not_for_matrices_is_refused_by_its_rule() {
    let all = MatmulTypes::all(DType::F16);
    let dense = DenseMatmul {
        types: all,
        tier: Tier::CooperativeMatrix,
        ..DenseMatmul::new(32, 32, 32)
    };
    let tile = Some(Tile {
        rows: 8,
        cols: 8,
        lanes: 8,
    });
    let turned = Transposed {
        w: true,
        ..Transposed::NONE
    };
    let f32_x = MatmulTypes {
        x: DType::F32,
        ..all
    };
    let bf16_w = MatmulTypes {
        w: DType::Bf16,
        ..all
    };
    let nm = |v: usize| sparse_gpu::NmMatmul {
        types: all,
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::NmMatmul::new(32, 32, 32, Nm::try_new(2, 4, v).unwrap())
    };
    let bsr = |block| sparse_gpu::BsrMatmul {
        types: all,
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::BsrMatmul::new(32, 32, 32, block)
    };
    let enabled = matrices().is_some();
    let gpu = gpu();
    let refusals = [
        (
            gpu.plan_blocking(&DenseMatmul {
                types: f32_x,
                ..dense
            }),
            "x is stored as f32",
        ),
        (
            gpu.plan_blocking(&DenseMatmul {
                types: bf16_w,
                ..dense
            }),
            "w is stored as bf16",
        ),
        (
            gpu.plan_blocking(&DenseMatmul {
                transposed: turned,
                ..dense
            }),
            "w is transposed",
        ),
        (
            gpu.plan_blocking(&DenseMatmul { tile, ..dense }),
            "one of portable kernels",
        ),
        (gpu.plan_blocking(&nm(4)), "V is to be a multiple of"),
        (
            gpu.plan_blocking(&bsr((4, 16))),
            "both sides are to be multiples of",
        ),
        (
            gpu.plan_blocking(&bsr((16, 12))),
            "both sides are to be multiples of",
        ),
    ];
    for (plan, rule) in refusals {
        let error = plan.unwrap_err();
        if enabled {
            assert!(matches!(error, Error::InvalidProblem { .. }), "{error}");
            assert!(error.to_string().contains(rule), "{error}");
        } else {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
    }
    // The best tier takes portable kernels for them, and says why.
    let portable = gpu
        .plan_blocking(&DenseMatmul {
            types: f32_x,
            tier: Tier::Best,
            ..dense
        })
        .unwrap();
    assert_eq!(portable.explain().tier, Tier::Portable);
    let note = &portable.explain().notes[0];
    assert!(note.contains("not on cooperative matrices"), "{note}");
    assert_eq!(note.contains("x is stored as f32"), enabled, "{note}");
}

#[test]
fn explanations_name_the_tier() {
    let enabled = matrices().is_some();
    let problem = |tokens, tier| DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        tier,
        ..DenseMatmul::new(tokens, 32, 32)
    };
    let explain = |problem: DenseMatmul| gpu().plan_blocking(&problem).unwrap().explain().clone();
    let best = explain(problem(64, Tier::Best));
    assert_eq!(best.tier == Tier::CooperativeMatrix, enabled, "{best}");
    assert_eq!(
        best.kernel.starts_with("matmul_cooperative_dense"),
        enabled,
        "{best}"
    );
    let few = explain(problem(3, Tier::Best));
    assert_eq!(few.tier, Tier::Portable, "{few}");
    assert_eq!(few.notes[0].contains("3 token(s)"), enabled, "{few}");
    let portable = explain(problem(64, Tier::Portable));
    assert_eq!(portable.tier, Tier::Portable, "{portable}");
    assert!(
        portable.to_string().contains(", tier portable, on "),
        "{portable}"
    );
    let said = portable
        .notes
        .iter()
        .any(|note| note.contains("cooperative matrices are enabled"));
    assert_eq!(said, enabled, "{portable}");
}

/// A program that has a device of its own: with the features it works, without it is told what is missing.
#[test]
fn a_programs_own_device() {
    let enabled = matrices().is_some();
    let name = gpu().adapter().name.clone();
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let adapters = pollster::block_on(
        wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::PRIMARY),
    );
    let adapter = adapters
        .into_iter()
        .find(|a| a.get_info().name == name)
        .unwrap();
    let device = |features| {
        let experimental_features = if enabled {
            // SAFETY: the only kernels on this device are the library's.
            #[allow(unsafe_code, reason = "how wgpu has experimental features asked for")]
            unsafe {
                wgpu::ExperimentalFeatures::enabled()
            }
        } else {
            wgpu::ExperimentalFeatures::disabled()
        };
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            experimental_features,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        Gpu::from_device(device, queue).unwrap()
    };
    let plain = device(wgpu::Features::empty());
    // The shapes are the adapter's, which a device does not tell.
    let error = plain
        .enable_cooperative_matrices_blocking()
        .unwrap_err()
        .to_string();
    assert!(error.contains("enable_cooperative_matrices_of"), "{error}");
    let error = pollster::block_on(plain.enable_cooperative_matrices_of(&adapter)).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    if !enabled {
        return;
    }
    assert!(
        error
            .to_string()
            .contains("EXPERIMENTAL_COOPERATIVE_MATRIX"),
        "{error}"
    );
    let own = device(Gpu::cooperative_matrix_features());
    let report = pollster::block_on(own.enable_cooperative_matrices_of(&adapter)).unwrap();
    assert_eq!(Some(&report), gpu().cooperative_matrices().as_ref());
    assert!(report.kernels.len() >= 8, "{report:?}");
    let problem = DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        tier: Tier::CooperativeMatrix,
        ..DenseMatmul::new(8, 16, 16)
    };
    let plan = own.plan_blocking(&problem).unwrap();
    let ones = |rows| Tensor::new(vec![rows, 16], vec![f16::ONE; rows * 16]);
    let (x, w) = (
        own.upload(&ones(8)).unwrap(),
        own.upload(&ones(16)).unwrap(),
    );
    let mut y = own.empty_tensor(&[8, 16], DType::F16).unwrap();
    submit(&own, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f16>(&own, &y), vec![16.0; 8 * 16]);
}
