//! What a profile says is what a program would have set by hand.

use sparse_core::attention::{HeadKind, Packing};
use sparse_core::synthetic::PlantedAttention;
use sparse_core::xattention::{Mode, ReferenceOptions, xattention};
use sparse_core::{BlockGrid, BlockMask};

use super::fixture::profile;
use super::*;

/// A file with each of its fields set: blocks of 16, three heads of which two are sparse.
fn every_field(mode_and_chunk: &str) -> String {
    format!(
        r#"{{
  "format": "sparse-bench attention profile",
  "version": 1,
  "created": "2026-11-30 18:00 UTC",
  "adapter": {{ "name": "Example 3000", "driver": "example 1.2", "backend": "vulkan" }},
  "layer": {{ "heads": 3, "kv_heads": 1, "head_dim": 32 }},
  "options": {{
    "block": 16, "stride": 4, "causal": true, "scale": 0.0625, {mode_and_chunk}, "soft_cap": 30.0,
    "sink_tokens": 20, "window_tokens": 40, "dilated": {{ "step": 3, "count": 4 }},
    "head_kinds": ["sparse", "streaming:1:3", "sparse"]
  }},
  "target": {{ "kept_mass": 0.9 }},
  "inputs": [{{ "file": "a.safetensors", "batch": 1, "q_len": 256, "k_len": 256, "dtype": "f16" }}],
  "heads": [
    {{ "threshold": 0.875, "density": 0.25, "relative_l2_error": 0.1, "kept_mass": 0.9 }},
    {{ "threshold": 0.0, "density": 0.5, "relative_l2_error": 0.2, "kept_mass": 0.8 }},
    {{ "threshold": 0.96875, "density": 0.75, "relative_l2_error": 0.1, "kept_mass": 0.9 }}
  ]
}}"#
    )
}

/// The same without a profile.
fn by_hand(shape: AttentionShape, mode: Mode) -> XAttentionOptions {
    let grid = BlockGrid {
        batch: shape.batch(),
        heads: 3,
        q_len: shape.q_len(),
        k_len: shape.k_len(),
        block: 16,
    };
    let sinks = BlockMask::sinks(&grid, 20).unwrap();
    let window = BlockMask::sliding_window(&grid, 40).unwrap();
    let dilated = BlockMask::dilated(&grid, 3, 4).unwrap();
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 3,
    };
    XAttentionOptions {
        block: 16,
        stride: 4,
        threshold: Threshold::PerHead(vec![0.875, 0.0, 0.96875]),
        causal: true,
        scale: Some(0.0625),
        soft_cap: Some(30.0),
        head_kinds: Some(vec![HeadKind::Sparse, streaming, HeadKind::Sparse]),
        mode,
        forced: Some(sinks.union(&window).unwrap().union(&dilated).unwrap()),
        ..XAttentionOptions::default()
    }
}

fn layer(batch: usize, q_len: usize, k_len: usize) -> AttentionShape {
    AttentionShape::try_new(batch, 3, 1, q_len, k_len, 32).unwrap()
}

