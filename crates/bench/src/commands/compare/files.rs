//! Whether the files of real tensors, the lengths that they are cut to, cooperative matrices and operations of one preset are for anything that is measured.

use crate::cli::{CompareArgs, Operation, OperationList, PresetName};

/// Checks that no file would be left unread, no list of lengths unused, and no row on cooperative matrices or of one preset left out, without a word.
///
/// # Errors
/// Where no operation of `operations`, or none of the preset, uses what is given: which do, and what to do.
pub(super) fn check_use(args: &CompareArgs, operations: &OperationList) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.lengths.is_none() || args.preset == PresetName::Attention,
        "--lengths has no meaning in this preset; add --preset attention or leave it out"
    );
    let mut named = args.ops.iter().flat_map(OperationList::iter);
    if let Some(operation) = named.find(|operation| operation.is_of_full())
        && args.preset != PresetName::Full
    {
        anyhow::bail!(
            "{operation} has no rows in this preset; add --preset full or leave it out of --ops"
        );
    }
    if args.weights.is_some() {
        check_option("--weights", FILE, operations, Operation::takes_weights)?;
        anyhow::ensure!(
            args.preset != PresetName::Attention,
            "--weights has no meaning in --preset attention, which has no products; take another preset or leave --weights out"
        );
    }
    if args.qkv.is_some() {
        check_option("--qkv", FILE, operations, Operation::takes_qkv)?;
    }
    if args.cooperative {
        let rows = "rows on cooperative matrices are of";
        check_option(
            "--cooperative",
            rows,
            operations,
            Operation::takes_cooperative,
        )?;
    }
    // The rows of the other operation have patterns of their own, planted in generated tensors.
    let has_real_rows = operations.contains(Operation::Xattention);
    if args.preset == PresetName::Attention && !has_real_rows {
        let given = [
            ("--qkv", args.qkv.is_some()),
            ("--lengths", args.lengths.is_some()),
        ];
        if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            anyhow::bail!(
                "{option} has no meaning for these operations in --preset attention: the layer that takes --qkv and --lengths is in the rows of \
                 xattention, those of block_attention are of planted layers; add xattention to --ops, or leave {option} out"
            );
        }
    }
    Ok(())
}

/// Checks that the file of weights is behind one of the rows; `found` says so.
///
/// # Errors
/// Where it is given and has no matrix for the operations that are asked for.
pub(super) fn check_found(args: &CompareArgs, found: bool) -> anyhow::Result<()> {
    match &args.weights {
        Some(path) if !found => anyhow::bail!(
            "{} has no matrix [n_out, k_in] for the operations of --ops: it is to be stored as F32, F16 or BF16, both sides larger than 1, and blocks want \
             four of 32 x 32 or eight of 64 x 64; name other operations, or leave --weights out for generated weights",
            path.display()
        ),
        _ => Ok(()),
    }
}

/// What [`check_option`] says before the operations that read a file.
const FILE: &str = "the file is for";

