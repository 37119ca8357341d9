//! The command line: plain data after parsing, every value checked with its own message.

mod args;
mod ops;
mod pattern;
mod values;

pub use args::{
    ActivationName, AdaptersArgs, AttentionArgs, AttentionArgsError, Cli, Command, CompareArgs,
    MatmulArgs, PresetName, ScoreMode,
};
pub use ops::{Operation, OperationError, OperationList};
pub use pattern::{Pattern, PatternError};
