//! Writing: to a temporary file in the same folder, then renamed, so that no reader sees half a file.

use std::borrow::Cow;
use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

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

/// Checks before any work is done that `out` is no folder, that the folder of the file that is written takes new files, that a file that is there
/// may be written to, and that it is none of `inputs`, by whatever path. A device or a pipe is not opened: one that nobody reads yet would wait.
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
    if is_special(out) {
        return Ok(());
    }
    let target = target(out).map_err(refused)?;
    let folder = folder(&target);
    if !folder.exists() {
        let missing = format!(
            "the folder {} does not exist, create it first",
            folder.display()
        );
        return Err(refused(std::io::Error::new(ErrorKind::NotFound, missing)));
    }
    // The file is gone when it goes out of scope.
    temporary_file(folder, None).map_err(refused)?;
    check_writable(&target).map_err(refused)?;
    let is_input = |input: &&Path| input.canonicalize().is_ok_and(|input| input == target);
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

/// Writes `bytes` to a temporary file in the folder of `path` and renames it. A link is followed, also where nothing is yet; a file that is there
/// hands on its permissions. What exists and is no file, a device or a pipe, is written to as it is.
///
/// # Errors
/// Where the folder is missing or closed, or the disk full; an existing file stays as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TensorFileError> {
    let written = if is_special(path) {
        std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
    } else {
        target(path).and_then(|target| replace(&target, bytes))
    };
    written.map_err(|reason| TensorFileError::Write {
        reason,
        path: path.into(),
    })
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let kept = permissions(path);
    let mut file = temporary_file(folder(path), kept.clone())?;
    file.write_all(bytes)?;
    if let Some(kept) = kept {
        // A new file has no bit that the process masks, which the old one may have.
        file.as_file().set_permissions(kept)?;
    }
    file.persist(path).map(drop).map_err(|e| e.error)
}

/// Renaming asks only the folder: what was closed against writing would be replaced nevertheless.
fn check_writable(target: &Path) -> std::io::Result<()> {
    let Some(found) = permissions(target) else {
        return Ok(());
    };
    if found.readonly() {
        let closed = "the file is read-only; make it writable or choose another file";
        return Err(std::io::Error::new(ErrorKind::PermissionDenied, closed));
    }
    let open = std::fs::OpenOptions::new().write(true).open(target);
    open.map(drop)
}

/// Those of the file that is there.
fn permissions(path: &Path) -> Option<Permissions> {
    std::fs::metadata(path)
        .ok()
        .map(|found| found.permissions())
}

/// Whether both paths are written to one file, by whatever way they lead there, also where it does not exist yet. Devices and pipes take what
/// several write.
pub fn is_same_out(a: &Path, b: &Path) -> bool {
    !is_special(a) && place(a) == place(b)
}

/// The file that is written for `path`, by one name however it is given: where there is none yet, its folder has one.
fn place(path: &Path) -> PathBuf {
    let target = target(path).unwrap_or_else(|_| path.into());
    match (folder(&target).canonicalize(), target.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => target,
    }
}

/// Whether `path` exists and is no file, but a device, a pipe or a folder. Its folder, such as `/dev`, need not take new files.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// Links that follow each other, at most: Linux follows as many.
const MOST_LINKS: usize = 40;

/// The file that is written for `path`: where it is a link, what it leads to, whether that is there or not.
pub(crate) fn target(path: &Path) -> std::io::Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match target.read_link() {
            Ok(next) => target = folder(&target).join(next),
            // No link: a file that is not there yet.
            Err(_) => return Ok(target),
        }
    }
    Err(std::io::Error::other(
        "the link leads through more than 40 others, in a circle perhaps; choose another file",
    ))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A temporary file that, once renamed, has the permissions of an ordinary new file; at most those of `kept`, so that nobody reads meanwhile what they
/// could not read before.
fn temporary_file(folder: &Path, kept: Option<Permissions>) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = kept.map_or(0o666, |kept| kept.mode());
        builder.permissions(Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    drop(kept);
    builder.tempfile_in(folder)
}
