//! Counts, fixed patterns and kinds of heads on the command line: the mask that is written is that of the CPU reference.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use serde_json::Value;
use sparse_bench::profile;
use sparse_bench::tensors::TensorFile;
use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::synthetic::{AttentionInputs, PlantedAttention};
use sparse_core::xattention::{XAttentionOptions, xattention};
use sparse_core::{BlockGrid, BlockMask};
use support::{Folder, refused, sparse_bench};

const GRID: BlockGrid = BlockGrid {
    batch: 1,
    heads: 3,
    q_len: 300,
    k_len: 300,
    block: 16,
};

/// q `[1, 3, 300, 32]`, k and v with one head.
fn inputs() -> AttentionInputs<f32> {
    PlantedAttention {
        shape: AttentionShape::try_new(1, 3, 1, 300, 300, 32).unwrap(),
        density: 0.4,
        seed: 7,
    }
    .generate()
    .unwrap()
}

fn folder(inputs: &AttentionInputs<f32>) -> Folder {
    Folder::with(&[
        ("q", (&inputs.q).into()),
        ("k", (&inputs.k).into()),
        ("v", (&inputs.v).into()),
    ])
}

fn line(folder: &Folder, options: &str) -> String {
    format!(
        "attention --qkv {} --out {} --block 16 --stride 4 {options}",
        folder.file().display(),
        folder.out().display()
    )
}

/// The mask that was written and what was printed.
fn run(folder: &Folder, options: &str) -> (BlockMask, Value) {
    let output = sparse_bench(&line(folder, options)).assert().success();
    let printed = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let bytes = std::fs::read(folder.out()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mask = file.tensor("mask").unwrap();
    let bits: Vec<bool> = mask.data().iter().map(|byte| *byte == 1).collect();
    (BlockMask::from_bools(1, 3, 19, 19, &bits).unwrap(), printed)
}

fn assert_is_that_of_the_reference(options: &str, change: impl FnOnce(&mut XAttentionOptions)) {
    let inputs = inputs();
    let mut expected = XAttentionOptions {
        block: 16,
        stride: 4,
        ..XAttentionOptions::default()
    };
    let plain = xattention(&inputs.q, &inputs.k, &inputs.v, &expected).unwrap();
    change(&mut expected);
    let whole = xattention(&inputs.q, &inputs.k, &inputs.v, &expected).unwrap();
    let (mask, printed) = run(&folder(&inputs), options);
    assert_eq!(mask, whole.mask, "{options}");
    assert_ne!(mask, plain.mask, "{options} changes nothing");
    assert!(printed["max_err_over_bound"].as_f64().unwrap() <= 1.0);
}

#[test]
fn a_fixed_count_of_blocks_for_every_row() {
    assert_is_that_of_the_reference("--top-k 5", |options| options.top_k = Some(5));
    let (mask, printed) = run(&folder(&inputs()), "--top-k 5");
    assert_eq!(mask.row(0, 2, 18).count(), 5);
    assert_eq!(printed["top_k"], 5);
    assert_eq!(printed["threshold"], Value::Null);
    assert_eq!(printed["threshold_per_head"][1], Value::Null);
}

#[test]
fn sinks_window_and_dilated_blocks_are_united_with_the_scored_ones() {
    let sinks = BlockMask::sinks(&GRID, 40).unwrap();
    let window = BlockMask::sliding_window(&GRID, 100).unwrap();
    let dilated = BlockMask::dilated(&GRID, 3, 4).unwrap();
    let both = sinks.union(&window).unwrap();
    assert_is_that_of_the_reference("--sinks 40 --window 100", |options| {
        options.forced = Some(both);
    });
    assert_is_that_of_the_reference("--dilated 3x4", |options| options.forced = Some(dilated));
}

#[test]
fn dense_and_streaming_heads_keep_what_their_kind_says() {
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 3,
    };
    let folder = folder(&inputs());
    let (mask, printed) = run(&folder, "--head-kinds dense,sparse,streaming:1:3");
    let causal = BlockMask::causal(&GRID).unwrap();
    assert_eq!(mask.count_of_head(0, 0), causal.count_of_head(0, 0));
    assert_eq!(mask.row(0, 2, 10).collect::<Vec<_>>(), [0, 8, 9, 10]);
    assert_eq!(printed["density_per_head"][0], 1.0);
    assert!(printed["relative_l2_error_per_head"][0].as_f64().unwrap() < 1e-5);
    assert_eq!(
        printed["threshold_per_head"],
        serde_json::json!([null, 0.9, null])
    );
    assert!(printed["max_err_over_bound"].as_f64().unwrap() <= 1.0);
    assert_is_that_of_the_reference("--head-kinds dense,sparse,streaming:1:3", |options| {
        options.head_kinds = Some(vec![HeadKind::Dense, HeadKind::Sparse, streaming]);
    });
    refused(
        &line(&folder, "--head-kinds dense,sparse"),
        &["2", "3 query heads"],
    );
}

/// Sparse heads of a group have one mask, the others what their kind says, and where none is sparse nobody reads a mask.
#[test]
fn heads_share_masks_beside_those_of_other_kinds() {
    let folder = folder(&inputs());
    for kinds in ["sparse,dense,sparse", "dense,streaming:1:3,dense"] {
        let (mask, printed) = run(&folder, &format!("--mask-heads key --head-kinds {kinds}"));
        assert!(printed["max_err_over_bound"].as_f64().unwrap() <= 1.0);
        assert_eq!(printed["options"]["mask_heads"], "key");
        let (own, _) = run(&folder, &format!("--head-kinds {kinds}"));
        assert_eq!(
            mask.row(0, 1, 10).collect::<Vec<_>>(),
            own.row(0, 1, 10).collect::<Vec<_>>()
        );
        for row in 0..GRID.q_blocks().unwrap() {
            assert!(mask.row(0, 0, row).eq(mask.row(0, 2, row)), "{kinds} {row}");
        }
    }
}

#[test]
fn a_soft_cap_changes_the_output_and_not_the_mask() {
    let folder = folder(&inputs());
    let (plain, _) = run(&folder, "");
    let out = |folder: &Folder| {
        let mut file = TensorFile::open(&folder.out()).unwrap();
        file.tensor("out").unwrap().cast::<f32>()
    };
    let without = out(&folder);
    let (mask, printed) = run(&folder, "--soft-cap 2");
    assert_eq!(mask, plain);
    assert_ne!(out(&folder), without);
    assert_eq!(printed["options"]["soft_cap"], 2.0);
    // Checked against the CPU, which caps too.
    assert!(printed["max_err_over_bound"].as_f64().unwrap() <= 1.0);
}

#[test]
fn calibration_leaves_other_kinds_of_heads_alone() {
    let folder = folder(&inputs());
    let path = folder.path("p.json");
    let kinds = "--head-kinds dense,sparse,streaming:1:3";
    let calibrate = format!(
        "attention --calibrate --target-error 0.05 --qkv {} --out {} --block 16 --stride 4 {kinds}",
        folder.file().display(),
        path.display()
    );
    sparse_bench(&calibrate).assert().success();
    let read = profile::read(&path).unwrap();
    assert_eq!(
        (read.heads[0].threshold, read.heads[2].threshold),
        (0.0, 0.0)
    );
    assert!(read.heads[1].threshold > 0.0 && read.heads[1].relative_l2_error <= 0.05);
    let (mask, _) = run(&folder, &format!("--profile {}", path.display()));
    assert_eq!(mask.row(0, 2, 10).collect::<Vec<_>>(), [0, 8, 9, 10]);
}
