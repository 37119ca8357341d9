//! Tensors in memory that is there already: a buffer of the program's, another tensor's under another shape, some of its rows.

use std::ops::Range;

use sparse_core::DType;

use super::{GpuTensor, byte_len, elements};
use crate::window::{alignment_of, rows_between_offsets};
use crate::{Error, Gpu};

/// What every device allows.
const ANY_ALIGNMENT: u32 = 256;

impl GpuTensor {
    /// A tensor in a buffer that the program already has, on a device that is not known: [`Gpu::tensor_in`] is the same where it is, and less strict.
    /// Nothing is copied. `offset` is in bytes. A half-width result with an odd number of elements is written in whole words: the two bytes after it
    /// stay as they are or become zero.
    ///
    /// The buffer has to be one of the [`Gpu`]'s device, which nothing here can check. wgpu itself reports another device's, where both devices
    /// come from one `wgpu::Instance`, as all that [`Gpu::open`] opens do; those of different instances it cannot tell apart.
    ///
    /// Tensors of one buffer are operands of one operation as long as all of them are only read. A result needs a buffer of its own
    /// ([`Error::Aliased`]), also where its bytes are others: wgpu tells for whole buffers whether a dispatch reads or writes them.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::BufferUsage`] without `STORAGE`, [`Error::BufferOffset`] where `offset` is not a multiple of
    /// 256 (what every device allows), [`Error::InvalidProblem`] where the tensor's bytes cannot be counted.
    pub fn from_buffer(
        buffer: wgpu::Buffer,
        offset: u64,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Self, Error> {
        Self::in_buffer(buffer, offset, shape, dtype, None)
    }

    /// On this device, or one that is not known.
    fn in_buffer(
        buffer: wgpu::Buffer,
        offset: u64,
        shape: &[usize],
        dtype: DType,
        device: Option<wgpu::Device>,
    ) -> Result<Self, Error> {
        let bytes = byte_len(shape, dtype)?;
        // Half-width rows are read and written as whole words.
        let needed = bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX);
        if offset
            .checked_add(needed)
            .is_none_or(|end| end > buffer.size())
        {
            return Err(Error::BufferTooSmall {
                actual: buffer.size(),
                needed,
                offset,
            });
        }
        let tensor = Self {
            buffer,
            offset,
            shape: shape.to_vec(),
            dtype,
            device,
        };
        let alignment = tensor.alignment();
        if !offset.is_multiple_of(alignment.into()) {
            return Err(Error::BufferOffset { offset, alignment });
        }
        let usage = tensor.buffer.usage();
        if !usage.contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::BufferUsage {
                actual: format!("{usage:?}"),
                needed: "STORAGE".to_owned(),
            });
        }
        Ok(tensor)
    }

    /// What offsets are multiples of.
    fn alignment(&self) -> u32 {
        let device = self.device.as_ref();
        device.map_or(ANY_ALIGNMENT, |device| alignment_of(&device.limits()))
    }

    /// The same elements under another shape with as many: the buffer is shared, nothing is copied. What a projection writes becomes what
    /// token-major attention reads:
    ///
    /// ```no_run
    /// use sparse_gpu::sparse_core::attention::AttentionShape;
    /// use sparse_gpu::sparse_core::Matrix;
    /// use sparse_gpu::{BlockAttention, DenseMatmul, Gpu, TokenLayout};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let (tokens, heads, head_dim) = (300, 8, 64);
    /// let wide = heads * head_dim;
    /// let projection = gpu.plan_blocking(&DenseMatmul::new(tokens, wide, wide))?;
    /// let attention = gpu.plan_blocking(&BlockAttention {
    ///     layout: TokenLayout::TokenMajor,
    ///     ..BlockAttention::new(AttentionShape::try_new(1, heads, heads, tokens, tokens, head_dim)?)
    /// })?;
    /// let x = gpu.upload(&Matrix::new(tokens, wide, vec![0.5_f32; tokens * wide]))?;
    /// let weights = gpu.upload(&Matrix::new(wide, wide, vec![0.5_f32; wide * wide]))?;
    /// let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// let mut pass = encoder.begin_compute_pass(&Default::default());
    /// // With weights of their own in a model.
    /// let mut project = || {
    ///     let mut y = projection.new_y()?;
    ///     projection.record(&mut pass, &weights, &x, &mut y)?;
    ///     y.reshaped(&[1, tokens, heads, head_dim])
    /// };
    /// let (q, k, v) = (project()?, project()?, project()?);
    /// let (mut out, mut lse) = (attention.new_out()?, attention.new_lse()?);
    /// attention.record(&mut pass, &q, &k, &v, None, &mut out, &mut lse)?;
    /// // The next projection takes it as rows of tokens again.
    /// let out = out.reshaped(&[tokens, wide])?;
    /// # let _ = out;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidProblem`] where the shape has another number of elements.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Self, Error> {
        if elements(shape) != Some(self.len()) {
            let reason = format!(
                "shape {shape:?} has other than the {} elements of {:?}",
                self.len(),
                self.shape
            );
            return Err(Error::invalid("reshaped", reason));
        }
        Ok(Self {
            shape: shape.to_vec(),
            ..self.clone()
        })
    }

    /// Some of its rows, that is of what its first dimension counts: the buffer is shared, nothing is copied. The first of them has to lie where
    /// bindings may start; a row whose bytes are a multiple of 256 always does. As a result of half-width elements whose number is odd, rows are
    /// written as [`GpuTensor::from_buffer`] says.
    ///
    /// # Errors
    /// [`Error::InvalidProblem`] where there are no such rows, or where the device binds nothing at the first of them: the message says at which it does.
    pub fn rows(&self, rows: Range<usize>) -> Result<Self, Error> {
        let refuse = |reason| Err(Error::invalid("rows", reason));
        let shape = &self.shape;
        let Some((_, row)) = shape
            .split_first()
            .filter(|&(&count, _)| rows.start <= rows.end && rows.end <= count)
        else {
            return refuse(format!(
                "{}..{} of a tensor of shape {shape:?}",
                rows.start, rows.end
            ));
        };
        let row_bytes = byte_len(row, self.dtype)?;
        let step = rows_between_offsets(self.alignment().into(), row_bytes);
        if !rows.start.is_multiple_of(step) {
            return refuse(format!(
                "row {} of {row_bytes} bytes starts where the device binds nothing, offsets are multiples of {}: take rows from a multiple of {step} on",
                rows.start,
                self.alignment()
            ));
        }
        let mut shape = shape.clone();
        shape[0] = rows.len();
        Ok(Self {
            offset: self.offset + rows.start as u64 * row_bytes,
            shape,
            ..self.clone()
        })
    }
}

impl Gpu {
    /// A tensor in a buffer of this device that the program already has; nothing is copied. `offset` is in bytes, a multiple of the device's
    /// `min_storage_buffer_offset_alignment`, and of 16. Otherwise as [`GpuTensor::from_buffer`].
    ///
    /// # Errors
    /// Those of [`GpuTensor::from_buffer`], [`Error::BufferOffset`] by this device's alignment.
    pub fn tensor_in(
        &self,
        buffer: wgpu::Buffer,
        offset: u64,
        shape: &[usize],
        dtype: DType,
    ) -> Result<GpuTensor, Error> {
        GpuTensor::in_buffer(buffer, offset, shape, dtype, Some(self.device().clone()))
    }
}
