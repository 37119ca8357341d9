//! Reading a safetensors file: the header at once, the data of one tensor when it is asked for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sparse_core::{DType, Element, Matrix, ShapeError, Tensor};

use super::any::{AnyMatrix, AnyTensor, elements};
use super::error::TensorFileError;
use super::header::parse_header;
use super::similar::near_names;

/// The largest header that the format allows, in bytes.
const LARGEST_HEADER_BYTES: u64 = 100_000_000;
/// The largest tensor that is read, in bytes: 4 GiB.
pub const LARGEST_TENSOR_BYTES: u64 = 4 << 30;
/// Bytes of the header length in front of the header.
const LENGTH_BYTES: u64 = 8;

/// An open safetensors file whose header has been checked against the format and against the length of the file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    data_start: u64,
}

impl TensorFile {
    /// Opens a file and checks its header. No tensor is read yet.
    ///
    /// # Errors
    /// Where the file cannot be read, is shorter than its header says, or violates a rule of the format.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let read = |reason| TensorFileError::Read {
            reason,
            path: path.into(),
        };
        let mut file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        if bytes < LENGTH_BYTES {
            return Err(TensorFileError::TooShort {
                bytes,
                path: path.into(),
            });
        }
        let mut length = [0_u8; 8];
        file.read_exact(&mut length).map_err(read)?;
        let header = u64::from_le_bytes(length);
        if header > LARGEST_HEADER_BYTES {
            return Err(TensorFileError::HeaderTooLarge {
                header,
                limit: LARGEST_HEADER_BYTES,
                path: path.into(),
            });
        }
        let data_start = LENGTH_BYTES + header;
        if data_start > bytes {
            return Err(TensorFileError::HeaderTruncated {
                header,
                bytes,
                path: path.into(),
            });
        }
        let mut text = Vec::new();
        (&mut file)
            .take(header)
            .read_to_end(&mut text)
            .map_err(read)?;
        let metadata = parse_header(&text).map_err(|reason| TensorFileError::Header {
            reason,
            path: path.into(),
        })?;
        let (expected, actual) = (metadata.data_len() as u64, bytes - data_start);
        if expected != actual {
            return Err(TensorFileError::DataLength {
                expected,
                actual,
                path: path.into(),
            });
        }
        Ok(Self {
            path: path.into(),
            file,
            metadata,
            data_start,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        names
    }

    /// Shape of a tensor, or nothing where there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| &info.shape[..])
    }

    /// Whether there is a tensor of that name in a storage type that can be read.
    pub fn is_readable(&self, name: &str) -> bool {
        let info = self.metadata.info(name);
        info.is_some_and(|info| readable(info.dtype).is_some())
    }

    /// Reads one tensor in its storage type.
    ///
    /// # Errors
    /// Where there is none of that name, it is stored as something else than f32, f16 or bf16, or it is larger than
    /// [`LARGEST_TENSOR_BYTES`].
    pub fn tensor(&mut self, name: &str) -> Result<AnyTensor, TensorFileError> {
        let (dtype, shape, bytes) = self.read(name)?;
        let shaped = |reason: ShapeError| TensorFileError::Shape {
            name: name.into(),
            reason,
            path: self.path.clone(),
        };
        Ok(match dtype {
            DType::F32 => AnyTensor::F32(fill(shape, &bytes).map_err(shaped)?),
            DType::F16 => AnyTensor::F16(fill(shape, &bytes).map_err(shaped)?),
            DType::Bf16 => AnyTensor::Bf16(fill(shape, &bytes).map_err(shaped)?),
        })
    }

    /// Reads one matrix that is an operand. `needs` says in words which shape the operation needs, for the message.
    ///
    /// # Errors
    /// As [`TensorFile::ranked`], where the rank is not 2.
    pub fn matrix(
        &mut self,
        name: &str,
        needs: &'static str,
    ) -> Result<AnyMatrix, TensorFileError> {
        let shaped = |reason: ShapeError, path: &Path| TensorFileError::Shape {
            name: name.into(),
            reason,
            path: path.into(),
        };
        Ok(match self.ranked(name, 2, needs)? {
            AnyTensor::F32(t) => AnyMatrix::F32(flat(t).map_err(|e| shaped(e, &self.path))?),
            AnyTensor::F16(t) => AnyMatrix::F16(flat(t).map_err(|e| shaped(e, &self.path))?),
            AnyTensor::Bf16(t) => AnyMatrix::Bf16(flat(t).map_err(|e| shaped(e, &self.path))?),
        })
    }

    /// Reads one tensor of the given rank that is an operand. `needs` says in words which shape the operation needs, for the message.
    ///
    /// # Errors
    /// As [`TensorFile::tensor`], where the rank is another one, and where a number is NaN or infinite: every result that it takes part in
    /// would be called wrong.
    pub fn ranked(
        &mut self,
        name: &str,
        rank: usize,
        needs: &'static str,
    ) -> Result<AnyTensor, TensorFileError> {
        self.expect_rank(name, rank, needs)?;
        let tensor = self.tensor(name)?;
        match tensor.first_not_finite() {
            None => Ok(tensor),
            Some((at, value)) => Err(TensorFileError::NotFinite {
                name: name.into(),
                at,
                value,
                path: self.path.clone(),
            }),
        }
    }

    fn expect_rank(
        &self,
        name: &str,
        rank: usize,
        needs: &'static str,
    ) -> Result<(), TensorFileError> {
        match self.shape(name) {
            Some(shape) if shape.len() != rank => Err(TensorFileError::Rank {
                name: name.into(),
                shape: shape.to_vec(),
                needs,
                path: self.path.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn read(&mut self, name: &str) -> Result<(DType, Vec<usize>, Vec<u8>), TensorFileError> {
        let Some(info) = self.metadata.info(name) else {
            let names = self.names();
            return Err(TensorFileError::UnknownTensor {
                name: name.into(),
                near: near_names(name, &names),
                count: names.len(),
                path: self.path.clone(),
            });
        };
        // Before anything is read, of which there may be much.
        let dtype = readable(info.dtype).ok_or_else(|| TensorFileError::StorageType {
            name: name.into(),
            dtype: info.dtype.to_string(),
            path: self.path.clone(),
        })?;
        let (begin, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let bytes = end - begin;
        if bytes > LARGEST_TENSOR_BYTES {
            return Err(TensorFileError::TooLarge {
                name: name.into(),
                bytes,
                limit: LARGEST_TENSOR_BYTES,
                path: self.path.clone(),
            });
        }
        let shape = info.shape.clone();
        let mut data = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.data_start + begin))
            .and_then(|_| (&mut self.file).take(bytes).read_to_end(&mut data))
            .map_err(|reason| TensorFileError::Read {
                reason,
                path: self.path.clone(),
            })?;
        Ok((dtype, shape, data))
    }
}

/// The storage type, where it is one that the kernels read.
fn readable(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::Bf16),
        _ => None,
    }
}

fn fill<T: Element>(shape: Vec<usize>, bytes: &[u8]) -> Result<Tensor<T>, ShapeError> {
    Tensor::try_new(shape, elements(bytes))
}

fn flat<T: Element>(tensor: Tensor<T>) -> Result<Matrix<T>, ShapeError> {
    let (shape, data) = tensor.into_parts();
    Matrix::try_new(shape[0], shape[1], data)
}
