//! The commands on whatever adapter the machine has; a software one is enough.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use serde_json::Value;
use sparse_bench::tensors::TensorFile;
use sparse_core::Matrix;
use support::{Folder, counting, refused, sparse_bench};

fn json_of(line: &str) -> Value {
    let output = sparse_bench(line).assert().success();
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

fn matrix(file: &mut TensorFile, name: &str) -> Matrix<f32> {
    file.matrix(name, "").unwrap().cast()
}

#[test]
fn adapters_are_listed_with_what_they_can_do() {
    let adapters = json_of("adapters --json");
    for key in [
        "name",
        "backend",
        "driver",
        "kind",
        "subgroup_sizes",
        "timestamps",
    ] {
        assert!(
            adapters[0].get(key).is_some(),
            "{key} is missing in {adapters}"
        );
    }
}

#[test]
fn an_unknown_adapter_lists_those_there_are() {
    let adapters = json_of("adapters --json");
    let name = adapters[0]["name"].as_str().unwrap();
    refused(
        "compare --adapter no-such-adapter",
        &["no adapter matches \"no-such-adapter\"; there are: ", name],
    );
}

#[test]
fn matmul_writes_the_product_of_what_it_writes() {
    for pattern in ["dense", "2:4", "4:2:8", "bsr:4x8@0.5"] {
        let folder = Folder::with(&[
            ("w", counting(&[16, 24])),
            ("x", counting(&[9, 24])),
            ("b", counting(&[16])),
        ]);
        let (file, out) = (folder.file(), folder.out());
        let record = json_of(&format!(
            "matmul --weights {0} --tensor w --input {0} --input-tensor x --bias b --activation relu \
             --pattern {pattern} --out {1}",
            file.display(),
            out.display()
        ));
        assert_eq!(record["pattern"], pattern);
        let path = file.display();
        let source = format!("w \"w\" of {path}, x \"x\" of {path}");
        assert_eq!(record["source"], source.as_str());
        // A dense product is compared with nothing.
        for key in ["dense_ms", "speedup", "share_of_ideal"] {
            assert_eq!(record[key].is_null(), pattern == "dense", "{key} {record}");
        }
        let command = record["command"].as_str().unwrap();
        assert!(
            command.starts_with("sparse-bench matmul --weights "),
            "{command}"
        );
        assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
        assert!(record["date"].as_str().unwrap().ends_with(" UTC"));
        for key in [
            "sparse_ms",
            "density",
            "adapter",
            "kernel",
            "tile",
            "timing",
        ] {
            assert!(!record[key].is_null(), "{key} is missing in {record}");
        }
        assert!(
            record["max_err_over_bound"].as_f64().unwrap() <= 1.0,
            "{record}"
        );
        let mut written = TensorFile::open(&out).unwrap();
        let [y, w, x] = ["y", "w", "x"].map(|name| matrix(&mut written, name));
        assert_eq!((y.rows(), y.cols(), w.rows(), w.cols()), (9, 16, 16, 24));
        let bias: Vec<f32> = (0..16_u8).map(|i| f32::from(i) / 16.0 - 3.0).collect();
        for (t, o) in (0..9).flat_map(|t| (0..16).map(move |o| (t, o))) {
            // Multiples of 1/256 below 2^10: every product and every sum is exact in f32.
            let sum: f32 = (0..24).map(|k| x.get(t, k) * w.get(o, k)).sum();
            assert_eq!(
                y.get(t, o),
                (sum + bias[o]).max(0.0),
                "{pattern} ({t}, {o})"
            );
        }
        let zeros = w.data().iter().filter(|w| **w == 0.0).count();
        assert!(
            pattern == "dense" || zeros >= w.data().len() / 2,
            "{pattern}: {zeros} zeros"
        );
    }
}

#[test]
fn generated_activations_depend_on_the_seed() {
    let folder = Folder::with(&[("w", counting(&[8, 16]))]);
    let x_of = |seed: u32| {
        let (file, out) = (folder.file(), folder.out());
        json_of(&format!(
            "matmul --weights {} --tensor w --pattern 2:4 --tokens 5 --seed {seed} --dtype f16 --out {}",
            file.display(),
            out.display()
        ));
        matrix(&mut TensorFile::open(&out).unwrap(), "x")
    };
    let first = x_of(1);
    assert_eq!((first.rows(), first.cols()), (5, 16));
    assert_eq!(first, x_of(1));
    assert_ne!(first, x_of(2));
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let folder = Folder::with(&[("w", counting(&[8, 16]))]);
    refused(
        &format!(
            "matmul --weights {} --tensor w --pattern 2:4 --out no/such/folder/y",
            folder.file().display()
        ),
        &["error: cannot write: ", ": no/such/folder/y\n"],
    );
}

#[test]
fn compare_writes_all_reports() {
    let folder = Folder::with(&[("w", counting(&[64, 128])), ("b", counting(&[64]))]);
    let report = |ending: &str| folder.out().with_extension(ending);
    let [json, csv, html] = ["json", "csv", "html"].map(report);
    sparse_bench(&format!(
        "compare --weights {} --ops dense_matmul,nm_matmul,bsr_matmul --seconds 1 --json {} --csv {} --html {}",
        folder.file().display(),
        json.display(),
        csv.display(),
        html.display()
    ))
    .assert()
    .success()
    .stdout(predicates::str::contains("nm_matmul"))
    // Which tensor it was, once for all of its rows.
    .stdout(predicates::str::contains("weights [64, 128]: tensor \"w\" of ").count(1));
    let run: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let command = run["command"].as_str().unwrap();
    assert!(
        command.starts_with("sparse-bench compare --weights "),
        "{command}"
    );
    assert_eq!(run["version"], env!("CARGO_PKG_VERSION"));
    assert!(run["date"].as_str().unwrap().ends_with(" UTC"), "{run}");
    for key in ["failures", "missing"] {
        assert_eq!(run[key], serde_json::json!([]), "{run}");
    }
    let records = run["rows"].as_array().unwrap();
    assert_eq!(records.len(), 5);
    let source = format!("w \"w\" of {}, x generated", folder.file().display());
    for record in records {
        assert_eq!(record["source"], source.as_str());
        let is_dense = record["op"] == "dense_matmul";
        let dense = record["dense_kernel"].as_str().unwrap();
        let expected = if is_dense { "naive" } else { "matmul_dense" };
        assert!(dense.starts_with(expected), "{record}");
        assert_eq!(record["dense_tile"].is_null(), is_dense, "{record}");
        assert_eq!(record["tuned"], false);
        assert!(record["class"].is_string(), "{record}");
        assert!(
            record["max_err_over_bound"].as_f64().unwrap() <= 1.0,
            "{record}"
        );
        let number = |key: &str| record[key].as_f64().unwrap();
        // The JSON parser may be off by a unit in the last place.
        let equal = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-14;
        // The median of the rounds' ratios lies near the ratio of the medians, on a machine with several paces too.
        let of_medians = number("dense_ms") / number("sparse_ms");
        assert!(
            (of_medians / 4.0..of_medians * 4.0).contains(&number("speedup")),
            "{record}"
        );
        for key in ["ideal_speedup", "share_of_ideal"] {
            assert_eq!(record[key].is_null(), is_dense, "{key} {record}");
        }
        assert!(
            is_dense
                || equal(
                    number("share_of_ideal"),
                    number("speedup") / number("ideal_speedup")
                ),
            "{record}"
        );
    }
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 6);
    assert!(std::fs::read_to_string(html).unwrap().ends_with("</html>"));
}

