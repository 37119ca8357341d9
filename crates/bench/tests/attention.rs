//! `sparse-bench attention` and the attention rows of `compare`, on whatever adapter the machine has.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use serde_json::Value;
use sparse_bench::tensors::{OutTensor, TensorFile};
use sparse_core::attention::{AttentionOptions, AttentionShape, block_attention};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::synthetic::{AttentionInputs, PlantedAttention};
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions, xattention};
use sparse_core::{BlockMask, DType, Element, Tensor};
use support::{Folder, counting, refused, sparse_bench};

/// q `[1, 4, 200, 32]`, k and v `[1, 2, 200, 32]`.
fn inputs<T: Element>() -> AttentionInputs<T> {
    PlantedAttention {
        shape: AttentionShape::try_new(1, 4, 2, 200, 200, 32).unwrap(),
        density: 0.4,
        seed: 7,
    }
    .generate()
    .unwrap()
}

fn folder_of<T: Element>(inputs: &AttentionInputs<T>) -> Folder {
    Folder::with(&[
        ("q", (&inputs.q).into()),
        ("k", (&inputs.k).into()),
        ("v", (&inputs.v).into()),
    ])
}

/// What was printed and what was written.
struct Run {
    printed: Value,
    scores: Vec<f32>,
    mask: BlockMask,
    out: Vec<f64>,
    lse: Vec<f64>,
}

fn attention(folder: &Folder, options: &str) -> Run {
    let (file, out) = (folder.file(), folder.out());
    let (file, out) = (file.display(), out.display());
    let line = format!("attention --qkv {file} --out {out} {options}");
    let output = sparse_bench(&line).assert().success();
    let printed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let command = printed["command"].as_str().unwrap();
    assert!(command.starts_with("sparse-bench attention --qkv "));
    assert!(printed["date"].as_str().unwrap().ends_with(" UTC"));
    let mut written = TensorFile::open(&folder.out()).unwrap();
    assert_eq!(written.names(), ["block_scores", "lse", "mask", "out"]);
    let mut read = |name, shape: &[usize]| -> Tensor<f32> {
        assert_eq!(written.shape(name), Some(shape), "{name}");
        written.tensor(name).unwrap().cast()
    };
    let wide = |tensor: Tensor<f32>| tensor.data().iter().map(|&x| f64::from(x)).collect();
    let out = wide(read("out", &[1, 4, 200, 32]));
    let lse = wide(read("lse", &[1, 4, 200]));
    let scores = read("block_scores", &[1, 4, 7, 7]).into_parts().1;
    Run {
        printed,
        scores,
        mask: mask_of(&folder.out()),
        out,
        lse,
    }
}

/// The reader of tensors takes numbers only: the bytes are at the place that the header says.
fn mask_of(path: &std::path::Path) -> BlockMask {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mask = file.tensor("mask").unwrap();
    assert_eq!(mask.dtype(), safetensors::Dtype::U8);
    assert!(mask.data().iter().all(|byte| *byte <= 1));
    let bits: Vec<bool> = mask.data().iter().map(|byte| *byte == 1).collect();
    let &[batch, heads, q_blocks, k_blocks] = mask.shape() else {
        panic!("{:?}", mask.shape());
    };
    BlockMask::from_bools(batch, heads, q_blocks, k_blocks, &bits).unwrap()
}

fn options(causal: bool, mode: Mode) -> XAttentionOptions {
    XAttentionOptions {
        block: 32,
        stride: 8,
        threshold: 0.8.into(),
        causal,
        scale: Some(0.2),
        mode,
        ..XAttentionOptions::default()
    }
}

/// Output and log-sum-exp of `run` are those of the CPU over the mask that it wrote, within their bounds.
fn assert_attends<T: Element>(inputs: &AttentionInputs<T>, run: &Run, options: &AttentionOptions) {
    let AttentionInputs { q, k, v } = inputs;
    let reference = block_attention(q, k, v, Some(&run.mask), options).unwrap();
    let largest = v.data().iter().map(|x| f64::from(x.to_f32()).abs());
    let bounds = attention_bounds(&reference, largest.fold(0.0, f64::max), DType::F32);
    let out = compare(run.out.iter().copied(), &reference.out, &bounds.out);
    assert!(out.holds(), "out: {out}");
    let lse = compare(run.lse.iter().copied(), &reference.lse, &bounds.lse);
    assert!(lse.holds(), "lse: {lse}");
}

