//! Tensor files that are missing, damaged, hostile or hold something else.

#[path = "support/mod.rs"]
mod support;

use sparse_bench::tensors::OutTensor;
use support::{Folder, counting, refused};

fn matmul(folder: &Folder, options: &str) -> String {
    format!(
        "matmul --weights {} --pattern 2:4 --out {} {options}",
        folder.file().display(),
        folder.out().display()
    )
}

fn attention(folder: &Folder, options: &str) -> String {
    format!(
        "attention --qkv {} --out {} {options}",
        folder.file().display(),
        folder.out().display()
    )
}

#[test]
fn a_missing_file_is_named_last() {
    refused(
        "matmul --weights no/such.safetensors --tensor t --pattern 2:4 --out o",
        &["error: cannot read: ", ": no/such.safetensors\n"],
    );
    refused("attention --qkv no/such --out o", &["error: cannot read: "]);
}

#[test]
fn damaged_files_are_refused() {
    for (bytes, message) in [
        (&b"abc"[..], "no safetensors file: it has 3 bytes"),
        (
            &[0xff; 64][..],
            "the header claims 18446744073709551615 bytes",
        ),
        (
            &b"\x40\0\0\0\0\0\0\0{}"[..],
            "truncated: the header needs 64 bytes",
        ),
        (
            &b"\x02\0\0\0\0\0\0\0[]"[..],
            "damaged header: it does not start with '{'",
        ),
        (&b"\x02\0\0\0\0\0\0\0{]"[..], "damaged header"),
    ] {
        let folder = Folder::with_bytes(bytes);
        refused(&matmul(&folder, "--tensor t"), &[message]);
        refused(&attention(&folder, ""), &[message]);
        assert!(!folder.out().exists());
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let folder = Folder::with(&[("t", counting(&[4, 8]))]);
    let bytes = std::fs::read(folder.file()).unwrap();
    std::fs::write(folder.file(), &bytes[..bytes.len() - 1]).unwrap();
    refused(
        &matmul(&folder, "--tensor t"),
        &["truncated: the header describes 128 bytes of data, the file has 127"],
    );
}

#[test]
fn a_hostile_header_is_refused() {
    for (header, message) in [
        (
            r#"{"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
            "overflow",
        ),
        (
            r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]}}"#,
            "damaged header",
        ),
        (
            r#"{"t":{"dtype":"F32","shape":[2,1],"data_offsets":[0,4]}}"#,
            "damaged header",
        ),
        (
            r#"{"t":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            "damaged header",
        ),
    ] {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 4]);
        refused(
            &matmul(&Folder::with_bytes(&bytes), "--tensor t"),
            &[message],
        );
    }
}

#[test]
fn an_unknown_tensor_lists_near_names() {
    let folder = Folder::with(&[
        ("up.weight", counting(&[4, 8])),
        ("up.bias", counting(&[4])),
    ]);
    refused(
        &matmul(&folder, "--tensor up.wieght"),
        &[
            "there is no tensor \"up.wieght\"",
            "near it are up.weight, up.bias (2 in all)",
        ],
    );
    refused(&attention(&folder, ""), &["there is no tensor \"q\""]);
}

#[test]
fn wrong_ranks_and_types_say_what_is_needed() {
    let folder = Folder::with(&[
        ("bias", counting(&[4])),
        ("bytes", OutTensor::from_u8(&[2, 2], vec![1; 4])),
        ("q", counting(&[2, 8, 16])),
    ]);
    refused(
        &matmul(&folder, "--tensor bias"),
        &["tensor \"bias\" has shape [4], but weights [n_out, k] is needed"],
    );
    refused(
        &matmul(&folder, "--tensor bytes"),
        &["is stored as U8; possible are F32, F16 and BF16"],
    );
    refused(
        &attention(&folder, ""),
        &["tensor \"q\" has shape [2, 8, 16], but q [batch, heads, q_len, head_dim] is needed"],
    );
}

