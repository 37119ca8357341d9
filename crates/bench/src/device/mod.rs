//! The adapter: chosen, described, and timed.

mod attention;
mod auto;
mod copies;
mod describe;
mod output;
mod timer;
mod weights;

pub use attention::{AttendRun, GpuQkv, XAttentionRun};
pub use auto::PolicyRun;
pub use copies::{COLD_TOKENS, Copies, cold_copies};
pub use describe::{AdapterWords, class_of};
pub use output::OutputAndLse;
pub use timer::Timer;
pub use weights::{GpuWeights, MatmulRun};
