//! The command line: plain data after parsing, every value checked with its own message.

mod args;
mod attention;
mod head_kinds;
mod memory;
mod ops;
mod pattern;
mod tune;
mod values;

pub use args::{
    ActivationName, AdaptersArgs, Cli, Command, CompareArgs, MatmulArgs, PresetName, TierName,
};
pub use attention::{AttentionArgs, AttentionArgsError, ScoreMode};
pub use head_kinds::{HeadKinds, HeadKindsError, HeadKindsOption, head_kind_words};
pub use memory::MemoryArgs;
pub use ops::{Operation, OperationError, OperationList};
pub use pattern::{Pattern, PatternError};
pub use tune::{TilesArgs, TuneArgs, TuneBudget, TuneBudgetError, TuneOperation};

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    use super::*;

    /// Options whose values are names, files or words from a list. A name that starts with a hyphen is more likely an option that stands in
    /// the place of a value.
    const OF_WORDS: [&str; 22] = [
        "activation",
        "adapter",
        "bias",
        "csv",
        "dtype",
        "head_kinds",
        "heatmap",
        "html",
        "input",
        "input_tensor",
        "json",
        "mode",
        "ops",
        "out",
        "preset",
        "profile",
        "qkv",
        "strategies",
        "tensor",
        "tier",
        "tiles",
        "weights",
    ];

    #[test]
    fn negative_numbers_reach_the_message_of_their_option() {
        let mut count = 0;
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                let Some(long) = arg.get_long() else { continue };
                if !arg.get_action().takes_values() || OF_WORDS.contains(&id) {
                    continue;
                }
                count += 1;
                for value in ["-1", "-1,4", "-1e300", "-inf", "-nan"] {
                    let line = [
                        "sparse-bench",
                        command.get_name(),
                        &format!("--{long}"),
                        value,
                    ];
                    // Another option that is missing is told later than a value that is wrong.
                    let error = Cli::try_parse_from(line).map(|_| ()).unwrap_err();
                    let is_finite = value.starts_with("-1e") || value == "-1";
                    match id {
                        // Finite numbers are for the command to judge.
                        "scale" if is_finite => continue,
                        _ => {}
                    }
                    assert_eq!(
                        error.kind(),
                        ErrorKind::ValueValidation,
                        "{line:?}: {error}"
                    );
                }
            }
        }
        assert!(count >= 25, "only {count} options with numbers");
    }
}
