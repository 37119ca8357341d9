//! `bsr_sddmm`: a dense product of which only the stored blocks are computed.

use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::SddmmKernel;

use crate::bsr::GpuBsr;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::MatmulTypes;
use crate::matmul::params::SddmmParams;
use crate::problem::{Explanation, Problem};
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu, GpuTensor};

/// `out = alpha * dy^T x + beta * out` at the blocks of a block-sparse matrix `[n_out, k_in]`: the gradient of block-sparse weights.
///
/// `dy [tokens, n_out]`, `x [tokens, k_in]`, both row-major; any sizes, 0 included. Accumulates in f32, in the order of the tokens. The kernel
/// is `bsr_sddmm.wgsl`; the CPU twin is [`sparse_core::bsr::bsr_sddmm`].
///
/// dy and x are bound whole. Where one exceeds the binding limit the plan is refused: run it over some tokens at a time with `beta = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BsrSddmm {
    /// Rows of dy and x.
    pub tokens: usize,
    /// Columns of dy, rows of the result.
    pub n_out: usize,
    /// Columns of x and of the result.
    pub k_in: usize,
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Storage types, named as in the product whose gradient this is: `y` is of dy, `w` of the result.
    pub types: MatmulTypes,
    /// Times the sum. With `alpha = 0` nothing of dy and x comes through.
    pub alpha: f32,
    /// Times what the result held; with `beta = 0` that is never read.
    pub beta: f32,
}

impl BsrSddmm {
    /// f32, `alpha = 1`, `beta = 0`.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, block: (usize, usize)) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            block,
            types: MatmulTypes::default(),
            alpha: 1.0,
            beta: 0.0,
        }
    }
}

/// A planned [`BsrSddmm`].
#[derive(Debug)]
pub struct BsrSddmmPlan {
    gpu: Gpu,
    problem: BsrSddmm,
    description: SddmmKernel,
    kernel: Arc<CompiledKernel>,
    explanation: Explanation,
}

const OPERATION: &str = "bsr_sddmm";

impl Problem for BsrSddmm {
    type Plan = BsrSddmmPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<BsrSddmmPlan, Error> {
        self.check(gpu)?;
        let description = self.kernel(gpu.is_software());
        let kernel = gpu.compile(&description).await?;
        let explanation = Explanation {
            operation: OPERATION,
            kernel: kernel.name().to_owned(),
            tile: format!(
                "{} rows x 4 columns x {} lanes",
                description.rows, description.lanes
            ),
            tier: "portable",
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: 0,
            notes: Vec::new(),
        };
        Ok(BsrSddmmPlan {
            gpu: gpu.clone(),
            problem: *self,
            description,
            kernel,
            explanation,
        })
    }
}