fn check_option(
    option: &str,
    meaning: &str,
    operations: &OperationList,
    takes: fn(Operation) -> bool,
) -> anyhow::Result<()> {
    if operations.iter().any(takes) {
        return Ok(());
    }
    let able: Vec<&str> = Operation::ALL
        .into_iter()
        .filter(|&operation| takes(operation))
        .map(Operation::name)
        .collect();
    let asked: Vec<&str> = operations.iter().map(Operation::name).collect();
    anyhow::bail!(
        "{option} has no meaning for {}: {meaning} {}; name one of them in --ops, or leave {option} out",
        asked.join(", "),
        able.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::presets::{SizeClass, cooperative_cases};

    fn checked(line: &str) -> Result<(), String> {
        let line = format!("sparse-bench compare {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Compare(args) = cli.command else {
            panic!("another command");
        };
        let operations = args.ops.clone().unwrap_or_default();
        check_use(&args, &operations).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_nothing_would_read_is_refused_with_what_it_is_for() {
        assert_eq!(
            checked("--ops nm_matvec,dense_matmul --qkv f").unwrap_err(),
            "--qkv has no meaning for dense_matmul, nm_matvec: the file is for block_attention, xattention; \
             name one of them in --ops, or leave --qkv out"
        );
        assert_eq!(
            checked("--ops xattention --weights f").unwrap_err(),
            "--weights has no meaning for xattention: the file is for dense_matmul, nm_matmul, nm_matvec, bsr_matmul; \
             name one of them in --ops, or leave --weights out"
        );
        let preset = checked("--preset attention --weights f").unwrap_err();
        assert!(
            preset.contains("no meaning in --preset attention"),
            "{preset}"
        );
        let preset = checked("--lengths 64").unwrap_err();
        assert!(preset.contains("add --preset attention"), "{preset}");
        assert_eq!(
            checked("--preset full --ops varlen_xattention --qkv f").unwrap_err(),
            "--qkv has no meaning for varlen_xattention: the file is for block_attention, xattention; \
             name one of them in --ops, or leave --qkv out"
        );
    }

    #[test]
    fn packed_sequences_and_gradients_are_in_one_preset() {
        let packed = |preset| checked(&format!("{preset} --ops xattention,varlen_xattention"));
        assert_eq!(packed("--preset full"), Ok(()));
        for preset in ["", "--preset attention", "--preset peers"] {
            assert_eq!(
                packed(preset).unwrap_err(),
                "varlen_xattention has no rows in this preset; add --preset full or leave it out of --ops"
            );
        }
        assert_eq!(checked("--preset full --ops nm_sddmm,bsr_sddmm"), Ok(()));
        assert_eq!(
            checked("--ops nm_sddmm,nm_matmul").unwrap_err(),
            "nm_sddmm has no rows in this preset; add --preset full or leave it out of --ops"
        );
        // Where nobody asks for them they are not missed.
        assert_eq!(checked("--preset peers"), Ok(()));
    }

    #[test]
    fn cooperative_matrices_are_for_products_of_many_tokens() {
        assert_eq!(
            checked("--ops nm_matvec,xattention --cooperative").unwrap_err(),
            "--cooperative has no meaning for nm_matvec, xattention: rows on cooperative matrices are of dense_matmul, nm_matmul, bsr_matmul; \
             name one of them in --ops, or leave --cooperative out"
        );
        for line in ["", "--ops xattention,bsr_matmul", "--preset attention"] {
            assert_eq!(checked(&format!("{line} --cooperative")), Ok(()), "{line}");
        }
        // Those that take it are those of the rows that there are.
        for operation in Operation::ALL {
            let rows = cooperative_cases(SizeClass::Software);
            let has_row = rows.iter().any(|row| row.operation == operation);
            assert_eq!(operation.takes_cooperative(), has_row, "{operation}");
        }
    }

    #[test]
    fn the_planted_rows_of_the_preset_take_no_tensors_and_no_lengths() {
        for option in ["--qkv", "--lengths"] {
            let value = if option == "--qkv" { "f" } else { "64" };
            let line = format!("--preset attention {option} {value} --ops");
            let refused = checked(&format!("{line} block_attention")).unwrap_err();
            assert!(
                refused.starts_with(&format!("{option} has no meaning for these operations"))
                    && refused.contains("in the rows of xattention")
                    && refused
                        .ends_with(&format!("add xattention to --ops, or leave {option} out")),
                "{refused}"
            );
            for operations in ["xattention", "block_attention,xattention"] {
                assert_eq!(checked(&format!("{line} {operations}")), Ok(()));
            }
        }
    }

    #[test]
    fn a_file_that_one_of_the_operations_reads_is_taken() {
        for line in [
            "--weights f --qkv f",
            "--ops xattention,nm_matmul --weights f --qkv f",
            "--ops block_attention --qkv f",
            "--ops bsr_matmul --weights f",
            "--preset attention --qkv f",
        ] {
            assert_eq!(checked(line), Ok(()), "{line}");
        }
    }
}
