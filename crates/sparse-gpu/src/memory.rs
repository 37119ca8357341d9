//! Buffers: allocating them, and writing to them.

use std::sync::atomic::{AtomicU64, Ordering};

use sparse_core::Element;

use crate::{Error, Gpu, GpuTensor};

/// Bytes that uploads leave in staging memory at most, until the device has copied them.
const MOST_STAGED_BYTES: u64 = 64 << 20;

/// Bytes of a piece of an upload.
const PIECE_BYTES: usize = 16 << 20;

/// Bytes written to a queue since the last submission that was made for them.
#[derive(Debug, Default)]
pub(crate) struct Staged(AtomicU64);

impl Staged {
    /// Counts bytes that have been written; whether it is time to submit.
    fn add(&self, bytes: u64) -> bool {
        let sum = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let full = sum >= MOST_STAGED_BYTES;
        if full {
            // What other threads add meanwhile they have written before, and it goes with the same submission.
            self.0.store(0, Ordering::Relaxed);
        }
        full
    }
}

impl Gpu {
    /// A buffer of at least `bytes`, rounded up so that every binding of it is legal, which the host may write.
    pub(crate) fn allocate(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, Error> {
        let size = bytes
            .max(16)
            .checked_next_multiple_of(16)
            .unwrap_or(u64::MAX);
        let most = self.limits().max_buffer_size;
        if size > most {
            return Err(Error::Unavailable {
                what: format!("a {what} of {bytes} bytes"),
                needs: format!("max_buffer_size >= {size}"),
                has: most.to_string(),
                hint: "request a larger limit in the DeviceDescriptor where the adapter has one, or split the operand".to_owned(),
            });
        }
        self.checked(what, size, || {
            let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            // A lost device gives a buffer that is none, and wgpu tells only whoever uses it. To write nothing is a use.
            self.queue().write_buffer(&buffer, 0, &[]);
            Ok(buffer)
        })
    }

    /// A buffer of these words, which are never written again.
    pub(crate) fn constants(
        &self,
        what: &str,
        words: &[u32],
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, Error> {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        let size = bytes.len() as u64;
        self.checked(what, size, || {
            let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: true,
            });
            buffer.get_mapped_range_mut(..)?.copy_from_slice(bytes);
            buffer.unmap();
            Ok(buffer)
        })
    }

    /// What `create` made of `size` bytes, once the device has said that it could. Without asking, its handler of errors would be told, which ends
    /// the program unless the program has set one.
    fn checked<T>(
        &self,
        what: &str,
        size: u64,
        create: impl FnOnce() -> Result<T, wgpu::MapRangeError>,
    ) -> Result<T, Error> {
        let refused = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let exhausted = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let created = create();
        let (exhausted, refused) = (exhausted.pop(), refused.pop());
        let lost = |message| Error::DeviceLost {
            what: what.to_owned(),
            bytes: size,
            message,
        };
        // A native device knows at once. A browser tells later, when the first readback fails; waiting for it is not allowed there.
        #[cfg(not(target_arch = "wasm32"))]
        {
            if pollster::block_on(exhausted).is_some() {
                return Err(Error::OutOfMemory {
                    what: what.to_owned(),
                    bytes: size,
                });
            }
            if let Some(error) = pollster::block_on(refused) {
                return Err(lost(error.to_string()));
            }
        }
        #[cfg(target_arch = "wasm32")]
        drop((exhausted, refused));
        created.map_err(|error| lost(error.to_string()))
    }

    /// Writes `bytes`, of `what`, to a buffer from a byte on that starts a word, padding the last word with zeros.
    pub(crate) fn write(
        &self,
        what: &str,
        (buffer, offset): (&wgpu::Buffer, u64),
        bytes: &[u8],
    ) -> Result<(), Error> {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        for (at, piece) in words.chunks(PIECE_BYTES).enumerate() {
            let at = offset + at as u64 * PIECE_BYTES as u64;
            self.write_piece(what, buffer, at, piece)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        self.write_piece(what, buffer, offset + words.len() as u64, &word)
    }

    /// wgpu copies what is written into staging memory, and frees that when a submission made afterwards has run and the next one is made: a program
    /// that uploads a model before it computes anything would have it twice. An empty submission takes all writes along.
    fn write_piece(
        &self,
        what: &str,
        buffer: &wgpu::Buffer,
        offset: u64,
        piece: &[u8],
    ) -> Result<(), Error> {
        let bytes = piece.len() as u64;
        self.checked(what, bytes, || {
            self.queue().write_buffer(buffer, offset, piece);
            if self.staged().add(bytes) {
                self.queue().submit([]);
            }
            Ok(())
        })
    }

    /// Rows of `row_len` values, each padded with zeros to a multiple of 4 so that kernels load vec4s.
    pub(crate) fn upload_padded<T: Element>(
        &self,
        what: &str,
        values: &[T],
        row_len: usize,
    ) -> Result<wgpu::Buffer, Error> {
        let stride = row_len.next_multiple_of(4);
        if stride == row_len {
            return self.upload_bytes(what, bytemuck::cast_slice(values));
        }
        let mut padded = Vec::with_capacity(values.len() / row_len * stride);
        for row in values.chunks_exact(row_len) {
            padded.extend_from_slice(row);
            padded.resize(padded.len() + stride - row_len, T::ZERO);
        }
        self.upload_bytes(what, bytemuck::cast_slice(&padded))
    }

    pub(crate) fn upload_words(&self, what: &str, words: &[u32]) -> Result<wgpu::Buffer, Error> {
        self.upload_bytes(what, bytemuck::cast_slice(words))
    }

    pub(crate) fn upload_bytes(&self, what: &str, bytes: &[u8]) -> Result<wgpu::Buffer, Error> {
        let buffer = self.allocate(what, bytes.len() as u64, GpuTensor::USAGES)?;
        self.write(what, (&buffer, 0), bytes)?;
        Ok(buffer)
    }
}

/// Rows of `row_len` values without what [`Gpu::upload_padded`] has padded them with.
pub(crate) fn without_padding<T: Element>(padded: &[T], row_len: usize) -> Vec<T> {
    // Of rows of nothing nothing is stored, and `chunks` refuses a length of zero.
    let rows = padded.chunks(row_len.next_multiple_of(4).max(1));
    rows.flat_map(|row| &row[..row_len]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can use up the memory of a device; a buffer that is gone is refused by wgpu in the same place.
    #[test]
    fn what_wgpu_says_of_a_write_is_told_to_the_caller() {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let gpu = Gpu::from_device(device, queue).unwrap();
        let buffer = gpu.allocate("seven bytes", 7, GpuTensor::USAGES).unwrap();
        let write = || gpu.write("seven bytes", (&buffer, 0), &[1; 7]);
        assert_eq!(write(), Ok(()));
        buffer.destroy();
        let error = write().unwrap_err().to_string();
        assert!(error.contains("seven bytes"), "{error}");
        assert!(error.contains("destroyed"), "{error}");
    }

    #[test]
    fn a_submission_is_due_whenever_enough_has_been_written() {
        let (staged, half) = (Staged::default(), MOST_STAGED_BYTES / 2);
        let due = [half - 1, half, 1, half, half, MOST_STAGED_BYTES, 0].map(|n| staged.add(n));
        assert_eq!(due, [false, false, true, false, true, true, false]);
    }
}
