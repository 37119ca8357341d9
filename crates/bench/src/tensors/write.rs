//! Writing: to a temporary file in the same folder, then renamed, so that no reader sees half a file.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};
use std::path::Path;

use safetensors::{Dtype, View};
use sparse_core::{DType, Element, Matrix, Tensor};
use tempfile::NamedTempFile;

use super::any::little_endian;
use super::error::TensorFileError;

/// A tensor ready to be written.
#[derive(Clone, Debug)]
pub struct OutTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl OutTensor {
    /// Elements `data` of `shape` in their storage type.
    pub fn new<T: Element>(shape: &[usize], data: &[T]) -> Self {
        let dtype = match T::DTYPE {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::Bf16 => Dtype::BF16,
        };
        Self {
            dtype,
            shape: shape.to_vec(),
            bytes: little_endian(data),
        }
    }

    /// Bytes of `shape`, as masks have them.
    pub fn from_u8(shape: &[usize], data: Vec<u8>) -> Self {
        Self {
            dtype: Dtype::U8,
            shape: shape.to_vec(),
            bytes: data,
        }
    }
}

impl<T: Element> From<&Tensor<T>> for OutTensor {
    fn from(tensor: &Tensor<T>) -> Self {
        Self::new(tensor.shape(), tensor.data())
    }
}

impl<T: Element> From<&Matrix<T>> for OutTensor {
    fn from(matrix: &Matrix<T>) -> Self {
        Self::new(&[matrix.rows(), matrix.cols()], matrix.data())
    }
}

impl View for &OutTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Checks before any work is done that `out` is no folder, that its own folder takes new files, and that it is none of `inputs`, by
/// whatever path.
///
/// # Errors
/// [`TensorFileError::Write`], [`TensorFileError::ReplacesInput`].
pub fn check_out(out: &Path, inputs: &[&Path]) -> Result<(), TensorFileError> {
    let refused = |reason| TensorFileError::Write {
        reason,
        path: out.into(),
    };
    if out.is_dir() {
        return Err(refused(ErrorKind::IsADirectory.into()));
    }
    let folder = folder(out);
    if !folder.exists() {
        let missing = format!(
            "the folder {} does not exist, create it first",
            folder.display()
        );
        return Err(refused(std::io::Error::new(ErrorKind::NotFound, missing)));
    }
    // The file is gone when it goes out of scope.
    temporary_file(folder).map_err(refused)?;
    // A file that does not exist yet is no input.
    let Ok(real) = out.canonicalize() else {
        return Ok(());
    };
    let is_input = |input: &&Path| input.canonicalize().is_ok_and(|input| input == real);
    if inputs.iter().any(is_input) {
        return Err(TensorFileError::ReplacesInput { path: out.into() });
    }
    Ok(())
}

/// Writes `tensors` as one safetensors file.
///
/// # Errors
/// Where a tensor's data does not fill its shape, or the file cannot be written; an existing file stays as it was.
pub fn write_tensors(path: &Path, tensors: &[(&str, OutTensor)]) -> Result<(), TensorFileError> {
    let views = tensors.iter().map(|(name, tensor)| (*name, tensor));
    let bytes = safetensors::serialize(views, None).map_err(|e| TensorFileError::Form {
        reason: e.to_string(),
        path: path.into(),
    })?;
    write_file(path, &bytes)
}

/// Writes `bytes` to a temporary file in the folder of `path` and renames it. A link is followed; what exists and is no file, a device or a
/// pipe, is written to as it is.
///
/// # Errors
/// Where the folder is missing or closed, or the disk full; an existing file stays as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TensorFileError> {
    let followed = std::fs::canonicalize(path);
    let target = followed.as_deref().unwrap_or(path);
    let is_special = std::fs::metadata(target).is_ok_and(|found| !found.is_file());
    let written = if is_special {
        std::fs::OpenOptions::new()
            .write(true)
            .open(target)
            .and_then(|mut file| file.write_all(bytes))
    } else {
        replace(target, bytes)
    };
    written.map_err(|reason| TensorFileError::Write {
        reason,
        path: path.into(),
    })
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = temporary_file(folder(path))?;
    file.write_all(bytes)?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A temporary file that, once renamed, has the permissions of an ordinary new file.
fn temporary_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
