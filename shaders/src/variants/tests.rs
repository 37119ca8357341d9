use super::*;
use crate::{Access, Extensions};

/// Parts of the names of kernels that plans take where choices meet that seldom do.
const SELDOM: [&[&str]; 18] = [
    &[
        "all_blocks_full_heads-4_in-parts_",
        "_few-",
        "q-f32_k-f32_v-f32",
    ],
    &[
        "all_blocks_full_heads-4_in-parts_",
        "_few-",
        "q-f16_k-f16_v-f16",
    ],
    &[
        "mask_blocks_full_block-",
        "_few-",
        "q-f16_k-f16_v-f16_out-f16",
    ],
    &[
        "mask_blocks_full_block-",
        "_few-",
        "q-bf16_k-bf16_v-bf16_out-bf16",
    ],
    &[
        "matmul_dense",
        "y-f32-vec4-transposed_alpha_beta_bias-f32_gelu",
    ],
    &[
        "matmul_dense",
        "y-f32-vec4-transposed_alpha_residual-f32_bias-f32_silu",
    ],
    &["matmul_dense", "_x-f16_w-f32_"],
    &["matmul_dense", "_x-f16_w-bf16_"],
    &["matmul_dense", "_x-bf16_w-f16_"],
    &["matmul_nm", "_x-f16_w-f32_"],
    &["matmul_bsr", "_x-bf16_w-f32_"],
    &["bsr_sddmm", "_dy-f32-unaligned_x-f32_"],
    &["bsr_sddmm", "_dy-f32_x-f32-unaligned_"],
    &["bsr_sddmm", "out-f16_beta"],
    &["nm_sddmm", "_selected-", "_dy-f32-unaligned_x-f32_"],
    &["nm_sddmm", "_selected-", "_dy-f16_x-f16-unaligned_"],
    &["nm_sddmm", "_listed-", "_dy-bf16-unaligned_x-bf16_"],
    &["nm_sddmm", "_listed-", "out-f16_alpha_beta"],
];

#[test]
fn every_variant_is_valid_and_portable() {
    let sources = expand_all_variants(Words::Bits32).unwrap_or_else(|e| panic!("{e}"));
    assert!(sources.len() > 250, "only {} variants", sources.len());
    for source in &sources {
        let name = &source.name;
        assert!(
            source.workgroup_size <= 256,
            "{name}: {} invocations",
            source.workgroup_size
        );
        assert!(
            source.workgroup_bytes <= 16384,
            "{name}: {} bytes",
            source.workgroup_bytes
        );
        let storage = source
            .bindings
            .iter()
            .filter(|b| b.access != Access::Uniform)
            .count();
        assert!(storage <= 8, "{name}: {storage} storage buffers");
        // The bench dispatches the ceiling kernels itself; all others have a grid that is folded and cut by params.
        if !name.starts_with("ceiling_") {
            assert_eq!(source.bindings[0].name, "params", "{name}");
        }
        let cooperative = name.starts_with("matmul_cooperative_");
        assert_eq!(
            source.extensions == Extensions::CooperativeMatrix,
            cooperative,
            "{name}"
        );
        assert_eq!(source.wgsl.contains("enable "), cooperative, "{name}");
    }
    // What plans take on processors.
    for halves in ["_x-f16_w-f16", "_x-bf16_w-bf16"] {
        let with_halves = |source: &&Source| source.name.contains(halves);
        let count = sources.iter().filter(with_halves).count();
        assert!(count > 20, "only {count} variants {halves}");
    }
    let is_missing = |parts: &&&[&str]| {
        let has = |source: &Source| parts.iter().all(|part| source.name.contains(part));
        !sources.iter().any(has)
    };
    let missing: Vec<_> = SELDOM.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "no variants with {missing:#?}");
    let mut names: Vec<_> = sources.iter().map(|s| &s.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), sources.len(), "two variants share a name");
}

#[test]
fn in_64_bits_the_same_variants_are_valid() {
    let [narrow, wide] =
        Words::ALL.map(|words| expand_all_variants(words).unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(narrow.len(), wide.len());
    let mut changed = 0;
    for (narrow, wide) in narrow.iter().zip(&wide) {
        if wide.extensions == Extensions::Int64 {
            changed += 1;
            assert_eq!(wide.name, format!("{}_u64", narrow.name));
            assert_ne!(narrow.wgsl, wide.wgsl, "{}", narrow.name);
            assert_eq!(narrow.bindings, wide.bindings, "{}", narrow.name);
        } else {
            assert_eq!(narrow.wgsl, wide.wgsl, "{}", narrow.name);
        }
    }
    assert!(changed > narrow.len() / 2, "only {changed} move wide words");
}
