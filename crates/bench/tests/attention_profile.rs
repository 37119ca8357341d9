//! `attention --calibrate` and `attention --profile`: a profile reaches its target on the inputs it was made from, and nowhere else is it
//! taken on trust.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use std::path::Path;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use sparse_bench::profile::read as read_profile;
use sparse_bench::tensors::{OutTensor, write_tensors};
use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::PlantedAttention;
use support::{Folder, counting, refused, sparse_bench};

const OPTIONS: &str = "--block 16 --stride 4";

/// q `[batch, heads, len, 32]`, k and v with half as many heads.
fn planted(batch: usize, heads: usize, len: usize, seed: u64) -> [(&'static str, OutTensor); 3] {
    let inputs = PlantedAttention {
        shape: AttentionShape::try_new(batch, heads, heads / 2, len, len, 32).unwrap(),
        density: 0.4,
        seed,
    }
    .generate::<f32>()
    .unwrap();
    [
        ("q", (&inputs.q).into()),
        ("k", (&inputs.k).into()),
        ("v", (&inputs.v).into()),
    ]
}

fn line(command: &str, qkv: &[&Path], out: &Path) -> String {
    let files: Vec<String> = qkv.iter().map(|path| path.display().to_string()).collect();
    format!(
        "attention {command} --qkv {} --out {}",
        files.join(" "),
        out.display()
    )
}

/// Runs and gives what was printed.
fn printed(line: &str) -> Value {
    let output = sparse_bench(line).assert().success();
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

fn numbers(value: &Value, key: &str) -> Vec<f64> {
    let list = value[key].as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn each_head_reaches_the_target_error_on_the_data_it_was_calibrated_on_and_no_lower_threshold_does()
{
    let folder = Folder::with(&planted(2, 4, 300, 7));
    let (file, profile, out) = (folder.file(), folder.path("p.json"), folder.out());
    let command = format!("--calibrate --target-error 0.15 {OPTIONS}");
    let said = printed(&line(&command, &[&file], &profile));
    let written = read_profile(&profile).unwrap();
    assert_eq!(said, serde_json::to_value(&written).unwrap());
    assert_eq!((written.settings.block, written.settings.stride), (16, 4));
    assert_eq!(written.settings.scale, Some(1.0 / 32.0_f64.sqrt()));
    let thresholds: Vec<f64> = written.heads.iter().map(|head| head.threshold).collect();
    assert_eq!(thresholds.len(), 4);
    assert!(
        thresholds.iter().all(|t| *t > 0.0 && *t < 1.0),
        "{thresholds:?}"
    );
    assert!(thresholds.windows(2).any(|pair| pair[0] != pair[1]));

    let command = format!("--profile {}", profile.display());
    let output = sparse_bench(&line(&command, &[&file], &out))
        .assert()
        .success()
        .stderr(contains("missed").not());
    let used: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let errors = numbers(&used, "relative_l2_error_per_head");
    assert_eq!(errors.len(), 8);
    for (row, error) in errors.iter().enumerate() {
        assert!(*error <= 0.15, "row {row}: {error}");
    }
    assert_eq!(numbers(&used, "threshold_per_head"), thresholds);
    assert_eq!(used["threshold"], Value::Null);
    assert_eq!(used["shape"]["block"], 16);
    // The profile holds the worst batch item.
    for (head, entry) in written.heads.iter().enumerate() {
        let worst = errors[head].max(errors[head + 4]);
        assert!((entry.relative_l2_error - worst).abs() < 1e-9, "{head}");
        let mass = numbers(&used, "kept_mass_per_head");
        assert!((entry.kept_mass - mass[head].min(mass[head + 4])).abs() < 1e-9);
    }

    // One step of the bisection lower, the target is missed.
    let lower = folder.path("lower.json");
    let mut one_less = written.clone();
    for head in &mut one_less.heads {
        head.threshold -= 1.0 / 1024.0;
    }
    std::fs::write(&lower, one_less.to_json().unwrap()).unwrap();
    let command = format!("--profile {}", lower.display());
    let output = sparse_bench(&line(&command, &[&file], &out))
        .assert()
        .success()
        .stderr(contains(
            "a relative error of at most 0.15 is missed here by 4 heads of 4 (head 0: ",
        ));
    let missed: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let missed = numbers(&missed, "relative_l2_error_per_head");
    for head in 0..4 {
        assert!(missed[head].max(missed[head + 4]) > 0.15, "{head}");
    }
}

#[test]
fn heads_that_share_a_mask_have_one_threshold_that_the_worst_of_them_needs() {
    let folder = Folder::with(&planted(2, 4, 300, 7));
    let (file, profile, out) = (folder.file(), folder.path("p.json"), folder.out());
    let command = format!("--calibrate --mask-heads key --target-error 0.15 {OPTIONS}");
    printed(&line(&command, &[&file], &profile));
    let written = read_profile(&profile).unwrap();
    assert_eq!(written.heads.len(), 2);

    let command = format!("--profile {}", profile.display());
    let output = sparse_bench(&line(&command, &[&file], &out))
        .assert()
        .success()
        .stderr(contains("missed").not());
    let used: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(used["options"]["mask_heads"], "key");
    let thresholds = numbers(&used, "threshold_per_head");
    let errors = numbers(&used, "relative_l2_error_per_head");
    let densities = numbers(&used, "density_per_head");
    for (head, entry) in written.heads.iter().enumerate() {
        let own = [2 * head, 2 * head + 1];
        assert_eq!(own.map(|h| thresholds[h]), [entry.threshold; 2]);
        for item in [0, 4] {
            // One mask.
            assert_eq!(densities[item + own[0]], densities[item + own[1]]);
        }
        let of_all = own.into_iter().flat_map(|h| [errors[h], errors[h + 4]]);
        let worst = of_all.fold(0.0, f64::max);
        assert!((entry.relative_l2_error - worst).abs() < 1e-9, "{head}");
        assert!(worst <= 0.15, "{head}: {worst}");
    }
    let command = format!("--mask-heads query --profile {}", profile.display());
    refused(
        &line(&command, &[&file], &out),
        &["--mask-heads", "query", "key"],
    );
}

#[test]
fn a_target_mass_holds_for_the_worst_of_several_files() {
    let folder = Folder::with(&planted(1, 2, 300, 7));
    let (first, second) = (folder.file(), folder.path("second.safetensors"));
    write_tensors(&second, &planted(1, 2, 213, 8)).unwrap();
    let masses = |profile: &Path, file: &Path| {
        let command = format!("--profile {}", profile.display());
        let used = printed(&line(&command, &[file], &folder.out()));
        numbers(&used, "kept_mass_per_head")
    };
    let calibrated = |files: &[&Path]| {
        let profile = folder.path("p.json");
        let command = format!("--calibrate --target-mass 0.9 {OPTIONS}");
        printed(&line(&command, files, &profile));
        profile
    };
    let both = calibrated(&[&first, &second]);
    let read = read_profile(&both).unwrap();
    assert_eq!(
        (
            read.inputs.len(),
            &read.inputs[1].file[..],
            read.inputs[1].q_len
        ),
        (2, "second.safetensors", 213)
    );
    let reached = [masses(&both, &first), masses(&both, &second)];
    for head in 0..2 {
        let worst = reached[0][head].min(reached[1][head]);
        assert!(worst >= 0.9, "{reached:?}");
        assert!((read.heads[head].kept_mass - worst).abs() < 1e-9);
    }
    // Each alone asks for less of some head.
    let alone = [&first, &second].map(|file| read_profile(&calibrated(&[file])).unwrap());
    for head in 0..2 {
        let highest = alone[0].heads[head]
            .threshold
            .max(alone[1].heads[head].threshold);
        assert_eq!(read.heads[head].threshold, highest);
    }
}

#[test]
fn a_profile_of_another_layer_or_other_options_is_refused_with_the_numbers() {
    let folder = Folder::with(&planted(1, 2, 64, 7));
    let (file, profile, out) = (folder.file(), folder.path("p.json"), folder.out());
    let command = format!("--calibrate --target-mass 0.8 {OPTIONS}");
    printed(&line(&command, &[&file], &profile));
    let other = folder.path("other.safetensors");
    write_tensors(&other, &planted(1, 4, 64, 7)).unwrap();
    let command = format!("--profile {}", profile.display());
    refused(
        &line(&command, &[&other], &out),
        &["it is for 2 query heads", "the tensors have 4 query heads"],
    );
    refused(
        &line(&format!("{command} --stride 8"), &[&file], &out),
        &["--stride is 8", "found with 4"],
    );
    refused(
        &line(&format!("{command} --threshold 0.5"), &[&file], &out),
        &["--threshold", "--profile"],
    );
    refused(
        &line(&command, &[&file], &profile),
        &["it is an input of this command"],
    );
    refused(
        &line("--profile /no/such.json", &[&file], &out),
        &["cannot read the profile"],
    );
    refused(
        &line(&format!("--profile {}", file.display()), &[&file], &out),
        &["no profile that `sparse-bench attention --calibrate` wrote"],
    );
    assert!(!out.exists());
}

#[test]
fn what_cannot_be_calibrated_is_refused_before_anything_is_measured() {
    let folder = Folder::with(&planted(1, 2, 64, 7));
    let (file, out) = (folder.file(), folder.path("p.json"));
    let command = "--calibrate --target-error 0.1";
    let other = folder.path("other.safetensors");
    write_tensors(&other, &planted(1, 4, 64, 7)).unwrap();
    refused(
        &line(command, &[&file, &other], &out),
        &[
            "one layer",
            "the first file has 2 query heads",
            "this one 4",
        ],
    );
    let empty = folder.path("empty.safetensors");
    let none = || counting(&[1, 2, 0, 32]);
    write_tensors(&empty, &[("q", none()), ("k", none()), ("v", none())]).unwrap();
    refused(
        &line(command, &[&empty], &out),
        &["nothing to calibrate on", "[1, 2, 0, 32]"],
    );
    // A path that cannot be written comes before files that cannot be read.
    refused(
        &line(
            command,
            &[Path::new("/no/such")],
            Path::new("/no/folder/p.json"),
        ),
        &["cannot write"],
    );
    refused(
        &line(command, &[&file], file.parent().unwrap()),
        &["cannot write"],
    );
    refused(&line("--calibrate", &[&file], &out), &["--target-error"]);
    refused(
        &line("", &[&file, &other], &out),
        &["--qkv names 2 files", "only --calibrate takes several"],
    );
    assert!(!out.exists());
}