#[test]
fn shapes_that_do_not_fit_together() {
    let folder = Folder::with(&[
        ("w", counting(&[4, 8])),
        ("x", counting(&[3, 7])),
        ("b", counting(&[5])),
        ("q", counting(&[1, 3, 8, 16])),
        ("k", counting(&[1, 2, 8, 16])),
        ("v", counting(&[1, 2, 8, 16])),
    ]);
    let input = format!(
        "--tensor w --input {} --input-tensor x",
        folder.file().display()
    );
    refused(
        &matmul(&folder, &input),
        &["\"x\" have shape [3, 7], the weights \"w\" [4, 8]: their last dimensions must be equal"],
    );
    refused(
        &matmul(&folder, "--tensor w --bias b"),
        &["the bias \"b\" has 5 numbers, the weights \"w\" have 4 rows"],
    );
    refused(
        &attention(&folder, ""),
        &["3 query heads cannot share 2 key/value heads evenly"],
    );
}

#[test]
fn q_k_and_v_of_different_types_are_refused() {
    let half = OutTensor::new(&[1, 1, 4, 32], &[half::f16::ONE; 128]);
    let folder = Folder::with(&[
        ("q", counting(&[1, 1, 4, 32])),
        ("k", half),
        ("v", counting(&[1, 1, 4, 32])),
    ]);
    refused(
        &attention(&folder, ""),
        &["q is stored as f32, k as f16 and v as f32"],
    );
}

#[test]
fn a_result_does_not_replace_an_operand() {
    let folder = Folder::with(&[("w", counting(&[8, 16])), ("x", counting(&[3, 16]))]);
    let before = std::fs::read(folder.file()).unwrap();
    let file = folder.file();
    // By another path to the same file, too.
    let other = folder
        .file()
        .parent()
        .unwrap()
        .join(".")
        .join("t.safetensors");
    for out in [&file, &other] {
        let message = format!(
            "error: cannot write: it is an input of this command, choose another file: {}\n",
            out.display()
        );
        for command in [
            "matmul --tensor w --pattern 2:4 --tokens 3 --weights",
            "attention --qkv",
        ] {
            let line = format!("{command} {} --out {}", file.display(), out.display());
            refused(&line, &[&message]);
        }
    }
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
}

#[test]
fn reports_are_checked_before_anything_is_measured() {
    for report in ["json", "csv", "html"] {
        refused(
            &format!("compare --{report} no/such/folder/report"),
            &["error: cannot write: ", ": no/such/folder/report\n"],
        );
    }
    let folder = Folder::with(&[("w", counting(&[8, 16]))]);
    let file = folder.file();
    let line = format!("compare --weights {0} --csv {0}", file.display());
    refused(
        &line,
        &["error: cannot write: it is an input of this command"],
    );
}

#[test]
fn no_result_replaces_the_kinds_of_heads_that_were_read() {
    let folder = Folder::with(&[]);
    let kinds = folder.path("kinds.json");
    let text = r#"["dense", "sparse"]"#;
    std::fs::write(&kinds, text).unwrap();
    let (qkv, kinds_file) = (folder.file(), kinds.display());
    for options in ["", "--calibrate --target-error 0.1"] {
        let line = format!("attention --qkv {} {options}", qkv.display());
        refused(
            &format!("{line} --head-kinds {kinds_file} --out {kinds_file}"),
            &["cannot write: it is an input of this command", "kinds.json"],
        );
    }
    assert_eq!(std::fs::read_to_string(kinds).unwrap(), text);
}

/// A half everywhere but at the element `at`.
fn spoiled(shape: &[usize], at: usize, value: f32) -> OutTensor {
    let count = shape.iter().product();
    let mut data = vec![0.5_f32; count];
    data[at] = value;
    OutTensor::new(shape, &data)
}

