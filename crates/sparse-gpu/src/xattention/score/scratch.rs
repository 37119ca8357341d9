//! What the kernels of scoring leave for each other.

use crate::{Error, Gpu};

/// Bytes that a problem needs for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScratchBytes {
    pub(crate) queries: u64,
    /// None where keys are read where they are.
    pub(crate) keys: Option<u64>,
    pub(crate) maxima: u64,
}

/// Packed queries, packed keys, and a maximum and a sum for each query group and key block. Problems that are scored one after the other share it.
#[derive(Debug)]
pub(crate) struct ScoreScratch {
    pub(crate) queries: wgpu::Buffer,
    pub(crate) keys: Option<wgpu::Buffer>,
    pub(crate) maxima: wgpu::Buffer,
}

impl ScratchBytes {
    /// Enough for either.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            queries: self.queries.max(other.queries),
            keys: self.keys.max(other.keys),
            maxima: self.maxima.max(other.maxima),
        }
    }

    pub(crate) fn allocate(&self, gpu: &Gpu) -> Result<ScoreScratch, Error> {
        let buffer = |what, bytes| gpu.allocate(what, bytes, wgpu::BufferUsages::STORAGE);
        let keys = self.keys.map(|bytes| buffer("packed keys", bytes));
        Ok(ScoreScratch {
            queries: buffer("packed queries", self.queries)?,
            keys: keys.transpose()?,
            maxima: buffer("maxima and sums", self.maxima)?,
        })
    }
}

impl ScoreScratch {
    pub(crate) fn bytes(&self) -> u64 {
        let keys = self.keys.as_ref().map_or(0, wgpu::Buffer::size);
        self.queries.size() + keys + self.maxima.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_each_is_enough_for_both() {
        let bytes = |queries, keys, maxima| ScratchBytes {
            queries,
            keys,
            maxima,
        };
        let both = bytes(1, None, 9).max(bytes(5, Some(2), 3));
        assert_eq!(both, bytes(5, Some(2), 9));
        assert_eq!(bytes(0, Some(7), 0).max(bytes(0, None, 0)).keys, Some(7));
    }
}
