//! Options that are wrong, alone or together: each with a message that says what is possible.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use support::{refused, sparse_bench};

const MATMUL: &str = "matmul --weights w --tensor t --out o --pattern";
const ATTENTION: &str = "attention --qkv f --out o";

#[test]
fn help_names_every_command_and_shows_examples() {
    let help = sparse_bench("--help").assert().success();
    help.stdout(
        contains("adapters")
            .and(contains("compare"))
            .and(contains("attention")),
    );
    for command in [
        "adapters",
        "compare",
        "matmul",
        "attention",
        "memory",
        "tune",
    ] {
        let help = sparse_bench(&format!("{command} --help"))
            .assert()
            .success();
        help.stdout(contains("Example").and(contains(format!("sparse-bench {command}"))));
    }
}

/// By the names that `attention.rs` reads them by.
#[test]
fn help_names_the_tensors_that_attention_writes() {
    let help = sparse_bench("attention --help").assert().success();
    help.stdout(
        contains("Writes block_scores f32 and mask u8")
            .and(contains("out f32 [batch"))
            .and(contains("lse f32 [batch")),
    );
}

#[test]
fn an_unknown_pattern_lists_the_forms() {
    refused(
        &format!("{MATMUL} csr"),
        &[
            "'csr'",
            "possible are dense, N:M (2:4), V:N:M",
            "bsr:BRxBC@DENSITY",
        ],
    );
}

#[test]
fn a_pattern_with_wrong_numbers_says_which_rule_it_breaks() {
    refused(&format!("{MATMUL} 4:4"), &["pattern 4:4 drops nothing"]);
    refused(&format!("{MATMUL} 0:4"), &["pattern 0:4 keeps nothing"]);
    refused(
        &format!("{MATMUL} 2:64"),
        &["the longest supported group has 32"],
    );
    refused(&format!("{MATMUL} 0:2:4"), &["v must be at least 1"]);
    refused(&format!("{MATMUL} bsr:32x32"), &["has no density"]);
    refused(&format!("{MATMUL} bsr:32@0.5"), &["write rows x columns"]);
    refused(
        &format!("{MATMUL} bsr:0x8@0.5"),
        &["whole number from 1 up"],
    );
    refused(&format!("{MATMUL} bsr:8x8@1.5"), &["above 0 and at most 1"]);
}

#[test]
fn a_list_with_an_empty_place_is_refused() {
    refused(
        "compare --ops nm_matmul,",
        &[
            "a name is missing at place 2",
            "possible are dense_matmul, ",
        ],
    );
    refused(
        "compare --peers --strategies simple,,tiling",
        &["--strategies"],
    );
}

#[test]
fn unknown_words_list_the_known_ones() {
    refused(
        &format!("{MATMUL} 2:4 --dtype f64"),
        &["f64", "[possible values: f32, f16, bf16]"],
    );
    refused(
        &format!("{MATMUL} 2:4 --activation tanh"),
        &["tanh", "[possible values: relu, gelu, silu]"],
    );
    refused(
        "compare --preset huge",
        &["huge", "[possible values: quick, full, attention, peers]"],
    );
    refused(
        "compare --ops nm_matmul,spmm",
        &[
            "there is no operation \"spmm\"",
            "dense_matmul, nm_matmul, nm_matvec, bsr_matmul",
        ],
    );
    refused(
        &format!("{ATTENTION} --mode fast"),
        &["[possible values: exact, reference]"],
    );
    refused("multiply", &["unrecognized subcommand"]);
}