impl BsrSddmm {
    fn check(&self, gpu: &Gpu) -> Result<(), Error> {
        let (br, bc) = self.block;
        let stride = bc
            .checked_next_multiple_of(4)
            .and_then(|bc| bc.checked_mul(br));
        if br == 0 || bc == 0 || stride.is_none_or(|n| u32::try_from(n).is_err()) {
            let reason = format!(
                "blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to multiples of 4"
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !value.is_finite() {
                let reason = format!("{name} = {value}; it is a finite number");
                return Err(Error::invalid(OPERATION, reason));
            }
        }
        let limit = window_bytes(gpu);
        for (name, cols, dtype) in [
            ("dy", self.n_out, self.types.y),
            ("x", self.k_in, self.types.x),
        ] {
            let bytes = (self.tokens as u64).checked_mul((cols * dtype.bytes()) as u64);
            if bytes.is_none_or(|bytes| bytes > limit)
                || u32::try_from(self.tokens.max(cols)).is_err()
            {
                return Err(Error::Unavailable {
                    what: format!("{OPERATION}: {name} of {} x {cols}", self.tokens),
                    needs: "one binding that holds it".to_owned(),
                    has: limit.to_string(),
                    hint: "run it over some tokens at a time with beta = 1, or request a larger max_storage_buffer_binding_size".to_owned(),
                });
            }
        }
        let what = format!("{OPERATION} of {} tokens", self.tokens);
        gpu.check_loops(what, self.tokens / 4 + 3)
    }

    /// A processor shares a row of dy among its lanes; a GPU wants whole subgroups, whatever the width of a block.
    fn kernel(&self, software: bool) -> SddmmKernel {
        let (br, bc) = self.block;
        let (rows, lanes) = if software {
            (if br <= 4 { 4 } else { 8 }, 8)
        } else {
            (4, 64)
        };
        SddmmKernel {
            block: self.block,
            rows,
            lanes,
            dy: storage(self.types.y),
            vector_dy: br.is_multiple_of(4) && self.n_out.is_multiple_of(4),
            x: storage(self.types.x),
            vector_x: bc.is_multiple_of(4) && self.k_in.is_multiple_of(4),
            out: storage(self.types.w),
            scaled: self.alpha != 1.0,
            accumulate: self.beta != 0.0,
        }
    }
}

impl BsrSddmmPlan {
    /// Records the product into the caller's pass. Only the values of `out` change, its blocks stay where they are.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::PatternMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        dy: &GpuTensor,
        x: &GpuTensor,
        out: &mut GpuBsr,
    ) -> Result<(), Error> {
        let problem = &self.problem;
        self.check_operands(dy, x, out)?;
        let stride = out.block_stride();
        let block_bytes = (stride * out.dtype().bytes()) as u64;
        let fit = usize::try_from(window_bytes(&self.gpu) / block_bytes).unwrap_or(usize::MAX);
        if fit == 0 {
            return Err(Error::Unavailable {
                what: format!("{OPERATION}: one block of {block_bytes} bytes"),
                needs: "a binding that holds it".to_owned(),
                has: window_bytes(&self.gpu).to_string(),
                hint: "use smaller blocks".to_owned(),
            });
        }
        for first in (0..out.nnz_blocks()).step_by(fit) {
            let end = first.saturating_add(fit).min(out.nnz_blocks());
            let units = (first * stride) as u64..(end * stride) as u64;
            let values = Window::new(&self.gpu, &out.values, 0, out.dtype().bytes() as u64, units);
            let items = (end - first) * self.description.items_per_block();
            let params = SddmmParams {
                first_block: word(first),
                blocks_end: word(end),
                tokens: word(problem.tokens),
                n_out: word(problem.n_out),
                k_in: word(problem.k_in),
                y_stride: word(problem.block.1.next_multiple_of(4)),
                y_first: values.first,
                alpha: problem.alpha.to_bits(),
                beta: problem.beta.to_bits(),
                ..SddmmParams::default()
            };
            let buffers = [
                ("dy", self.bind(dy)),
                ("x", self.bind(x)),
                ("y", values.binding()),
                ("places", out.places.as_entire_binding()),
            ];
            let lanes = self.description.lanes;
            let work = (4 * self.description.rows * lanes * problem.tokens) as u64;
            let groups = word(items.div_ceil(lanes));
            dispatch(
                &self.gpu,
                pass,
                &self.kernel,
                params,
                &buffers,
                groups,
                work,
            );
        }
        Ok(())
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    fn check_operands(&self, dy: &GpuTensor, x: &GpuTensor, out: &GpuBsr) -> Result<(), Error> {
        let BsrSddmm {
            tokens,
            n_out,
            k_in,
            block,
            types,
            ..
        } = self.problem;
        dy.expect(OPERATION, "dy", &[tokens, n_out], types.y)?;
        x.expect(OPERATION, "x", &[tokens, k_in], types.x)?;
        if out.block() != block {
            let blocks = |(br, bc): (usize, usize)| format!("blocks of {br} x {bc}");
            return Err(Error::PatternMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: blocks(block),
                actual: blocks(out.block()),
            });
        }
        if out.shape() != [n_out, k_in] {
            return Err(Error::ShapeMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: vec![n_out, k_in],
                actual: out.shape().to_vec(),
            });
        }
        expect_dtype(out.dtype(), types.w)?;
        for (input, tensor) in [("dy", dy), ("x", x)] {
            if tensor.buffer() == &out.values {
                return Err(Error::Aliased {
                    operation: OPERATION,
                    output: "out",
                    input,
                });
            }
        }
        Ok(())
    }

    fn bind<'a>(&'a self, tensor: &'a GpuTensor) -> wgpu::BindingResource<'a> {
        let unit = tensor.dtype().bytes() as u64;
        let units = 0..tensor.len() as u64;
        Window::new(&self.gpu, tensor.buffer(), tensor.offset(), unit, units).binding()
    }
}

fn expect_dtype(actual: DType, expected: DType) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::DTypeMismatch {
        operation: OPERATION,
        tensor: "out",
        expected,
        actual,
    })
}

/// Sizes that planning and the formats have bounded, as the kernels count them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "operands fit a binding, and a matrix has fewer than 2^32 blocks"
)]
const fn word(n: usize) -> u32 {
    n as u32
}
