//! Which heads are attended at once, and what rounds their rows.

use std::ops::Range;

use sparse_shaders::ConvertKernel;

use super::slices::HeadBytes;
use crate::error::storage;
use crate::ops::block_attention::{BlockAttention, Convert, OPERATION};
use crate::window::window_bytes;
use crate::{Error, Gpu};

/// Scratch memory for f32 outputs is kept below this where it can; more heads go in slices.
const MOST_SCRATCH_BYTES: u64 = 64 << 20;

impl BlockAttention {
    pub(crate) fn head_bytes(&self, converts: bool) -> HeadBytes {
        let (q_elements, k_elements) = (
            (self.q_len * self.head_dim) as u64,
            (self.k_len * self.head_dim) as u64,
        );
        let out = if converts { 4 } else { self.types.out.bytes() };
        let [_, _, q_blocks, k_blocks] = self.mask_shape();
        let query = [
            q_elements * self.types.q.bytes().max(out) as u64,
            4 * self.q_len as u64,
            4 * (q_blocks * k_blocks.div_ceil(32)) as u64,
        ];
        HeadBytes {
            query: query.into_iter().max().unwrap_or(0),
            key: k_elements * self.types.k.bytes().max(self.types.v.bytes()) as u64,
            heads_per_key_head: self.q_heads / self.kv_heads,
        }
    }

    pub(crate) fn slices(
        &self,
        gpu: &Gpu,
        bytes: &HeadBytes,
        converts: bool,
    ) -> Result<Vec<Range<usize>>, Error> {
        let heads = self.batch * self.q_heads;
        // Rounded slices start at whole words.
        let step = if converts && !self.q_len.is_multiple_of(2) {
            2
        } else {
            1
        };
        let limit = window_bytes(gpu);
        let scratch = if converts {
            limit.min(MOST_SCRATCH_BYTES.max(step as u64 * bytes.query))
        } else {
            limit
        };
        bytes
            .slices(heads, step, scratch)
            .or_else(|| bytes.slices(heads, step, limit))
            .ok_or_else(|| Error::Unavailable {
                what: format!(
                    "{OPERATION} with q_len = {}, k_len = {}, head_dim = {}",
                    self.q_len, self.k_len, self.head_dim
                ),
                needs: format!(
                    "bindings of {} bytes, for {step} head(s)",
                    (step as u64 * bytes.query).max(bytes.key)
                ),
                has: limit.to_string(),
                hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split the sequence and merge \
                       the parts by their lse"
                    .to_owned(),
            })
    }

    pub(crate) async fn plan_convert(
        &self,
        gpu: &Gpu,
        slices: &[Range<usize>],
    ) -> Result<Convert, Error> {
        let kernel = ConvertKernel {
            output: storage(self.types.out),
        };
        let heads = slices.iter().map(Range::len).max().unwrap_or(0);
        let bytes = 4 * (heads * self.q_len * self.head_dim) as u64;
        Ok(Convert {
            kernel: gpu.compile(&kernel).await?,
            sums: gpu.allocate("f32 outputs", bytes, wgpu::BufferUsages::STORAGE)?,
        })
    }
}
