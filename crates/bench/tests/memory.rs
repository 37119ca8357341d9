//! `sparse-bench memory`: what the plans hold, added up.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use support::{refused, sparse_bench};

fn rows(options: &str) -> Vec<Value> {
    let output = sparse_bench(&format!("memory --json {options}"))
        .assert()
        .success();
    let rows: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    rows.as_array().unwrap().clone()
}

#[test]
fn the_parts_add_up_and_grow_far_slower_than_the_scores_of_groups() {
    let rows = rows("--lengths 1024,2048,4096 --heads 2 --kv-heads 1 --head-dim 32 --dtype f16");
    let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
    for (row, length) in rows.iter().zip([1024, 2048, 4096]) {
        assert_eq!(number(row, "length"), length);
        // q and out, k and v, log-sum-exps.
        let tensors = 2 * length * 32 * 2 * 2 + 2 * length * 32 * 2 + 4 * length * 2;
        assert_eq!(number(row, "tensor_bytes"), tensors);
        let blocks = length / 128;
        assert_eq!(number(row, "score_bytes"), 4 * 2 * blocks * blocks);
        let words = blocks.div_ceil(32);
        assert_eq!(number(row, "mask_bytes"), 4 * 2 * blocks * words);
        let parts = ["tensor_bytes", "score_bytes", "mask_bytes", "scratch_bytes"];
        let sum: u64 = parts.iter().map(|part| number(row, part)).sum();
        assert_eq!(sum, number(row, "total_bytes"));
        assert!(number(row, "scratch_bytes") > 0);
        assert_eq!(
            number(row, "group_scores_bytes"),
            4 * 2 * (length / 16) * (length / 16)
        );
    }
    assert!(rows[0]["growth"].is_null());
    for row in &rows[1..] {
        let growth = row["growth"].as_f64().unwrap();
        assert!((1.5..2.5).contains(&growth), "{row}");
    }
}

#[test]
fn the_table_names_adapter_and_shape() {
    let shown = sparse_bench("memory --lengths 256 --heads 1 --head-dim 32").assert();
    shown.success().stdout(
        contains("256")
            .and(contains("MiB"))
            .and(contains("1 heads (k, v: 1) of 32")),
    );
}

#[test]
fn what_makes_no_attention_problem_is_refused() {
    refused("memory --heads 3 --kv-heads 2", &["3 query heads"]);
    refused("memory --stride 7", &["stride 7", "128"]);
    refused("memory --lengths 4096,2048", &["must ascend"]);
    refused("memory --lengths 0", &["whole number from 1 up"]);
    refused("memory --head-dim 300 --lengths 256", &["1 to 256"]);
}

#[test]
fn lengths_before_one_that_the_device_has_no_room_for_are_told() {
    let line = "memory --heads 2 --kv-heads 1 --head-dim 32 --lengths 256,1000000000";
    let table = sparse_bench(line).assert().failure().code(1);
    let table = table.stdout(contains(" 256 ").and(contains("blocks of 128")));
    table.stderr(contains("error: 1000000000 tokens: "));
    let json = sparse_bench(&format!("{line} --json")).assert().failure();
    let rows: Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["length"], 256);
}
