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
