//! Activations as k-major panels in scratch memory.

use std::ops::Range;

use super::record::{Chunk, Recording};
use super::schedule::Schedule;
use crate::counting::word;
use crate::matmul::params::PackParams;
use crate::packing::{Packer, Packing, Unpacked};
use crate::window::{fit_in, window_bytes};
use crate::{Error, Gpu};

/// The kernel that packs, and where to.
#[derive(Debug)]
pub(super) struct Pack {
    packer: Packer,
    pub(super) packed: wgpu::Buffer,
}

impl Pack {
    pub(super) async fn plan(gpu: &Gpu, schedule: &Schedule) -> Result<Self, Error> {
        let problem = &schedule.problem;
        let panel = schedule.kernel.panel();
        let transposed = problem.transposed.x;
        let packing = Packing {
            input: problem.types.x,
            packed: schedule.packed,
            row: if transposed {
                problem.tokens
            } else {
                problem.k_in
            },
            transposed,
            panel,
        };
        let slots = schedule.chunk_tokens.next_multiple_of(panel) as u64;
        let packed = gpu.allocate(
            "packed activations",
            slots * schedule.packed_rows as u64 * schedule.packed.bytes() as u64,
            wgpu::BufferUsages::STORAGE,
        )?;
        Ok(Self {
            packer: Packer::new(gpu, packing).await?,
            packed,
        })
    }
}

impl Recording<'_> {
    /// Packs the tokens of `chunk`, in as many dispatches as it takes to bind x.
    pub(super) fn pack(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        chunk: &Chunk,
    ) -> Result<(), Error> {
        let Some(pack) = &self.passes.pack else {
            return Ok(());
        };
        let schedule = self.schedule;
        if schedule.packed_rows == 0 {
            return Ok(());
        }
        // Rows of tokens are bound together; of a transposed x as many rows of k as fit.
        let k_at_once = if schedule.problem.transposed.x {
            self.k_at_once(pack, chunk)
        } else {
            schedule.packed_rows
        };
        for begin in (0..schedule.packed_rows).step_by(k_at_once) {
            let k = begin..(begin + k_at_once).min(schedule.packed_rows);
            self.pack_rows(pass, pack, chunk, &k)?;
        }
        Ok(())
    }

    /// Rows of a transposed x that are bound at once: whole tiles of k, or as many as fit where those are fewer. A tile is written whole, so that
    /// behind its `k` it leaves what it did not find, and the dispatch after it puts that right.
    fn k_at_once(&self, pack: &Pack, chunk: &Chunk) -> usize {
        let problem = &self.schedule.problem;
        let bytes = |tokens: usize| (tokens * problem.types.x.bytes()) as u64;
        // Of the last row no more than the tokens of the chunk, which is what the plan has room for in any case.
        let rest = window_bytes(self.gpu).saturating_sub(bytes(chunk.tokens.len()));
        let rows = fit_in(rest, bytes(problem.tokens)).saturating_add(1);
        let tile_k = pack.packer.tile_k;
        if rows < tile_k {
            rows
        } else {
            rows / tile_k * tile_k
        }
    }

    /// Packs rows `k` of the panels of `chunk`.
    fn pack_rows(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        pack: &Pack,
        chunk: &Chunk,
        k: &Range<usize>,
    ) -> Result<(), Error> {
        let (schedule, tokens) = (self.schedule, &chunk.tokens);
        let problem = &schedule.problem;
        let (elements, stride) = if problem.transposed.x {
            let (k_in, stride) = (problem.k_in, problem.tokens);
            let rows = k.start.min(k_in)..k.end.min(k_in);
            // The chunk's tokens of each row.
            let elements = if rows.is_empty() {
                0..0
            } else {
                rows.start * stride + tokens.start..(rows.end - 1) * stride + tokens.end
            };
            (elements, stride)
        } else {
            let stride = problem.k_in;
            (tokens.start * stride..tokens.end * stride, stride)
        };
        let params = PackParams {
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            k_in: word(problem.k_in),
            x_stride: word(stride),
            packed_rows: word(schedule.packed_rows),
            ..PackParams::default()
        };
        let unpacked = Unpacked {
            x: self.operands.x,
            base: chunk.item * problem.tokens * problem.k_in,
            elements,
        };
        pack.packer
            .record(self.gpu, pass, &unpacked, &pack.packed, k, params)
    }
}