#[test]
fn a_profile_gives_the_options_that_were_set_by_hand_and_their_mask() {
    let reference = |chunk| {
        Mode::Reference(ReferenceOptions {
            chunk,
            ..ReferenceOptions::default()
        })
    };
    for (words, mode) in [
        (r#""mode": "exact", "chunk": null"#, Mode::Exact),
        (
            r#""mode": "reference", "chunk": 64"#,
            reference(Some(64_usize)),
        ),
        (r#""mode": "reference", "chunk": null"#, reference(None)),
    ] {
        let profile = AttentionProfile::from_json(&every_field(words)).unwrap();
        // Batch and lengths are free.
        for shape in [layer(1, 256, 256), layer(2, 100, 300)] {
            let options = profile.options(shape).unwrap();
            assert_eq!(options, by_hand(shape, mode), "{words} {shape:?}");
        }
        // Of the sparse heads.
        assert_eq!(profile.mean_density(), 0.5);
        let mut one = profile.clone();
        one.settings.head_kinds = Some("dense,sparse,dense".parse().unwrap());
        one.heads[1].density = 0.125;
        assert_eq!(one.mean_density(), 0.125);
    }

    let profile = AttentionProfile::from_json(&every_field(r#""mode": "exact", "chunk": null"#));
    let shape = layer(1, 256, 256);
    let options = profile.unwrap().options(shape).unwrap();
    let planted = PlantedAttention {
        shape,
        density: 0.4,
        seed: 7,
    };
    let inputs = planted.generate::<f32>().unwrap();
    let whole = xattention(&inputs.q, &inputs.k, &inputs.v, &options).unwrap();
    let mask = whole.mask;
    assert_eq!(mask.row(0, 1, 15).collect::<Vec<_>>(), [0, 13, 14, 15]);
    // The patterns are not all, and each head has its own threshold.
    let patterns = options.forced.unwrap().row(0, 0, 15).count();
    let count = |head| mask.row(0, head, 15).count();
    assert!(patterns < count(0) && count(0) < count(2), "{mask:?}");
}

/// Packed sequences have the options of each item, whose patterns lie in one mask.
#[test]
fn a_profile_gives_options_of_packed_sequences() {
    let profile = AttentionProfile::from_json(&every_field(r#""mode": "exact", "chunk": null"#));
    let mut profile = profile.unwrap();
    let [q, k] =
        [[256, 0, 100], [256, 7, 300]].map(|lengths| Packing::of_lengths(&lengths).unwrap());
    let shape = PackedShape::try_new(3, 1, 32, q, k).unwrap();
    let options = profile.packed_options(&shape).unwrap();
    let layouts = options.packed_layouts(&shape).unwrap();
    for (layout, item) in layouts.iter().zip(shape.item_shapes()) {
        assert_eq!(
            *layout.options(),
            profile.options(item).unwrap(),
            "{item:?}"
        );
    }
    assert!(layouts[2].options().forced.as_ref().unwrap().count() > 0);

    let none = PackedShape::try_new(
        3,
        1,
        32,
        Packing::of_lengths(&[]).unwrap(),
        Packing::of_lengths(&[]).unwrap(),
    );
    let none = none.unwrap();
    assert!(profile.packed_options(&none).unwrap().forced.is_some());
    profile.settings.sink_tokens = None;
    profile.settings.window_tokens = None;
    profile.settings.dilated = None;
    for shape in [&shape, &none] {
        assert_eq!(profile.packed_options(shape).unwrap().forced, None);
    }
    let other = PackedShape::try_new(6, 1, 32, shape.q().clone(), shape.k().clone()).unwrap();
    let error = profile.packed_options(&other).unwrap_err().to_string();
    assert!(error.contains("the tensors have 6 query heads"), "{error}");
    let words = r#""mode": "reference", "chunk": 64"#;
    let profile = AttentionProfile::from_json(&every_field(words)).unwrap();
    let [q, k] = [[256, 256], [256, 64]].map(|lengths| Packing::of_lengths(&lengths).unwrap());
    let shape = PackedShape::try_new(3, 1, 32, q, k).unwrap();
    let error = profile.packed_options(&shape).unwrap_err().to_string();
    assert!(
        error.contains("item 1: 256 query tokens fill more chunks"),
        "{error}"
    );
}

#[test]
fn a_profile_fits_layers_with_its_heads_only() {
    let shape =
        |heads, kv_heads, dim| AttentionShape::try_new(3, heads, kv_heads, 500, 600, dim).unwrap();
    assert_eq!(profile().check_layer(shape(2, 1, 16)), Ok(()));
    assert!(profile().options(shape(2, 1, 16)).is_ok());
    for (other, part) in [
        (shape(4, 1, 16), "the tensors have 4 query heads"),
        (
            shape(2, 2, 16),
            "the tensors have 2 query heads, 2 heads of k and v, head_dim 16",
        ),
        (
            shape(2, 1, 8),
            "the tensors have 2 query heads, 1 head of k and v, head_dim 8",
        ),
    ] {
        let error = profile().options(other).unwrap_err();
        assert_eq!(profile().check_layer(other), Err(error.clone()));
        let message = error.to_string();
        assert!(
            message.contains("it is for 2 query heads") && message.contains(part),
            "{message}"
        );
    }
}

#[test]
fn lengths_that_the_options_do_not_go_with_are_refused() {
    // More chunks of queries than of keys.
    let words = r#""mode": "reference", "chunk": 64"#;
    let profile = AttentionProfile::from_json(&every_field(words)).unwrap();
    let error = profile.options(layer(1, 256, 64)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("256 query tokens")
            && message.ends_with("; for such lengths, calibrate on tensors that have them"),
        "{message}"
    );
}
