//! Dense tensors in GPU memory.

mod view;

use sparse_core::{DType, Element, Matrix, Tensor};

use crate::operand::refuse_other_device;
use crate::{Error, Gpu};

/// A dense, row-major, contiguous tensor in a wgpu buffer. Clones share the buffer, as other shapes of it do ([`GpuTensor::reshaped`]) and its rows
/// ([`GpuTensor::rows`]).
#[derive(Clone, Debug)]
pub struct GpuTensor {
    buffer: wgpu::Buffer,
    offset: u64,
    shape: Vec<usize>,
    dtype: DType,
    /// Whose memory it is; none: the program's own buffer, which it has to know.
    device: Option<wgpu::Device>,
}

impl GpuTensor {
    /// The usages that a buffer needs to hold a tensor that is read and written.
    pub const USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
        .union(wgpu::BufferUsages::COPY_SRC)
        .union(wgpu::BufferUsages::COPY_DST);

    /// All of a buffer that `device` holds, as elements of this shape.
    pub(crate) fn whole(
        buffer: wgpu::Buffer,
        shape: Vec<usize>,
        dtype: DType,
        device: &wgpu::Device,
    ) -> Self {
        Self {
            buffer,
            offset: 0,
            shape,
            dtype,
            device: Some(device.clone()),
        }
    }

    /// The buffer.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Where in the buffer the tensor starts, bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sizes, slowest dimension first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Storage type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * self.dtype.bytes() as u64
    }

    /// Checks the device, where it is known.
    pub(crate) fn expect_device(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        tensor: &'static str,
    ) -> Result<(), Error> {
        self.device.as_ref().map_or(Ok(()), |device| {
            refuse_other_device(gpu, operation, tensor, device)
        })
    }

    /// Checks device, shape and storage type against what a plan was made for.
    pub(crate) fn expect(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        tensor: &'static str,
        shape: &[usize],
        dtype: DType,
    ) -> Result<(), Error> {
        self.expect_device(gpu, operation, tensor)?;
        if self.shape != shape {
            return Err(Error::ShapeMismatch {
                operation,
                tensor,
                expected: shape.to_vec(),
                actual: self.shape.clone(),
            });
        }
        if self.dtype != dtype {
            return Err(Error::DTypeMismatch {
                operation,
                tensor,
                expected: dtype,
                actual: self.dtype,
            });
        }
        Ok(())
    }
}

/// A dense array that can be uploaded, owned or borrowed: [`Matrix`], [`Tensor`], and what a program makes one of.
///
/// ```no_run
/// use sparse_gpu::{DenseSource, Gpu};
///
/// /// Numbers that lie in somebody else's memory, such as a file that is mapped.
/// struct Rows<'a> {
///     data: &'a [f32],
///     cols: usize,
/// }
///
/// impl DenseSource for Rows<'_> {
///     type Element = f32;
///     fn shape(&self) -> Vec<usize> {
///         vec![self.data.len() / self.cols, self.cols]
///     }
///     fn data(&self) -> &[f32] {
///         self.data
///     }
/// }
///
/// let gpu = Gpu::new_blocking()?;
/// let numbers = [0.5; 12];
/// let tensor = gpu.upload(&Rows { data: &numbers, cols: 4 })?;
/// assert_eq!(tensor.shape(), [3, 4]);
/// # Ok::<(), sparse_gpu::Error>(())
/// ```
pub trait DenseSource {
    /// Its element type.
    type Element: Element;
    /// Its shape.
    fn shape(&self) -> Vec<usize>;
    /// Its elements, row-major, as many as the shape says.
    fn data(&self) -> &[Self::Element];
}

impl<T: Element> DenseSource for Matrix<T> {
    type Element = T;
    fn shape(&self) -> Vec<usize> {
        vec![self.rows(), self.cols()]
    }
    fn data(&self) -> &[T] {
        self.data()
    }
}

impl<T: Element> DenseSource for Tensor<T> {
    type Element = T;
    fn shape(&self) -> Vec<usize> {
        self.shape().to_vec()
    }
    fn data(&self) -> &[T] {
        self.data()
    }
}

