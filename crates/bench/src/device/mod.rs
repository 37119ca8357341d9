//! The adapter: chosen, described, and timed.

mod attention;
mod auto;
mod describe;
mod timer;
mod weights;

pub use attention::{AttendRun, Attended, GpuQkv, XAttentionRun};
pub use auto::PolicyRun;
pub use describe::{AdapterWords, class_of};
pub use timer::Timer;
pub(crate) use weights::MATVEC_TOKENS;
pub use weights::{GpuWeights, MatmulRun};
