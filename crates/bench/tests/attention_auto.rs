//! `attention --auto`: dense where sparse does not pay, and the report says which.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use serde_json::Value;
use sparse_bench::tensors::TensorFile;
use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::PlantedAttention;
use support::{Folder, refused, sparse_bench};

/// q, k and v `[1, 2, tokens, 32]`, k and v with one head.
fn folder(tokens: usize) -> Folder {
    let inputs = PlantedAttention {
        shape: AttentionShape::try_new(1, 2, 1, tokens, tokens, 32).unwrap(),
        density: 0.4,
        seed: 7,
    }
    .generate::<f32>()
    .unwrap();
    Folder::with(&[
        ("q", (&inputs.q).into()),
        ("k", (&inputs.k).into()),
        ("v", (&inputs.v).into()),
    ])
}

fn line(folder: &Folder, options: &str) -> String {
    format!(
        "attention --qkv {} --out {} {options}",
        folder.file().display(),
        folder.out().display()
    )
}

/// The tensors that were written.
fn names(folder: &Folder) -> Vec<String> {
    let written = TensorFile::open(&folder.out()).unwrap();
    written.names()
}

/// What was printed, and the output that was written.
fn run(folder: &Folder, options: &str) -> (Value, Vec<f32>) {
    let output = sparse_bench(&line(folder, options)).assert().success();
    let printed = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let mut written = TensorFile::open(&folder.out()).unwrap();
    let out = written.tensor("out").unwrap().cast::<f32>();
    (printed, out.into_parts().1)
}

#[test]
fn a_short_input_is_attended_to_densely() {
    let folder = folder(200);
    let (printed, out) = run(&folder, "--auto");
    let auto = &printed["auto"];
    assert_eq!(auto["attended"], "dense");
    assert!(auto["reason"].as_str().unwrap().contains("dense"), "{auto}");
    assert_eq!(auto["ran"], "dense attention alone");
    // No step of XAttention is a share of what ran.
    for step in ["score", "select", "attend"] {
        assert!(printed.get(step).is_none(), "{printed}");
    }
    assert!(auto["speedup"].as_f64().unwrap() > 0.0);
    assert_eq!(printed["density"], 1.0);
    assert_eq!(printed["relative_l2_error"], 0.0);
    assert_eq!(
        printed["threshold_per_head"],
        serde_json::json!([null, null])
    );
    assert!(printed["pattern"].as_str().unwrap().ends_with("auto"));
    // Nothing was scored or selected, so that nothing is told of either.
    for check in ["sparse", "scores", "wrong_mask_rows"] {
        assert!(printed["checks"][check].is_null(), "{printed}");
    }
    assert_eq!(names(&folder), ["lse", "mask", "out"]);
    let (_, dense) = run(&folder, "--dense");
    assert_eq!(out, dense);
}

#[test]
fn a_long_input_with_few_blocks_is_attended_to_sparsely() {
    let folder = folder(4096);
    let (printed, out) = run(&folder, "--auto --top-k 2");
    let auto = &printed["auto"];
    assert_eq!(auto["attended"], "sparse", "{auto}");
    assert!(
        auto["ran"].as_str().unwrap().contains("selected blocks"),
        "{auto}"
    );
    for step in ["score", "select", "attend"] {
        assert!(printed[step]["share"].as_f64().unwrap() > 0.0, "{printed}");
    }
    assert!(printed["density"].as_f64().unwrap() < 0.2);
    assert_eq!(auto["selected_density"], printed["density"]);
    assert!(printed["checks"]["policy"].as_f64().unwrap() <= 1.0);
    assert!(printed["checks"]["scores"].as_f64().unwrap() <= 1.0);
    assert_eq!(printed["checks"]["wrong_mask_rows"], 0);
    assert_eq!(names(&folder), ["block_scores", "lse", "mask", "out"]);
    let (_, sparse) = run(&folder, "--top-k 2");
    assert_eq!(out, sparse);
}

#[test]
fn a_choice_that_is_made_leaves_nothing_to_decide() {
    let folder = folder(32);
    refused(&line(&folder, "--auto --dense"), &["--auto", "--dense"]);
}

#[test]
fn compare_runs_a_layer_at_many_lengths_and_repeats_its_tokens_where_there_are_too_few() {
    let folder = folder(200);
    let json = folder.path("rows.json");
    let compare = |options: &str| {
        format!(
            "compare --lengths 64,300 --ops xattention --qkv {} --json {} {options}",
            folder.file().display(),
            json.display()
        )
    };
    sparse_bench(&compare("--preset attention"))
        .assert()
        .success();
    let run: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = run["rows"].as_array().unwrap();
    let source = format!("q, k and v of {}", folder.file().display());
    assert_eq!(rows.len(), 2);
    for (row, tokens) in rows.iter().zip([64, 300]) {
        assert_eq!(
            (&row["op"], &row["shape"]["k_len"]),
            (&"xattention".into(), &tokens.into())
        );
        assert_eq!(row["shape"]["heads"], 2);
        assert_eq!(row["source"], source.as_str());
        assert!(row["dense_kernel"].is_string(), "{row}");
        assert!(
            row["pattern"].as_str().unwrap().ends_with("auto: dense"),
            "{row}"
        );
        assert!(row["max_err_over_bound"].as_f64().unwrap() <= 1.0);
    }
    refused(
        &compare(""),
        &["--lengths has no meaning", "--preset attention"],
    );
}