#[test]
fn options_that_exclude_or_need_each_other() {
    refused(&format!("{MATMUL} 2:4 --input x"), &["--input-tensor"]);
    refused(&format!("{MATMUL} 2:4 --input-tensor x"), &["--input"]);
    refused(
        &format!("{MATMUL} 2:4 --input x --input-tensor y --tokens 4"),
        &["cannot be used with", "--tokens"],
    );
    refused(
        &format!("{ATTENTION} --causal --full"),
        &["cannot be used with", "--full"],
    );
    refused(
        &format!("{ATTENTION} --chunk 2048"),
        &["no meaning in --mode exact"],
    );
    refused(
        &format!("{ATTENTION} --stride 7"),
        &["stride 7 does not divide block 128", "such as 4 or 8"],
    );
    refused(
        &format!("{ATTENTION} --block 96 --stride 7"),
        &["stride 7 does not divide block 96", "such as 6 or 8"],
    );
    for command in [ATTENTION, "memory"] {
        refused(
            &format!("{command} --block 100"),
            &["a multiple of 16 tokens, such as 96 or 112"],
        );
    }
    refused(
        &format!("{ATTENTION} --mode reference --chunk 100"),
        &["100", "128"],
    );
}

#[test]
fn compare_takes_no_file_that_it_would_not_read() {
    refused(
        "compare --ops nm_matvec --qkv no-such-file",
        &["--qkv has no meaning for nm_matvec", "block_attention"],
    );
    refused(
        "compare --ops xattention --weights no-such-file",
        &["--weights has no meaning for xattention", "bsr_matmul"],
    );
    let packed = "compare --preset full --ops varlen_xattention";
    for (option, able) in [
        ("--qkv no-such-file", "block_attention, xattention;"),
        ("--weights no-such-file", "bsr_matmul"),
        ("--cooperative", "bsr_matmul"),
    ] {
        refused(
            &format!("{packed} {option}"),
            &["has no meaning for varlen_xattention", able],
        );
    }
    refused(
        "compare --ops varlen_xattention",
        &["no rows in this preset", "--preset full"],
    );
}

#[test]
fn numbers_out_of_range() {
    refused(
        &format!("{MATMUL} 2:4 --tokens 0"),
        &["whole number from 1 up"],
    );
    refused(
        &format!("{ATTENTION} --threshold 1.5"),
        &["between 0 and 1"],
    );
    refused(&format!("{ATTENTION} --scale nan"), &["finite number"]);
    refused(&format!("{ATTENTION} --scale -1"), &["-1", "positive"]);
    refused(
        &format!("{ATTENTION} --block 0"),
        &["whole number from 1 up"],
    );
}

#[test]
fn negative_and_absurd_numbers_get_the_message_of_their_option() {
    let seconds = "a number of seconds above 0 and up to 3600";
    for value in ["-1", "0", "1e300", "NaN", "-inf", "soon"] {
        refused(&format!("compare --seconds {value}"), &[seconds]);
    }
    for value in ["-1", "0", "1.5", "NaN", "1e3"] {
        let count = ["whole number from 1 up"];
        refused(&format!("{MATMUL} 2:4 --tokens {value}"), &count);
        refused(&format!("{ATTENTION} --top-k {value}"), &count);
        refused(&format!("memory --heads {value}"), &count);
        refused(&format!("memory --lengths {value},128"), &count);
        refused(&format!("tune --tokens {value}"), &count);
    }
    let too_large = "99999999999999999999";
    refused(
        &format!("{MATMUL} 2:4 --tokens {too_large}"),
        &["larger than any count here"],
    );
    // Before the layers in front of it are measured, which takes a minute.
    sparse_bench("compare --preset attention --lengths 64,99999999999")
        .timeout(std::time::Duration::from_secs(15))
        .assert()
        .failure()
        .stderr(contains("99999999999 tokens are more than the"));
    refused(
        &format!("{MATMUL} 2:4 --seed -1"),
        &["whole number from 0 to"],
    );
    refused(&format!("{MATMUL} -2:4"), &["is no pattern; possible are"]);
    refused("tune --budget -1", &["quick, full or a number of seconds"]);
    refused(&format!("{ATTENTION} --threshold -1"), &["between 0 and 1"]);
    refused(&format!("{ATTENTION} --soft-cap -1"), &["above 0"]);
    refused(&format!("{ATTENTION} --dilated -1x2"), &["STEPxCOUNT"]);
    refused(&format!("{ATTENTION} --scale -inf"), &["finite number"]);
}
