//! What can be wrong with a tensor file. Paths come last.

use std::path::PathBuf;

use sparse_core::ShapeError;

/// A tensor file that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The file cannot be opened or read.
    #[error("cannot read: {reason}: {}", path.display())]
    Read {
        /// The system's reason.
        reason: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write: {reason}: {}", path.display())]
    Write {
        /// The system's reason.
        reason: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The result would replace an operand.
    #[error(
        "cannot write: it is an input of this command, choose another file: {}",
        path.display()
    )]
    ReplacesInput {
        /// The file.
        path: PathBuf,
    },
    /// The file is shorter than the 8 bytes of the header length.
    #[error(
        "no safetensors file: it has {bytes} bytes, the header length alone takes 8: {}",
        path.display()
    )]
    TooShort {
        /// Bytes of the file.
        bytes: u64,
        /// The file.
        path: PathBuf,
    },
    /// The header is longer than the format allows.
    #[error(
        "no safetensors file, or a damaged one: the header claims {header} bytes, the format allows {limit}: {}",
        path.display()
    )]
    HeaderTooLarge {
        /// Bytes that the header claims.
        header: u64,
        /// Bytes that are allowed.
        limit: u64,
        /// The file.
        path: PathBuf,
    },
    /// The header reaches past the end of the file.
    #[error(
        "truncated: the header needs {header} bytes after the first 8, the file has {bytes} in all: {}",
        path.display()
    )]
    HeaderTruncated {
        /// Bytes that the header claims.
        header: u64,
        /// Bytes of the file.
        bytes: u64,
        /// The file.
        path: PathBuf,
    },
    /// The header is not what the format asks for.
    #[error("damaged header: {reason}: {}", path.display())]
    Header {
        /// Which rule is violated.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The data ends early, or there are bytes that belong to no tensor.
    #[error(
        "{}: the header describes {expected} bytes of data, the file has {actual}: {}",
        if actual < expected { "truncated" } else { "damaged" }, path.display()
    )]
    DataLength {
        /// Bytes of data that the header describes.
        expected: u64,
        /// Bytes of data in the file.
        actual: u64,
        /// The file.
        path: PathBuf,
    },
    /// No tensor has the name.
    #[error("there is no tensor {name:?}; {}: {}", hint(near, *count), path.display())]
    UnknownTensor {
        /// The name asked for.
        name: String,
        /// Names that resemble it, best first.
        near: Vec<String>,
        /// Tensors in the file.
        count: usize,
        /// The file.
        path: PathBuf,
    },
    /// The tensor has another rank than the operation needs.
    #[error("tensor {name:?} has shape {shape:?}, but {needs} is needed: {}", path.display())]
    Rank {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The shape that is needed, in words.
        needs: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The storage type is none that the kernels read.
    #[error(
        "tensor {name:?} is stored as {dtype}; possible are F32, F16 and BF16, so convert it first: {}",
        path.display()
    )]
    StorageType {
        /// The tensor.
        name: String,
        /// Its storage type.
        dtype: String,
        /// The file.
        path: PathBuf,
    },
    /// The tensor is larger than the cap.
    #[error(
        "tensor {name:?} has {bytes} bytes, the largest that is read is {limit}: {}",
        path.display()
    )]
    TooLarge {
        /// The tensor.
        name: String,
        /// Its bytes.
        bytes: u64,
        /// The cap.
        limit: u64,
        /// The file.
        path: PathBuf,
    },
    /// An operand has a number that no result can be judged by.
    #[error(
        "tensor {name:?} holds {value} at {at:?}, the first of its numbers that is not finite; operands are finite, so mend the file: {}",
        path.display()
    )]
    NotFinite {
        /// The tensor.
        name: String,
        /// Its indices, slowest dimension first, from 0.
        at: Vec<usize>,
        /// NaN or an infinity.
        value: f64,
        /// The file.
        path: PathBuf,
    },
    /// Shape and data do not agree.
    #[error("tensor {name:?}: {reason}: {}", path.display())]
    Shape {
        /// The tensor.
        name: String,
        /// The rule.
        reason: ShapeError,
        /// The file.
        path: PathBuf,
    },
    /// The tensors to be written violate a rule of the format.
    #[error("cannot form a safetensors file: {reason}: {}", path.display())]
    Form {
        /// Which rule is violated.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

fn hint(near: &[String], count: usize) -> String {
    match (near, count) {
        (_, 0) => "the file holds no tensor at all".into(),
        ([], 1) => "none of its 1 tensor resembles it".into(),
        ([], _) => format!("none of its {count} tensors resembles it"),
        (near, _) => format!("near it are {} ({count} in all)", near.join(", ")),
    }
}
