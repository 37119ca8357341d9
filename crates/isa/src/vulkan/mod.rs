//! The little of Vulkan that compiling a pipeline and asking about it takes.

mod device;
mod matrices;
mod pipeline;

pub use device::{Chip, Description};
pub use matrices::Matrices;
pub use pipeline::{Compiled, Executable, Statistic};
