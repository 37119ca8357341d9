//! Every example runs, and prints what it promises.

use std::path::PathBuf;
use std::process::Command;

/// An example that `cargo test` has built.
fn program(example: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let program: PathBuf = [target.to_str().unwrap(), "examples", example]
        .iter()
        .collect();
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "{example} is not built; `cargo test -p sparse-gpu` or `cargo build --examples` builds it"
    );
    Command::new(program)
}

/// Runs an example, and returns what it printed.
fn run(example: &str) -> String {
    let output = program(example).output().unwrap();
    let (printed, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{example} failed: {printed}{complained}"
    );
    printed.into_owned()
}

#[test]
fn share_device() {
    let printed = run("share_device");
    assert!(
        printed.contains("nm_matmul: kernel matmul_nm_8:2:8"),
        "{printed}"
    );
    assert!(
        printed.contains("y[0] = [-123.0, -109.0, -147.0, -3.0]"),
        "{printed}"
    );
}

#[test]
fn kv_cache() {
    let printed = run("kv_cache");
    assert!(printed.contains("prompt 256..512: "), "{printed}");
    let (_, difference) = printed.rsplit_once("off by at most ").unwrap();
    let difference: f32 = difference.trim().parse().unwrap();
    assert!(difference < 1e-4, "{printed}");
}

#[test]
fn packed_prompts() {
    let printed = run("packed_prompts");
    for line in [
        "3 of 4 items: scored and selected for, one after the other; item 0",
        "90 queries over 90 keys: nothing was scored",
        "256 queries over 3072 keys: ",
    ] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn linear_2_4() {
    let printed = run("linear_2_4");
    assert!(
        printed.contains("before pruning: pattern 2:4 does not hold"),
        "{printed}"
    );
    assert!(
        printed.contains("after pruning: 2:4 holds, density 0.5"),
        "{printed}"
    );
    assert!(printed.contains("closest to its bound"), "{printed}");
}

/// The error of `from_safetensors FILE TENSOR`, as it is printed.
fn refusal(file: &str, tensor: &str) -> String {
    let mut program = program("from_safetensors");
    let output = program.args([file, tensor]).output().unwrap();
    assert!(!output.status.success(), "{file} is no file with {tensor}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn from_safetensors_names_the_file_that_it_cannot_use() {
    let missing = refusal("no/such.safetensors", "w");
    assert!(missing.contains(": no/such.safetensors"), "{missing}");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let damaged = refusal(source, "w");
    assert!(
        damaged.contains("w: ") && damaged.contains("Cargo.toml"),
        "{damaged}"
    );
}

#[test]
fn from_safetensors() {
    let printed = run("from_safetensors");
    assert!(
        printed.contains("layer.weight: 64 x 96, 2 of 6 blocks kept"),
        "{printed}"
    );
    assert!(
        printed.contains("bsr_matmul: kernel matmul_bsr_32x32"),
        "{printed}"
    );
}

#[test]
fn xattention() {
    let printed = run("xattention");
    // The diagonal is always selected: the first row of each picture starts with a full block.
    assert_eq!(
        printed
            .matches("selected key blocks filled\n\u{2588}")
            .count(),
        2,
        "{printed}"
    );
    assert!(
        printed.contains("blocks attended to, out[0] = "),
        "{printed}"
    );
}

#[test]
fn the_readme_shows_the_first_of_them() {
    let readme = include_str!("../README.md");
    let example = include_str!("../crates/sparse-gpu/examples/share_device.rs");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "README.md does not hold crates/sparse-gpu/examples/share_device.rs as it is"
    );
}
