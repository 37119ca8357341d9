//! `sparse-bench tune` with a tiny budget, and the commands that take its table.

#[path = "support/mod.rs"]
mod support;

use serde_json::Value;
use sparse_gpu::{KernelTile, MeasuredOn, Tile, TileEntry, TileTable, TokenRange};
use support::{Folder, counting, refused, sparse_bench};

/// The JSON object that a command prints.
fn json_of(line: &str) -> Value {
    let output = sparse_bench(line)
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    serde_json::from_slice(&output).unwrap()
}

/// Where the tests run.
fn measured_on(folder: &Folder) -> MeasuredOn {
    let out = folder.path("empty.json");
    let line = format!(
        "tune --ops dense_matmul --tokens 9 --budget 1 --out {}",
        out.display()
    );
    sparse_bench(&line).assert().success();
    let text = std::fs::read_to_string(out).unwrap();
    TileTable::from_json(&text).unwrap().measured_on
}

#[test]
fn a_tiny_budget_gives_a_table_that_programs_load() {
    let folder = Folder::with(&[]);
    let out = folder.path("tiles.json");
    let line = format!(
        "tune --ops nm_matvec,xattention_score --tokens 1,128 --budget 1 --out {}",
        out.display()
    );
    let assert = sparse_bench(&line).assert().success();
    let printed = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for part in [
        "matvec nm_select 1:2:4",
        "matvec nm 8:2:4",
        "xattention_score, 8 groups a block",
        "default tile",
        "defaults displaced",
    ] {
        assert!(printed.contains(part), "{part} is missing in\n{printed}");
    }
    let table = TileTable::from_json(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert!(!table.measured_on.adapter.is_empty());
    for entry in &table.entries {
        let measured = entry.measured.as_ref().unwrap();
        // Who wins is decided by the ratios of the rounds (unit tests of `tune::contest`), which the two medians do not tell on a machine that
        // changes its pace. A winner is not the default.
        assert!(
            measured.ms > 0.0 && measured.default_ms > 0.0 && measured.spread >= 0.0,
            "{entry:?}"
        );
        assert_ne!(measured.default_tile, entry.kernel.tile_words());
    }
    // And commands plan with it.
    let w = Folder::with(&[("w", counting(&[8, 16]))]);
    json_of(&format!(
        "matmul --weights {} --tensor w --pattern dense --out {} --tiles {}",
        w.file().display(),
        w.out().display(),
        out.display()
    ));
}

#[test]
fn without_out_nothing_is_written() {
    let folder = Folder::with(&[]);
    let mut command = sparse_bench("tune --ops block_attention --tokens 128 --budget 1");
    let assert = command.current_dir(folder.path("")).assert().success();
    let printed = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for part in [
        "block_attention, head_dim 64",
        "block_attention, head_dim 128",
        "block_attention of few queries, head_dim 64",
        "block_attention of few queries, head_dim 128",
    ] {
        assert!(printed.contains(part), "{part} is missing in\n{printed}");
    }
    // The folder of the test was made with one file.
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 1);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    refused(
        "tune --ops spmm",
        &["spmm", "xattention_score", "nm_matvec"],
    );
    refused("tune --budget 0", &["quick, full or a number of seconds"]);
    refused("tune --tokens 0", &["whole number from 1 up"]);
    refused(
        "tune --ops nm_matvec --tokens 64",
        &[
            "none of these operations takes any of these tokens",
            "mat-vecs take 1 to 8",
        ],
    );
    refused("tune --out no/such/folder/tiles.json", &["cannot write"]);
    refused(
        "tune --adapter nobody-has-this",
        &["no adapter matches", "nobody-has-this"],
    );
}

#[test]
fn matmul_takes_the_tile_of_a_table() {
    let folder = Folder::with(&[("w", counting(&[16, 32]))]);
    let mut table = TileTable::new(measured_on(&folder));
    table.entries.push(TileEntry {
        kernel: KernelTile::Matmul {
            walk: "nm 8:2:4".parse().unwrap(),
            tile: Tile {
                rows: 2,
                cols: 12,
                lanes: 16,
            },
        },
        element_bytes: 4,
        tokens: TokenRange { from: 9, to: 999 },
        measured: None,
    });
    let tiles = folder.path("tiles.json");
    std::fs::write(&tiles, table.to_json().unwrap()).unwrap();
    let line = format!(
        "matmul --weights {} --tensor w --pattern 8:2:4 --tokens 20 --out {}",
        folder.file().display(),
        folder.out().display()
    );
    let default = json_of(&line);
    let tuned = json_of(&format!("{line} --tiles {}", tiles.display()));
    assert_eq!(tuned["tile"], "2 rows x 12 tokens x 16 lanes");
    assert_ne!(default["tile"], tuned["tile"]);
    assert_eq!(
        (&default["tuned"], &tuned["tuned"]),
        (&false.into(), &true.into())
    );
    assert!(tuned["max_err_over_bound"].as_f64().unwrap() <= 1.0);

    // `compare` says how many rows that changes: none of the mat-vec and one of three products.
    for (ops, said) in [
        ("nm_matmul", "table in 1 of 3 rows"),
        ("nm_matvec", "table in 0 of 1 row,"),
    ] {
        sparse_bench(&format!(
            "compare --weights {} --ops {ops} --seconds 0.1 --tiles {}",
            folder.file().display(),
            tiles.display()
        ))
        .assert()
        .success()
        .stdout(predicates::str::contains(said));
    }

    // On another adapter only when that is asked for.
    table.measured_on.adapter = "Example 3000".into();
    std::fs::write(&tiles, table.to_json().unwrap()).unwrap();
    let adapter = default["adapter"].as_str().unwrap();
    let refusal = ["Example 3000", adapter, "tiles.json"];
    refused(&format!("{line} --tiles {}", tiles.display()), &refusal);
    let asked = json_of(&format!(
        "{line} --tiles {} --tiles-of-any-adapter",
        tiles.display()
    ));
    assert_eq!(asked["tile"], tuned["tile"]);
    refused(&format!("{line} --tiles-of-any-adapter"), &["--tiles <F>"]);
}

#[test]
fn damaged_tables_are_refused_before_anything_runs() {
    let folder = Folder::with_bytes(b"{\"format\": \"sparse-gpu tiles\", \"version\": 9}");
    let line =
        |tiles: &std::path::Path| format!("compare --ops nm_matvec --tiles {}", tiles.display());
    refused(
        &line(&folder.file()),
        &["version 9", "newer program", "t.safetensors"],
    );
    refused(
        &line(&folder.path("none.json")),
        &["cannot read the table of tiles", "none.json"],
    );
    let folder = Folder::with_bytes(&[0xff, 0xfe, 0x00]);
    refused(&line(&folder.file()), &["cannot read the table of tiles"]);
}
