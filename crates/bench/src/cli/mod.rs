//! The command line: plain data after parsing, every value checked with its own message.

mod args;
mod attention;
mod head_kinds;
mod memory;
mod ops;
mod tune;
mod values;

pub use args::{
    ActivationName, AdaptersArgs, Cli, Command, CompareArgs, MatmulArgs, PresetName, TierName,
};
pub use attention::{AttentionArgs, AttentionArgsError, MaskHeadsName, ScoreModeName};
pub use head_kinds::{HeadKindsOption, HeadKindsOptionError};
pub use memory::MemoryArgs;
pub use ops::{Operation, OperationError, OperationList};
pub use sparse_measure::{Pattern, PatternError};
pub use tune::{TilesArgs, TuneArgs, TuneBudget, TuneBudgetError, TuneOperation};

use clap::builder::StyledStr;
use clap::{Command as ClapCommand, CommandFactory, FromArgMatches};

/// The arguments of this program. Where they are wrong, or ask for help, it is told and the program ends.
pub(crate) fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// The command line, its help as a terminal shows it: the backticks of doc comments are for rustdoc.
fn command() -> ClapCommand {
    without_backticks(Cli::command())
}

fn without_backticks(mut command: ClapCommand) -> ClapCommand {
    let plain = |text: &StyledStr| text.to_string().replace('`', "");
    if let Some(about) = command.get_about().map(plain) {
        command = command.about(about);
    }
    if let Some(about) = command.get_long_about().map(plain) {
        command = command.long_about(about);
    }
    command = command.mut_args(|arg| {
        let (help, long_help) = (arg.get_help().map(plain), arg.get_long_help().map(plain));
        let arg = help.into_iter().fold(arg, clap::Arg::help);
        long_help.into_iter().fold(arg, clap::Arg::long_help)
    });
    let subcommands = command.get_subcommands().map(|c| c.get_name().to_owned());
    let subcommands: Vec<String> = subcommands.collect();
    subcommands.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, without_backticks)
    })
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    use super::*;

    /// Options whose values are names, files or words from a list. A name that starts with a hyphen is more likely an option that stands in
    /// the place of a value.
    const OF_WORDS: [&str; 23] = [
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
        "mask_heads",
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
    fn help_shows_no_marks_of_rustdoc() {
        let mut all = command();
        let mut helps = vec![all.render_long_help().to_string()];
        for command in all.get_subcommands_mut() {
            helps.push(command.render_help().to_string());
            helps.push(command.render_long_help().to_string());
        }
        assert!(helps.len() >= 13, "six commands and the whole");
        for help in helps {
            let marked = help.lines().find(|line| line.contains('`'));
            assert_eq!(marked, None);
        }
        // What is between them stays.
        let compare = all.find_subcommand_mut("compare").unwrap();
        let help = compare.render_long_help().to_string();
        assert!(
            help.contains("dense_matmul, nm_matmul") && help.contains(", ViT and Gemma layers")
        );
    }

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