fn assert_equals_reference<T: Element>(line: &str, options: &XAttentionOptions) {
    let inputs = inputs::<T>();
    let folder = folder_of(&inputs);
    let run = attention(
        &folder,
        &format!("{line} --block 32 --threshold 0.8 --scale 0.2"),
    );
    let whole = xattention(&inputs.q, &inputs.k, &inputs.v, options).unwrap();
    assert_eq!(run.mask, whole.mask, "{line}");
    let [_, _, q_blocks, k_blocks] = whole.mask.shape();
    for (at, &score) in run.scores.iter().enumerate() {
        let (row, j) = (at / k_blocks, at % k_blocks);
        let expected = whole.scores.scores.row(0, row / q_blocks, row % q_blocks)[j];
        // The kernel's own test has the bound; this is about layout and cropping.
        assert!((f64::from(score) - expected).abs() < 1e-3, "{line} {at}");
    }
    assert_attends(&inputs, &run, &options.attention());
    let printed = &run.printed;
    let number = |key: &str| {
        printed[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {printed}"))
    };
    let grid = sparse_core::BlockGrid {
        batch: 1,
        heads: 4,
        q_len: 200,
        k_len: 200,
        block: 32,
    };
    let reachable = if options.causal {
        BlockMask::causal(&grid).unwrap()
    } else {
        BlockMask::dense(1, 4, 7, 7).unwrap()
    };
    let density = whole.mask.density_within(&reachable).unwrap();
    assert!((number("density") - density).abs() < 1e-12);
    assert!(density < 1.0, "a mask that drops nothing shows nothing");
    let kept = kept_share(&whole.mask, 200, options.block, options.causal);
    let ideal = 1.0 / (kept + 1.0 / 16.0);
    assert!((number("ideal_speedup") - ideal).abs() < 1e-9);
    let dense = block_attention(&inputs.q, &inputs.k, &inputs.v, None, &options.attention());
    let dense = dense.unwrap();
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = whole.attention.out.iter().zip(&dense.out);
    let error = norm(&mut pairs.map(|(a, b)| a - b)) / norm(&mut dense.out.iter().copied());
    assert!((number("relative_l2_error") - error).abs() < 1e-4 && error > 0.0);
    assert!((0.5..1.0).contains(&number("kept_mass")));
    assert!(number("max_err_over_bound") <= 1.0);
    for key in ["dense_ms", "sparse_ms", "speedup"] {
        assert!(number(key) > 0.0, "{key}");
    }
    for step in ["score", "select", "attend"] {
        for key in ["ms", "speedup", "share"] {
            assert!(printed[step][key].as_f64().unwrap() > 0.0, "{step} {key}");
        }
    }
    for key in ["density_per_head", "relative_l2_error_per_head"] {
        assert_eq!(printed[key].as_array().unwrap().len(), 4, "{key}");
    }
    for key in ["adapter", "kernel", "tile", "timing"] {
        assert!(printed[key].is_string(), "{key}");
    }
}

#[test]
fn causal_exact_equals_the_reference() {
    assert_equals_reference::<f32>("--causal", &options(true, Mode::Exact));
}

#[test]
fn full_exact_in_half_precision_equals_the_reference() {
    assert_equals_reference::<half::f16>("--full", &options(false, Mode::Exact));
    assert_equals_reference::<half::bf16>("", &options(true, Mode::Exact));
}

#[test]
fn reference_mode_is_cropped_to_real_blocks() {
    let mode = Mode::Reference(ReferenceOptions {
        chunk: Some(128),
        ..ReferenceOptions::default()
    });
    assert_equals_reference::<f32>("--mode reference --chunk 128", &options(true, mode));
}

#[test]
fn dense_attends_to_every_block_that_can_be_reached() {
    let inputs = inputs::<f32>();
    let folder = folder_of(&inputs);
    for (flag, causal, blocks) in [("--causal", true, 4 * 28), ("--full", false, 4 * 49)] {
        let run = attention(&folder, &format!("{flag} --dense --block 32 --scale 0.2"));
        assert_eq!(run.mask.count(), blocks);
        assert_eq!(run.printed["density"], 1.0);
        assert_eq!(run.printed["relative_l2_error"], 0.0);
        let source = format!("q, k and v of {}", folder.file().display());
        assert_eq!(run.printed["source"], source.as_str());
        // Compared with nothing, and nothing is skipped.
        for key in ["dense_ms", "dense_kernel", "speedup", "ideal_speedup"] {
            assert!(run.printed[key].is_null(), "{key}");
        }
        assert_attends(&inputs, &run, &options(causal, Mode::Exact).attention());
    }
}

#[test]
fn shapes_that_do_not_fit_together() {
    let head = |shape: &[usize]| counting(shape);
    for (q, k, v, message) in [
        (
            [1, 3, 8, 16],
            [1, 2, 8, 16],
            [1, 2, 8, 16],
            "3 query heads cannot share 2",
        ),
        ([1, 2, 8, 16], [1, 2, 8, 8], [1, 2, 8, 8], "16"),
        ([1, 2, 8, 16], [2, 2, 8, 16], [2, 2, 8, 16], "2"),
        ([1, 2, 8, 16], [1, 2, 8, 16], [1, 2, 7, 16], "[1, 2, 7, 16]"),
    ] {
        let folder = Folder::with(&[("q", head(&q)), ("k", head(&k)), ("v", head(&v))]);
        let (file, out) = (folder.file(), folder.out());
        let line = format!("attention --qkv {} --out {}", file.display(), out.display());
        refused(&line, &["error: ", message]);
        assert!(!out.exists());
        refused(
            &format!("compare --qkv {}", file.display()),
            &["error: ", message],
        );
    }
}

#[test]
fn what_the_kernels_cannot_do_is_an_error_that_says_what_they_can() {
    let folder = folder_of(&inputs::<f32>());
    let line = |options: &str| {
        let (file, out) = (folder.file(), folder.out());
        format!(
            "attention --qkv {} --out {} {options}",
            file.display(),
            out.display()
        )
    };
    refused(
        &line("--block 24"),
        &["a multiple of 16 tokens, such as 16 or 32"],
    );
    refused(&line("--mode reference --chunk 100"), &["100", "128"]);
    let wide = || OutTensor::new(&[1, 1, 2, 257], &[0.5_f32; 514]);
    let folder = Folder::with(&[("q", wide()), ("k", wide()), ("v", wide())]);
    let (file, out) = (folder.file(), folder.out());
    let line = format!("attention --qkv {} --out {}", file.display(), out.display());
    refused(&line, &["head_dim is 257", "1 to 256"]);
}

#[test]
fn a_q_that_is_not_finite_is_an_error() {
    let mut inputs = inputs::<f32>();
    inputs.q.data_mut()[100] = f32::NAN;
    let folder = folder_of(&inputs);
    let (file, out) = (folder.file(), folder.out());
    let line = format!("attention --qkv {} --out {}", file.display(), out.display());
    refused(&line, &["tensor \"q\" holds NaN at ["]);
    assert!(!out.exists());
}

/// Share of the pairs of a query and a key of dense attention that lie in blocks of `mask`, pair by pair.
fn kept_share(mask: &BlockMask, tokens: usize, block: usize, causal: bool) -> f64 {
    let (mut kept, mut all) = (0, 0);
    for head in 0..mask.shape()[1] {
        for query in 0..tokens {
            for key in 0..if causal { query + 1 } else { tokens } {
                all += 1;
                kept += usize::from(mask.get(0, head, query / block, key / block));
            }
        }
    }
    kept as f64 / all as f64
}

#[test]
fn compare_reports_attention_rows_with_their_masks() {
    let folder = folder_of(&inputs::<f32>());
    let report = |ending: &str| folder.out().with_extension(ending);
    let [json, csv, html] = ["json", "csv", "html"].map(report);
    sparse_bench(&format!(
        "compare --qkv {} --ops block_attention,xattention --json {} --csv {} --html {}",
        folder.file().display(),
        json.display(),
        csv.display(),
        html.display()
    ))
    .assert()
    .success()
    .stdout(predicates::str::contains("block_attention"));
    let run: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let [blocks, whole] = &run["rows"].as_array().unwrap()[..] else {
        panic!("{run}");
    };
    let source = format!("q, k and v of {}", folder.file().display());
    let number = |record: &Value, key: &str| record[key].as_f64().unwrap();
    assert_eq!(
        (&blocks["op"], &whole["op"]),
        (&"block_attention".into(), &"xattention".into())
    );
    for record in [blocks, whole] {
        // Of two blocks of keys none is dropped, and so there is nothing to gain.
        assert_eq!(number(record, "density"), 1.0);
        assert!(record["ideal_speedup"].is_null(), "{record}");
        assert!(number(record, "speedup") > 0.0, "{record}");
        assert_eq!(record["pattern"], "block:128 causal threshold 0.9");
        assert_eq!(record["shape"]["q_len"], 200);
        assert_eq!(record["source"], source.as_str());
        let dense = record["dense_kernel"].as_str().unwrap();
        assert!(dense.starts_with("block_attention"), "{record}");
        assert!(!dense.contains("mask"), "{record}");
        assert!(number(record, "max_err_over_bound") <= 1.0, "{record}");
    }
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 3);
    let html = std::fs::read_to_string(html).unwrap();
    assert_eq!(html.matches("<figure class=\"mask\"").count(), 8);
}