#[test]
fn operands_that_are_not_finite_are_named_with_their_place() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let folder = Folder::with(&[
        ("w", counting(&[8, 16])),
        ("w_nan", spoiled(&[8, 16], 33, nan)),
        ("x", spoiled(&[4, 16], 17, infinity)),
        ("b", spoiled(&[8], 5, -infinity)),
    ]);
    let file = folder.file();
    for (options, message) in [
        ("--tensor w_nan", "tensor \"w_nan\" holds NaN at [2, 1]"),
        (
            &*format!("--tensor w --input {} --input-tensor x", file.display()),
            "tensor \"x\" holds inf at [1, 1]",
        ),
        (
            "--tensor w --bias b",
            "tensor \"b\" holds -inf at [5], the first of its numbers",
        ),
    ] {
        refused(&matmul(&folder, options), &[message, "t.safetensors"]);
    }
    refused(
        &format!("compare --ops nm_matvec --weights {}", file.display()),
        &["tensor \"x\" holds inf at [1, 1]"],
    );
    for name in ["q", "k", "v"] {
        let of = |tensor: &str| match tensor == name {
            true => spoiled(&[1, 1, 16, 8], 21, nan),
            false => spoiled(&[1, 1, 16, 8], 21, 0.25),
        };
        let folder = Folder::with(&[("q", of("q")), ("k", of("k")), ("v", of("v"))]);
        let message = format!("tensor \"{name}\" holds NaN at [0, 0, 2, 5]");
        refused(&attention(&folder, ""), &[&message]);
        let line = format!("compare --ops xattention --qkv {}", folder.file().display());
        refused(&line, &[&message]);
    }
}

#[test]
fn a_density_that_keeps_no_block_says_one_that_keeps_one() {
    // Half of a forty-ninth, times 49, is less than a half.
    let folder = Folder::with(&[("w", counting(&[40, 48])), ("sevens", counting(&[56, 56]))]);
    let line = |pattern: &str| {
        format!(
            "matmul --weights {} --tensor w --pattern {pattern} --out {}",
            folder.file().display(),
            folder.out().display()
        )
    };
    refused(
        &line("bsr:32x32@0.1"),
        &[
            "bsr:32x32@0.1 keeps none of the 4 blocks of \"w\" [40, 48]",
            "a density of 0.25, which keeps one",
        ],
    );
    let sevens =
        |density: f64| line(&format!("bsr:8x8@{density}")).replace("--tensor w", "--tensor sevens");
    refused(
        &sevens(0.5 / 49.0),
        &["none of the 49 blocks", "0.02040816326530612"],
    );
    assert!(!folder.out().exists());
    for kept in [line("bsr:32x32@0.125"), sevens(1.0 / 49.0)] {
        support::sparse_bench(&kept).assert().success();
    }
}

#[test]
fn a_file_without_a_matrix_for_the_operations_does_not_pass_for_one() {
    let folder = Folder::with(&[("q", counting(&[1, 1, 4, 4])), ("small", counting(&[8, 8]))]);
    for ops in ["bsr_matmul,xattention", "bsr_matmul"] {
        refused(
            &format!("compare --ops {ops} --weights {}", folder.file().display()),
            &["has no matrix [n_out, k_in] for the operations of --ops"],
        );
    }
}

#[test]
fn numbers_that_the_storage_type_does_not_hold_are_refused() {
    let folder = Folder::with(&[
        ("w", spoiled(&[8, 16], 33, 7e4)),
        ("small", counting(&[8, 16])),
        ("x", spoiled(&[4, 16], 17, -1e6)),
    ]);
    let x = format!("--input {} --input-tensor x", folder.file().display());
    for (options, message) in [
        ("--tensor w".to_owned(), "the weights hold 70000 at [2, 1]"),
        (
            format!("--tensor small {x}"),
            "the activations hold -1000000 at [1, 1]",
        ),
    ] {
        let line = matmul(&folder, &format!("{options} --dtype f16"));
        refused(&line, &[message, "infinite in f16"]);
    }
}
