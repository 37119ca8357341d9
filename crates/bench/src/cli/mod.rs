//! The command line: plain data after parsing, every value checked with its own message.

mod args;
mod attention;
mod ops;
mod pattern;
mod values;

pub use args::{ActivationName, AdaptersArgs, Cli, Command, CompareArgs, MatmulArgs, PresetName};
pub use attention::{AttentionArgs, AttentionArgsError, ScoreMode};
pub use ops::{Operation, OperationError, OperationList};
pub use pattern::{Pattern, PatternError};