impl Gpu {
    /// Copies a dense matrix or tensor to the GPU.
    ///
    /// The numbers are in memory of wgpu's when this returns, and reach the device with the next submission; after every 64 MiB of uploads, of this
    /// and the other `upload` functions, an empty one is made, so that memory for a model is not needed twice.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where the source has other than as many elements as its shape,
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn upload<S: DenseSource>(&self, source: &S) -> Result<GpuTensor, Error> {
        let shape = checked_shape("upload", source)?;
        let tensor = self.empty_tensor(&shape, S::Element::DTYPE)?;
        self.write(
            "tensor",
            (tensor.buffer(), 0),
            bytemuck::cast_slice(source.data()),
        )?;
        Ok(tensor)
    }

    /// Copies a dense matrix or tensor into a tensor that is there already, all of a buffer or a part of one: the input of the next step without
    /// new memory, a token for a cache that the program makes itself.
    ///
    /// As with [`Gpu::upload`] the numbers are in memory of wgpu's when this returns. What has been submitted before reads the old ones, what is
    /// submitted afterwards the new ones, whenever it was recorded. Words are written whole: behind an odd number of halves two bytes become zero.
    ///
    /// ```no_run
    /// use sparse_gpu::{Gpu, sparse_core::{DType, Matrix}};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let mut x = gpu.empty_tensor(&[1, 64], DType::F32)?;
    /// for token in 0..3_u8 {
    ///     gpu.upload_into(&Matrix::new(1, 64, vec![f32::from(token); 64]), &mut x)?;
    ///     // Submit what reads x.
    /// }
    /// # Ok::<(), sparse_gpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::BufferUsage`] where its buffer lacks `COPY_DST`, [`Error::InvalidProblem`] where the source is of another shape
    /// or storage type or has other than as many elements as its shape; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn upload_into<S: DenseSource>(
        &self,
        source: &S,
        tensor: &mut GpuTensor,
    ) -> Result<(), Error> {
        const OPERATION: &str = "upload_into";
        let shape = checked_shape(OPERATION, source)?;
        tensor.expect_device(self, OPERATION, "the tensor")?;
        let dtype = S::Element::DTYPE;
        if (tensor.shape(), tensor.dtype()) != (&shape, dtype) {
            let reason = format!(
                "the tensor holds {:?} elements of {}, the source has {shape:?} of {dtype}",
                tensor.shape(),
                tensor.dtype()
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        let (buffer, offset) = (tensor.buffer(), tensor.offset());
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
            return Err(Error::BufferUsage {
                actual: format!("{:?}", buffer.usage()),
                needed: "COPY_DST to be uploaded into".to_owned(),
            });
        }
        self.write(
            "tensor",
            (buffer, offset),
            bytemuck::cast_slice(source.data()),
        )
    }

    /// A tensor whose elements are zero until an operation writes them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where its bytes cannot be counted, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn empty_tensor(&self, shape: &[usize], dtype: DType) -> Result<GpuTensor, Error> {
        let buffer = self.allocate("tensor", byte_len(shape, dtype)?, GpuTensor::USAGES)?;
        Ok(GpuTensor::whole(
            buffer,
            shape.to_vec(),
            dtype,
            self.device(),
        ))
    }
}

/// The shape of a source that has as many elements.
fn checked_shape<S: DenseSource>(operation: &'static str, source: &S) -> Result<Vec<usize>, Error> {
    let (shape, len) = (source.shape(), source.data().len());
    if elements(&shape) == Some(len) {
        return Ok(shape);
    }
    let reason = format!("the source has {len} elements, of shape {shape:?}");
    Err(Error::invalid(operation, reason))
}

/// Elements of a shape, where they can be counted.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m))
}

/// Bytes of a tensor, checked.
fn byte_len(shape: &[usize], dtype: DType) -> Result<u64, Error> {
    shape
        .iter()
        .try_fold(dtype.bytes() as u64, |bytes, &n| {
            bytes.checked_mul(n as u64)
        })
        .ok_or_else(|| {
            Error::invalid(
                "tensor",
                format!("shape {shape:?} has more bytes than can be addressed"),
            )
        })
}
