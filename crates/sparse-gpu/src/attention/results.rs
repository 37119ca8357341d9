//! Tensors for what a planned attention writes.

use sparse_core::DType;

use crate::{BlockAttentionPlan, Error, GpuTensor, VarlenAttentionPlan};

impl BlockAttentionPlan {
    /// A tensor for the output, of the shape and storage type that the plan was made for.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`](crate::Gpu::empty_tensor).
    pub fn new_out(&self) -> Result<GpuTensor, Error> {
        let [shape, _] = self.problem.tensor_shapes();
        self.gpu.empty_tensor(&shape, self.problem.types.out)
    }

    /// A tensor for the log-sum-exps.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`](crate::Gpu::empty_tensor).
    pub fn new_lse(&self) -> Result<GpuTensor, Error> {
        let shape = self.problem.shape.q_shape();
        self.gpu.empty_tensor(&shape[..3], DType::F32)
    }
}

impl VarlenAttentionPlan {
    /// A tensor for the output, of the shape and storage type that the plan was made for.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`](crate::Gpu::empty_tensor).
    pub fn new_out(&self) -> Result<GpuTensor, Error> {
        let shape = self.problem.shape.q_shape();
        self.gpu.empty_tensor(&shape, self.problem.types.out)
    }

    /// A tensor for the log-sum-exps.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`](crate::Gpu::empty_tensor).
    pub fn new_lse(&self) -> Result<GpuTensor, Error> {
        let shape = &self.problem.shape;
        let shape = [shape.q_heads(), shape.q().total()];
        self.gpu.empty_tensor(&shape, DType::F32)
    }
}
