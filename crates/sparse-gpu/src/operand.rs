//! What every operation refuses of its operands.

use crate::{Error, Gpu};

/// Refuses an operand of another device than the plan's: wgpu would end the program, or, for a device of another instance, compute with whatever
/// buffer has the same number.
pub(crate) fn refuse_other_device(
    gpu: &Gpu,
    operation: &'static str,
    tensor: &'static str,
    device: &wgpu::Device,
) -> Result<(), Error> {
    if device == gpu.device() {
        return Ok(());
    }
    Err(Error::OtherDevice { operation, tensor })
}

/// Refuses a result that shares its buffer with an operand that is read: what is written first would be read afterwards.
pub(crate) fn refuse_aliases(
    operation: &'static str,
    (output, written): (&'static str, &wgpu::Buffer),
    read: &[(&'static str, &wgpu::Buffer)],
) -> Result<(), Error> {
    match read.iter().find(|(_, buffer)| *buffer == written) {
        Some(&(input, _)) => Err(Error::Aliased {
            operation,
            output,
            input,
        }),
        None => Ok(()),
    }
}
