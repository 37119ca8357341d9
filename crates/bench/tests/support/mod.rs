//! The binary, and small tensor files for it.

use std::path::PathBuf;

use assert_cmd::Command;
use predicates::str::contains;
use sparse_bench::tensors::{OutTensor, write_tensors};
use tempfile::TempDir;

/// The binary.
pub(crate) fn sparse_bench(line: &str) -> Command {
    let mut command = Command::cargo_bin("sparse-bench").unwrap();
    command.args(line.split_whitespace());
    command
}

/// Runs `line`, expects that it fails and that stderr holds all `parts`.
#[track_caller]
pub(crate) fn refused(line: &str, parts: &[&str]) {
    let mut assert = sparse_bench(line).assert().failure();
    for part in parts {
        assert = assert.stderr(contains(*part));
    }
}

/// A folder with one file `t.safetensors`.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// With these tensors.
    pub(crate) fn with(tensors: &[(&str, OutTensor)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        write_tensors(&folder.file(), tensors).unwrap();
        folder
    }

    /// With these bytes.
    pub(crate) fn with_bytes(bytes: &[u8]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.file(), bytes).unwrap();
        folder
    }

    /// The file.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("t.safetensors")
    }

    /// Any file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of the folder that is not there yet.
    pub(crate) fn out(&self) -> PathBuf {
        self.0.path().join("out.safetensors")
    }
}

/// An f32 tensor of `shape` whose elements all differ.
pub(crate) fn counting(shape: &[usize]) -> OutTensor {
    let count = u16::try_from(shape.iter().product::<usize>()).unwrap();
    let data: Vec<f32> = (0..count).map(|i| f32::from(i) / 16.0 - 3.0).collect();
    OutTensor::new(shape, &data)
}
