//! Tests of the rules between options.

use clap::Parser;
use sparse_core::xattention::{Mode, XAttentionOptions};
use sparse_gpu::profile::Target;

use super::*;
use crate::cli::{Cli, Command};
use crate::profile::fixture::profile;

fn attention(options: &str) -> AttentionArgs {
    let line = format!("sparse-bench attention --qkv f --out o {options}");
    match Cli::try_parse_from(line.split_whitespace())
        .unwrap()
        .command
    {
        Command::Attention(args) => args,
        other => panic!("{other:?}"),
    }
}

fn resolved(options: &str) -> Result<XAttentionOptions, AttentionArgsError> {
    let args = attention(options);
    args.options(&args.settings(None)?)
}

#[test]
fn attention_is_causal_unless_full() {
    let causal = |options| resolved(options).unwrap().causal;
    assert!(causal("") && causal("--causal") && !causal("--full"));
}

#[test]
fn rules_between_options_name_the_numbers() {
    let refusal = |options: &str| resolved(options).unwrap_err().to_string();
    let reference = resolved("--mode reference --chunk 4096 --stride 16").unwrap();
    assert!(matches!(reference.mode, Mode::Reference(o) if o.chunk == Some(4096)));
    assert!(refusal("--chunk 2048").contains("no meaning in --mode exact"));
    assert!(refusal("--stride 7").contains("7") && refusal("--stride 7").contains("128"));
    assert!(refusal("--mode reference --chunk 200").contains("200"));
    assert!(refusal("--scale -1").contains("-1"));
}

#[test]
fn a_profile_gives_what_the_options_leave_open_and_nothing_may_contradict_it() {
    let profile = profile();
    let settings = |line: &str| attention(line).settings(Some(&profile));
    for line in ["", "--block 32 --stride 4 --full --scale 0.25"] {
        assert_eq!(settings(line).as_ref(), Ok(&profile.settings), "{line}");
    }
    for (line, parts) in [
        ("--block 64", ["--block is 64", "found with 32"]),
        ("--stride 8", ["--stride is 8", "found with 4"]),
        ("--causal", ["is causal", "found with full"]),
        (
            "--mode reference",
            ["--mode is reference", "found with exact"],
        ),
        ("--chunk 128", ["--chunk is 128", "the usual one"]),
        ("--scale 0.5", ["--scale is 0.5", "found with 0.25"]),
        ("--soft-cap 30", ["--soft-cap is 30", "found with none"]),
        ("--sinks 4", ["--sinks is 4", "found with none"]),
        ("--window 64", ["--window is 64", "found with none"]),
        ("--dilated 2x3", ["--dilated is 2x3", "found with none"]),
        (
            "--head-kinds dense,sparse",
            ["--head-kinds is dense,sparse", "found with all sparse"],
        ),
    ] {
        let message = settings(line).unwrap_err().to_string();
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{line}: {message}"
        );
    }
}

#[test]
fn only_calibration_takes_several_files_and_it_needs_one_target() {
    let parse = |options: &str| {
        let line = format!("sparse-bench attention --qkv f g --out o {options}");
        Cli::try_parse_from(line.split_whitespace())
    };
    let Command::Attention(args) = parse("--calibrate --target-mass 0.9").unwrap().command else {
        panic!("another command");
    };
    assert_eq!(args.target(), Some(Target::KeptMass(0.9)));
    assert_eq!(
        args.only_qkv(),
        Err(AttentionArgsError::SeveralFiles { count: 2 })
    );
    for wrong in [
        "--calibrate",
        "--target-error 0.1",
        "--calibrate --target-error 0.1 --target-mass 0.9",
        "--calibrate --target-error 0",
        "--calibrate --target-mass 0.9 --threshold 0.5",
        "--calibrate --target-mass 0.9 --dense",
        "--profile p --threshold 0.5",
        "--profile p --top-k 4",
        "--calibrate --target-mass 0.9 --top-k 4",
        "--dense --top-k 4",
        "--dilated 4",
        "--head-kinds dens",
        "--soft-cap 0",
        "--heatmap map.jpg",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
