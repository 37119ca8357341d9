//! Rows of a half-width output that do not start at whole words: sums are kept in f32, and a second kernel rounds them.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::ConvertKernel;

use super::params::ConvertParams;
use crate::counting::word_of_u64;
use crate::dispatch::{Recorder, dispatch};
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::window::Window;
use crate::{Error, Gpu, GpuTensor};

/// The second kernel, and the f32 outputs of what is attended at once.
#[derive(Debug)]
pub(crate) struct Convert {
    kernel: Arc<CompiledKernel>,
    pub(crate) sums: wgpu::Buffer,
}

impl Convert {
    /// To round at most `elements` at once to `output`.
    pub(crate) async fn plan(gpu: &Gpu, output: DType, elements: usize) -> Result<Self, Error> {
        let output = storage(output);
        let bytes = DType::F32.bytes() as u64 * elements as u64;
        Ok(Self {
            kernel: gpu.compile(&ConvertKernel { output }).await?,
            sums: gpu.allocate("f32 outputs", bytes, wgpu::BufferUsages::STORAGE)?,
        })
    }

    /// Rounds the sums to these elements of `out`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        recorder: &mut impl Recorder,
        out: &GpuTensor,
        elements: Range<u64>,
    ) -> Result<(), Error> {
        let (first, len) = (elements.start, elements.end - elements.start);
        let unit = out.dtype().bytes() as u64;
        let window = Window::new(gpu, out.buffer(), out.offset(), unit, elements);
        let params = ConvertParams {
            len: word_of_u64(len),
            y_first: word_of_u64(first) - window.first,
            ..ConvertParams::default()
        };
        let buffers = [
            ("x", self.sums.as_entire_binding()),
            ("y", window.binding()),
        ];
        let of_group = ConvertKernel::ELEMENTS as u64;
        let groups = word_of_u64(len.div_ceil(of_group));
        dispatch(
            gpu,
            recorder,
            &self.kernel,
            params,
            &buffers,
            groups,
            of_group,
        )
    }
}