/// With matrices the record says so; without, the command says what is missing, and `best` computes on portable kernels.
#[test]
fn matmul_on_cooperative_matrices_or_the_reason_why_not() {
    let adapters = json_of("adapters --json");
    let wanted = std::env::var("SPARSE_ADAPTER")
        .unwrap_or_default()
        .to_lowercase();
    let all = adapters.as_array().unwrap();
    let adapter = all
        .iter()
        .find(|a| a["name"].as_str().unwrap().to_lowercase().contains(&wanted));
    let listed = adapter.unwrap()["cooperative_matrices"].to_string();
    let usable = listed.contains("8x8x8 F16->F32") || listed.contains("16x16x16 F16->F32");
    let folder = Folder::with(&[("w", counting(&[32, 48]))]);
    let (file, out) = (folder.file(), folder.out());
    let (file, out) = (file.display(), out.display());
    let line = |tier: &str| {
        format!(
            "matmul --weights {file} --tensor w --tokens 20 --pattern 16:2:4 --dtype f16 --tier {tier} --out {out}"
        )
    };
    if usable {
        let record = json_of(&line("cooperative-matrix"));
        assert_eq!(record["tier"], "cooperative-matrix", "{record}");
        assert!(
            record["max_err_over_bound"].as_f64().unwrap() <= 1.0,
            "{record}"
        );
    } else {
        refused(
            &line("cooperative-matrix"),
            &["lists 8x8x8 or 16x16x16 F16->F32", "portable kernels"],
        );
        refused(
            "compare --cooperative",
            &["lists 8x8x8 or 16x16x16 F16->F32"],
        );
    }
    let record = json_of(&line("best"));
    let tier = if usable {
        "cooperative-matrix"
    } else {
        "portable"
    };
    assert_eq!(record["tier"], tier, "{record}");
}
