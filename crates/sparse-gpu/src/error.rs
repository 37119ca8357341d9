//! Errors: each says what was asked, what there is, and what to do.

use sparse_core::DType;

/// Why something could not be done on the GPU.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter has the wanted name.
    #[error("no adapter matches {asked:?}; there are: {}", list(found))]
    NoSuchAdapter {
        /// The part of a name that was asked for.
        asked: String,
        /// Names of all adapters.
        found: Vec<String>,
    },
    /// There is no adapter at all.
    #[error(
        "no GPU adapter was found (backends asked: {backends}); install a Vulkan driver, on Debian or Ubuntu \
         `apt-get install mesa-vulkan-drivers libvulkan1` gives one that runs on the processor"
    )]
    NoAdapter {
        /// The backends that were searched.
        backends: String,
    },
    /// The device or its driver lacks something.
    #[error("{what} needs {needs}, the device has {has}; {hint}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What that needs.
        needs: String,
        /// What there is.
        has: String,
        /// What to do.
        hint: String,
    },
    /// The numbers of a problem contradict each other or are not supported.
    #[error("{operation}: {reason}")]
    InvalidProblem {
        /// The operation.
        operation: &'static str,
        /// Which rule is violated, and what is possible.
        reason: String,
    },
    /// Shapes or options of XAttention that break one of its rules.
    #[error(transparent)]
    XAttention(#[from] sparse_core::xattention::XAttentionError),
    /// An item of packed sequences.
    #[error("item {item}: {error}")]
    Item {
        /// The item.
        item: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// There is no memory on the host for what is to be uploaded.
    #[error(transparent)]
    HostMemory(#[from] sparse_core::OutOfMemory),
    /// A table of tiles that cannot be used.
    #[error(transparent)]
    Tiles(#[from] crate::TileTableError),
    /// Saved pipelines that cannot be used.
    #[error(transparent)]
    PipelineCache(#[from] crate::PipelineCacheError),
    /// A tensor does not have the shape that the plan was made for.
    #[error("{operation}: {tensor} has shape {actual:?}, the plan is for {expected:?}")]
    ShapeMismatch {
        /// The operation.
        operation: &'static str,
        /// Which operand.
        tensor: &'static str,
        /// What the plan was made for.
        expected: Vec<usize>,
        /// What was given.
        actual: Vec<usize>,
    },
    /// A tensor does not have the storage type that the plan was made for.
    #[error("{operation}: {tensor} is stored as {actual}, the plan is for {expected}")]
    DTypeMismatch {
        /// The operation.
        operation: &'static str,
        /// Which operand.
        tensor: &'static str,
        /// What the plan was made for.
        expected: DType,
        /// What was given.
        actual: DType,
    },
    /// A sparse operand does not have the pattern that the plan was made for.
    #[error("{operation}: {tensor} has pattern {actual}, the plan is for {expected}")]
    PatternMismatch {
        /// The operation.
        operation: &'static str,
        /// Which operand.
        tensor: &'static str,
        /// What the plan was made for.
        expected: String,
        /// What was given.
        actual: String,
    },
    /// An operand that the plan was made with is not given, or one that it was made without is.
    #[error("{operation}: the plan was made {planned} {tensor}, it was recorded {given} it")]
    OperandMismatch {
        /// The operation.
        operation: &'static str,
        /// Which operand.
        tensor: &'static str,
        /// `with` or `without`.
        planned: &'static str,
        /// `with` or `without`.
        given: &'static str,
    },
    /// The result's buffer is also read by the operation, be it other bytes of it: wgpu tells for whole buffers whether a dispatch reads or writes
    /// them. Operands that are only read may share one.
    #[error(
        "{operation}: {output} shares its buffer with {input}; give the result a buffer of its own"
    )]
    Aliased {
        /// The operation.
        operation: &'static str,
        /// The written operand.
        output: &'static str,
        /// The read operand.
        input: &'static str,
    },
    /// An operand lies in the memory of another device.
    #[error(
        "{operation}: {tensor} lies on another device; use it with the Gpu that it was made with, or a clone of that"
    )]
    OtherDevice {
        /// The operation.
        operation: &'static str,
        /// Which operand.
        tensor: &'static str,
    },
    /// A buffer cannot hold the tensor that it was said to hold.
    #[error("a buffer of {actual} bytes cannot hold a tensor of {needed} bytes at offset {offset}")]
    BufferTooSmall {
        /// Bytes of the buffer.
        actual: u64,
        /// Bytes of the tensor.
        needed: u64,
        /// Where in the buffer it was said to start.
        offset: u64,
    },
    /// A tensor in a buffer does not start where bindings can.
    #[error(
        "a tensor at byte offset {offset} cannot be bound; offsets are multiples of {alignment}"
    )]
    BufferOffset {
        /// Where the tensor was said to start.
        offset: u64,
        /// What the device asks for.
        alignment: u32,
    },
    /// A buffer lacks a usage flag.
    #[error("the buffer was created with {actual}, a tensor needs {needed}")]
    BufferUsage {
        /// The buffer's flags.
        actual: String,
        /// The flags that are needed.
        needed: String,
    },
    /// The memory of the device is used up.
    #[error("out of GPU memory: {what} needs {bytes} bytes")]
    OutOfMemory {
        /// What was being allocated.
        what: String,
        /// How much.
        bytes: u64,
    },
    /// The device is gone, and all that it held: its adapter was reset or removed, or the program destroyed it.
    #[error(
        "the device is lost, there is no {what} of {bytes} bytes: {message}; open another device and upload again"
    )]
    DeviceLost {
        /// What was to be created or uploaded.
        what: String,
        /// How much.
        bytes: u64,
        /// What was said.
        message: String,
    },
    /// The driver or wgpu refused a kernel.
    #[error("kernel {kernel} was refused: {message}")]
    Kernel {
        /// Name of the variant.
        kernel: String,
        /// What was said.
        message: String,
    },
    /// Creating the device failed.
    #[error("the adapter {adapter} gave no device: {message}")]
    Device {
        /// The adapter.
        adapter: String,
        /// What was said.
        message: String,
    },
    /// A tensor was to be read as numbers of another type than it holds.
    #[error("a tensor of {actual} cannot be read as {asked}; read it as {actual}")]
    ReadAs {
        /// The tensor's storage type.
        actual: DType,
        /// That of the numbers that were asked for.
        asked: DType,
    },
    /// Waiting for the device failed.
    #[error(
        "waiting for the device failed: {message}; wait longer, or split the work (Gpu::with_longest_dispatch)"
    )]
    Wait {
        /// What was said.
        message: String,
    },
    /// A result could not be read back.
    #[error("reading {bytes} bytes back failed: {message}")]
    Readback {
        /// How much was to be read.
        bytes: u64,
        /// What was said.
        message: String,
    },
}

