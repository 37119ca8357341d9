//! The little of Vulkan that compiling a pipeline and asking about it takes.

mod device;
mod pipeline;

pub use device::{Chip, Description};
pub use pipeline::{Compiled, Executable, Statistic};
