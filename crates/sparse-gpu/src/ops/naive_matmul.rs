//! `naive_matmul`: one invocation per output. The bench's yardstick for what tiling buys, never what a plan chooses.

use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::NaiveMatmulKernel;

use crate::counting::word;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::params::NaiveParams;
use crate::operand::refuse_aliases;
use crate::problem::Problem;
use crate::window::Window;
use crate::{Error, Gpu, GpuTensor};

/// `y = x w^T` in f32 results, one invocation per output, nothing reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NaiveMatmul {
    /// Rows of x and y.
    pub tokens: usize,
    /// Rows of w, columns of y.
    pub n_out: usize,
    /// Columns of x and w.
    pub k_in: usize,
    /// Storage of x and w; y is f32.
    pub dtype: DType,
}

/// A planned [`NaiveMatmul`].
#[derive(Debug)]
pub struct NaiveMatmulPlan {
    gpu: Gpu,
    problem: NaiveMatmul,
    kernel: Arc<CompiledKernel>,
}

const OPERATION: &str = "naive_matmul";

impl Problem for NaiveMatmul {
    type Plan = NaiveMatmulPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<NaiveMatmulPlan, Error> {
        let limit = gpu.limits().max_storage_buffer_binding_size;
        for (rows, cols) in [
            (self.tokens, self.k_in),
            (self.n_out, self.k_in),
            (self.tokens, self.n_out),
        ] {
            let bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(4);
            if bytes > limit || u32::try_from(rows.max(cols)).is_err() {
                let reason = format!(
                    "an operand of {rows} x {cols} does not fit one binding of {limit} bytes, and the yardstick does not slice"
                );
                return Err(Error::invalid(OPERATION, reason));
            }
        }
        gpu.check_loops(format!("{OPERATION} with k_in = {}", self.k_in), self.k_in)?;
        let kernel = NaiveMatmulKernel {
            input: storage(self.dtype),
            weight: storage(self.dtype),
        };
        Ok(NaiveMatmulPlan {
            gpu: gpu.clone(),
            problem: *self,
            kernel: gpu.compile(&kernel).await?,
        })
    }
}

impl NaiveMatmulPlan {
    /// Records the product into the caller's pass.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        w: &GpuTensor,
        x: &GpuTensor,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        let NaiveMatmul {
            tokens,
            n_out,
            k_in,
            dtype,
        } = self.problem;
        w.expect(&self.gpu, OPERATION, "w", &[n_out, k_in], dtype)?;
        x.expect(&self.gpu, OPERATION, "x", &[tokens, k_in], dtype)?;
        y.expect(&self.gpu, OPERATION, "y", &[tokens, n_out], DType::F32)?;
        if tokens == 0 || n_out == 0 {
            return Ok(());
        }
        let params = NaiveParams {
            tokens: word(tokens),
            n_out: word(n_out),
            k_in: word(k_in),
            ..NaiveParams::default()
        };
        let read = [("x", x.buffer()), ("w", w.buffer())];
        refuse_aliases(OPERATION, ("y", y.buffer()), &read)?;
        let buffers = [
            ("x", self.bind(x)),
            ("w", self.bind(w)),
            ("y", self.bind(y)),
        ];
        let groups = word((tokens * n_out).div_ceil(NaiveMatmulKernel::OUTPUTS));
        dispatch(
            &self.gpu,
            pass,
            &self.kernel,
            params,
            &buffers,
            groups,
            (NaiveMatmulKernel::OUTPUTS * k_in) as u64,
        )
    }

    fn bind<'a>(&'a self, tensor: &'a GpuTensor) -> wgpu::BindingResource<'a> {
        let (gpu, unit) = (&self.gpu, tensor.dtype().bytes() as u64);
        Window::new(
            gpu,
            tensor.buffer(),
            tensor.offset(),
            unit,
            0..tensor.len() as u64,
        )
        .binding()
    }
}