impl Error {
    /// A tile of the caller's that no kernel can be made with.
    pub(crate) fn tile(operation: &'static str, error: &sparse_shaders::ConfigError) -> Self {
        Self::invalid(operation, error.to_string())
    }

    /// Refuses a register tile of the caller's that no kernel can be made with.
    pub(crate) fn check_tile(
        operation: &'static str,
        tile: Option<crate::Tile>,
    ) -> Result<(), Self> {
        let check = |tile: crate::Tile| tile.check(&|| tile.to_string());
        tile.map_or(Ok(()), check)
            .map_err(|e| Self::tile(operation, &e))
    }

    pub(crate) fn of_item(self, item: usize) -> Self {
        Self::Item {
            item,
            error: Box::new(self),
        }
    }

    pub(crate) fn invalid(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidProblem {
            operation,
            reason: reason.into(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join("; ")
    }
}

/// The storage type of a tensor in the words of the shaders.
pub(crate) const fn storage(dtype: DType) -> sparse_shaders::Storage {
    match dtype {
        DType::F32 => sparse_shaders::Storage::F32,
        DType::F16 => sparse_shaders::Storage::F16,
        DType::Bf16 => sparse_shaders::Storage::Bf16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that no test can provoke on a machine where the tests run.
    #[test]
    fn messages_say_what_was_asked_and_what_to_do() {
        let texts = [
            Error::NoAdapter {
                backends: "VULKAN".to_owned(),
            }
            .to_string(),
            Error::OutOfMemory {
                what: "tensor".to_owned(),
                bytes: 64,
            }
            .to_string(),
            Error::Kernel {
                kernel: "k".to_owned(),
                message: "no".to_owned(),
            }
            .to_string(),
            Error::Device {
                adapter: "a".to_owned(),
                message: "no".to_owned(),
            }
            .to_string(),
            Error::Readback {
                bytes: 8,
                message: "lost".to_owned(),
            }
            .to_string(),
            Error::Wait {
                message: "timeout".to_owned(),
            }
            .to_string(),
            Error::NoSuchAdapter {
                asked: "x".to_owned(),
                found: Vec::new(),
            }
            .to_string(),
        ];
        assert_eq!(
            texts,
            [
                "no GPU adapter was found (backends asked: VULKAN); install a Vulkan driver, on Debian or Ubuntu \
                 `apt-get install mesa-vulkan-drivers libvulkan1` gives one that runs on the processor",
                "out of GPU memory: tensor needs 64 bytes",
                "kernel k was refused: no",
                "the adapter a gave no device: no",
                "reading 8 bytes back failed: lost",
                "waiting for the device failed: timeout; wait longer, or split the work (Gpu::with_longest_dispatch)",
                "no adapter matches \"x\"; there are: none",
            ]
        );
    }
}
