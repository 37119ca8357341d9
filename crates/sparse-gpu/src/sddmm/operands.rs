//! Whether operands are what was planned.

use sparse_core::DType;

use super::Sampled;
use crate::{Error, Gpu, GpuTensor};

impl Sampled {
    pub(crate) fn check_read(&self, gpu: &Gpu, dy: &GpuTensor, x: &GpuTensor) -> Result<(), Error> {
        let Self {
            operation,
            tokens,
            n_out,
            k_in,
            types,
            ..
        } = *self;
        dy.expect(gpu, operation, "dy", &[tokens, n_out], types.y)?;
        x.expect(gpu, operation, "x", &[tokens, k_in], types.x)
    }

    pub(crate) fn check_written(&self, shape: [usize; 2], dtype: DType) -> Result<(), Error> {
        let (operation, tensor) = (self.operation, "out");
        if shape != [self.n_out, self.k_in] {
            return Err(Error::ShapeMismatch {
                operation,
                tensor,
                expected: vec![self.n_out, self.k_in],
                actual: shape.to_vec(),
            });
        }
        if dtype != self.types.w {
            return Err(Error::DTypeMismatch {
                operation,
                tensor,
                expected: self.types.w,
                actual: dtype,
            });
        }
        Ok(())
    }
}
