//! The adapter: chosen, described, and timed.

mod attention;
mod auto;
mod describe;
mod gradient;
mod packed;
mod results;
mod score;
mod timer;
mod weights;

pub use attention::{AttendRun, GpuQkv, KvCopies, XAttentionRun};
pub use auto::PolicyRun;
pub use describe::{AdapterWords, class_of};
pub use gradient::GradientRun;
pub use packed::{GpuPackedQkv, PackedDenseRun, PackedRun};
pub use results::GpuResults;
pub use score::ScoreRun;
pub use timer::Timer;
pub use weights::{GpuWeights, MatmulRun};
