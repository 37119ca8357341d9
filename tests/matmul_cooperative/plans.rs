//! What plans refuse and explain, and what a device has to have.

use half::f16;
use sparse_core::{DType, Nm, Tensor};
use sparse_gpu::{DenseMatmul, Error, Gpu, MatmulTypes, NmVariant, Tier, Tile, Transposed, wgpu};

use crate::support::gpu::{gpu, matrices, read, submit};

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
        (
            gpu.plan_blocking(&sparse_gpu::NmMatmul {
                variant: Some(NmVariant::ExpandFirst),
                ..nm(16)
            }),
            "variant ExpandFirst is one of portable kernels",
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
    // So does a variant that was asked for.
    let expanded = gpu
        .plan_blocking(&sparse_gpu::NmMatmul {
            tier: Tier::Best,
            variant: Some(NmVariant::ExpandFirst),
            ..nm(16)
        })
        .unwrap();
    assert_eq!(expanded.explain().tier, Tier::Portable);
    let text = expanded.explain().to_string();
    assert!(text.contains("expanding first was asked for"), "{text}");
    assert_eq!(
        text.contains("variant ExpandFirst is one of portable"),
        enabled,
        "{text}"
    );
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
