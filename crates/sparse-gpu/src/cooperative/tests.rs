//! The self-test, and that it can fail.

use sparse_shaders::Source;

use super::*;
use crate::{DenseMatmul, GpuOptions, MatmulTypes, Tier};

impl Gpu {
    /// The kernel with the fault that a test wants it to have.
    pub(crate) fn mutated(&self, source: Source) -> Source {
        match self.mutation {
            Some(mutation) if source.name.starts_with("matmul_cooperative") => {
                let wgsl = mutation(&source.wgsl);
                Source { wgsl, ..source }
            }
            _ => source,
        }
    }
}

/// What `SPARSE_ADAPTER` says of the adapter to test on.
fn adapter() -> Option<String> {
    std::env::var("SPARSE_ADAPTER")
        .ok()
        .filter(|name| !name.is_empty())
}

fn open(mutation: Option<Fault>) -> Gpu {
    let options = GpuOptions {
        adapter: adapter(),
        default_limits: true,
        cooperative_matrix: true,
        ..GpuOptions::default()
    };
    let mut gpu = Gpu::open_blocking(&options).unwrap();
    gpu.mutation = mutation;
    gpu
}

/// Whether the adapter has matrices at all: where it has not, no self-test runs, and that is what the tests see.
fn has_matrices(gpu: &Gpu) -> bool {
    let listed = gpu.listed_matrices().unwrap_or_default();
    usable(listed).is_some() && gpu.device().features().contains(FEATURES)
}

fn plan(gpu: &Gpu) -> Result<crate::MatmulPlan, Error> {
    gpu.plan_blocking(&DenseMatmul {
        types: MatmulTypes::all(sparse_core::DType::F16),
        tier: Tier::CooperativeMatrix,
        ..DenseMatmul::new(16, 16, 16)
    })
}

/// Sums in f16, as some adapters list them: 11 bits instead of 24.
fn sums_in_f16(wgsl: &str) -> String {
    (0..4).fold(
        wgsl.replace("<f32, C>", "<f16, C>")
            .replace("sums: array<array<f32, 4>,", "sums: array<array<f16, 4>,"),
        |text, i| {
            let read = format!("sums[i][{i}]");
            text.replace(&read, &format!("f32({read})"))
        },
    )
}

/// From the text of a kernel to one that computes something else.
type Fault = fn(&str) -> String;

/// Faults that drivers and compilers have had, or that kernels could have.
const FAULTS: [(&str, Fault); 10] = [
    ("A is loaded as its transpose", |t| {
        t.replace("coopLoadT<MatrixA>", "coopLoad<MatrixA>")
    }),
    ("B is loaded as its transpose", |t| {
        t.replace("coopLoad<MatrixB>", "coopLoadT<MatrixB>")
    }),
    ("all subgroups take the tokens of the first", |t| {
        t.replace("&tokens[(subgroup * SHARE", "&tokens[(0u * SHARE")
    }),
    ("all shares are the first", |t| {
        t.replace(" + share * (SHARE / 4u)", "")
    }),
    ("a step overtakes the one before", |t| {
        t.replacen("workgroupBarrier();", "", 1)
    }),
    ("sums are stored as their transpose", |t| {
        t.replace("coopStore(", "coopStoreT(")
    }),
    ("the last step is left out", |t| {
        t.replace(
            "step < steps.y; step += STEP",
            "step + STEP < steps.y; step += STEP",
        )
    }),
    ("only the last step counts", |t| {
        t.replace("b_0, acc_0_0)", "b_0, MatrixC())")
    }),
    ("the first rows are nobody's", |t| {
        t.replace("let tile = group %", "let tile = 1u + 0u * group %")
    }),
    ("sums are kept in f16", sums_in_f16),
];

#[test]
fn the_self_test_fails_on_faults() {
    for (fault, mutation) in FAULTS {
        let gpu = open(Some(mutation));
        let error = gpu.enable_cooperative_matrices_blocking().unwrap_err();
        let Error::Unavailable { needs, has, .. } = &error else {
            panic!("{fault}: {error}");
        };
        if has_matrices(&gpu) {
            assert!(has.contains("elements wrong"), "{fault}: {error}");
        } else {
            assert!(
                needs.contains("lists 8x8x8 or 16x16x16"),
                "{fault}: {error}"
            );
        }
        assert_eq!(gpu.cooperative_matrices(), None, "{fault}");
        // What came in the way is what a plan says.
        let refusal = plan(&gpu).unwrap_err().to_string();
        assert!(refusal.contains(&error.to_string()), "{fault}: {refusal}");
    }
}

#[test]
fn kernels_that_do_not_compile_are_refused_too() {
    let gpu = open(Some(|text| text.replace("coopMultiplyAdd", "coopDivide")));
    let error = gpu.enable_cooperative_matrices_blocking().unwrap_err();
    if has_matrices(&gpu) {
        assert!(matches!(error, Error::Kernel { .. }), "{error}");
    } else {
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
    assert!(plan(&gpu).is_err());
}

#[test]
fn a_failed_self_test_is_not_run_again() {
    let mut gpu = open(Some(|text| text.replace("coopMultiplyAdd", "coopDivide")));
    let error = gpu.enable_cooperative_matrices_blocking().unwrap_err();
    // The kernels would be right now, and compile.
    gpu.mutation = None;
    let clone = gpu.clone();
    for gpu in [gpu, clone] {
        let again = gpu.enable_cooperative_matrices_blocking().unwrap_err();
        assert_eq!(again, error);
        assert_eq!(gpu.cooperative_matrices(), None);
    }
}

#[test]
fn plans_ask_for_the_self_test_first() {
    let gpu = open(None);
    let error = plan(&gpu).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(
        error.to_string().contains("enable_cooperative_matrices"),
        "{error}"
    );
}

#[test]
fn a_device_without_the_features_is_told_how_to_get_them() {
    let gpu = Gpu::open_blocking(&GpuOptions {
        adapter: adapter(),
        ..GpuOptions::default()
    })
    .unwrap();
    let listed = gpu.listed_matrices().unwrap_or_default();
    let error = gpu
        .enable_cooperative_matrices_blocking()
        .unwrap_err()
        .to_string();
    if usable(listed).is_some() {
        assert!(
            error.contains("GpuOptions { cooperative_matrix: true"),
            "{error}"
        );
    } else {
        assert!(error.contains("lists 8x8x8 or 16x16x16"), "{error}");
    }
}

#[test]
fn square_shapes_with_wide_sums_are_usable_and_no_others() {
    let shape =
        |[m_size, n_size, k_size]: [u32; 3], ab_type, cr_type| wgpu::CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
    use wgpu::CooperativeScalarType::{F16, F32, I32};
    let eight = shape([8, 8, 8], F16, F32);
    let sixteen = shape([16, 16, 16], F16, F32);
    assert_eq!(usable(&[eight]), Some(MatrixSize::Eight));
    assert_eq!(usable(&[eight, sixteen]), Some(MatrixSize::Sixteen));
    // Intel's, NVIDIA's second, sums in f16, no halves.
    for other in [
        shape([8, 16, 16], F16, F32),
        shape([16, 8, 16], F16, F32),
        shape([16, 16, 16], F16, F16),
        shape([8, 8, 8], F32, F32),
        shape([16, 16, 16], I32, I32),
    ] {
        assert_eq!(usable(&[other]), None, "{other:?}");
        let error = no_shape(&[other]).to_string();
        assert!(error.contains(&label(&other)), "{error}");
        assert_eq!(usable(&[other, eight]), Some(MatrixSize::Eight));
    }
}
