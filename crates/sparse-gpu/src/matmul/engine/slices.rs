//! Which weights can be bound at once.

use std::ops::Range;

use sparse_shaders::Walk;

use super::record::Recording;
use super::schedule::too_long_strip;
use crate::Error;
use crate::bsr::GpuBsr;
use crate::matmul::weights::Weights;
use crate::window::{longest_that_fits, window_bytes};

/// What one dispatch computes: these strips, over these parts of k.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) strips: Range<usize>,
    pub(super) parts: Range<usize>,
    /// Of the values, in units of the walk, and of the indices.
    pub(super) values: Range<u64>,
    pub(super) indices: Range<u64>,
    /// All strips, so that they may be taken in any order.
    pub(super) whole: bool,
}

impl Recording<'_> {
    /// Ranges of strips and parts whose weights can be bound at once.
    pub(super) fn slices(&self) -> Result<Vec<Slice>, Error> {
        let (strips, parts) = (0..self.extent.strips(), self.schedule.parts);
        match self.operands.weights {
            Weights::Bsr(bsr) if self.schedule.runs_apart() => Ok(self.runs_of_blocks(bsr)),
            _ if parts.apart() => Ok((0..parts.count)
                .map(|part| self.slice(strips.clone(), part..part + 1))
                .collect()),
            _ => self.longest_slices(),
        }
    }

    /// A slice for each run of blocks that has lists of its own, which is a part.
    fn runs_of_blocks(&self, bsr: &GpuBsr) -> Vec<Slice> {
        let runs = bsr.by_column.iter().enumerate();
        let slices = runs.map(|(part, lists)| {
            let blocks = lists.blocks.start as u64..lists.blocks.end as u64;
            Slice {
                strips: 0..self.extent.strips(),
                parts: part..part + 1,
                values: self.extent.values_of_blocks(&blocks),
                indices: 0..lists.blocks.len() as u64,
                whole: true,
            }
        });
        slices.collect()
    }

    /// As few slices of all parts as bindings allow.
    fn longest_slices(&self) -> Result<Vec<Slice>, Error> {
        let (strips, parts) = (self.extent.strips(), 0..self.schedule.parts.count);
        let mut slices = Vec::new();
        let mut begin = 0;
        while begin < strips {
            let first = |count: usize| self.slice(begin..begin + count, parts.clone());
            let longest = longest_that_fits(strips - begin, |count| self.fits(&first(count)));
            if longest == 0 {
                return Err(self.too_long_strip(&first(1)));
            }
            slices.push(first(longest));
            begin += longest;
        }
        Ok(slices)
    }

    /// These strips over these parts, whether or not they can be bound.
    fn slice(&self, strips: Range<usize>, parts: Range<usize>) -> Slice {
        let (schedule, extent) = (self.schedule, &self.extent);
        let (values, indices) = match schedule.walk {
            // Every strip reads all rows of w.
            Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {
                let k = schedule.k_of(&parts);
                (extent.values_of_rows(&k), extent.indices_of_rows(&k))
            }
            // The blocks of a block column lie anywhere, its list with those of its neighbours.
            Walk::BsrTransposed { .. } => {
                let all = 0..extent.lists();
                (extent.values(&all), extent.indices(&strips))
            }
            _ => (extent.values(&strips), extent.indices(&strips)),
        };
        Slice {
            values,
            indices,
            whole: strips == (0..extent.strips()),
            strips,
            parts,
        }
    }

    /// Whether weights and y of a slice can be bound, and its weights be expanded, at once.
    fn fits(&self, slice: &Slice) -> bool {
        let limit = window_bytes(self.gpu);
        self.weights_bytes(slice) <= limit
            && self.y_bytes(slice) <= limit
            && self.expands_at_once(self.extent.rows(&slice.strips).len())
    }

    /// Bytes of the values of a slice, or of its indices, whichever are more.
    fn weights_bytes(&self, slice: &Slice) -> u64 {
        let unit = self.schedule.weight_unit() * self.schedule.problem.types.w.bytes();
        let values = (slice.values.end - slice.values.start) * unit as u64;
        let indices = (slice.indices.end - slice.indices.start) * self.extent.index_bytes;
        values.max(indices)
    }

    /// Bytes, at most, that have to be bound of a y that is written at once, and of its residual.
    fn y_bytes(&self, slice: &Slice) -> u64 {
        if self.passes.finish.is_some() {
            return 0;
        }
        let rows = self.extent.rows(&slice.strips).len();
        self.schedule.y_bytes(rows)
    }

    /// Whether so many rows of y are multiplied by weights that are expanded at once; a transposed w always is, its plan saw to that.
    fn expands_at_once(&self, rows: usize) -> bool {
        let expansion = self.passes.expansion.as_ref();
        self.schedule.problem.transposed.w
            || expansion.is_none_or(|expansion| expansion.holds(self.gpu, rows))
    }

    /// Of blocks: the plan has seen to all other strips, and to y.
    fn too_long_strip(&self, strip: &Slice) -> Error {
        let rows = self.extent.rows(&strip.strips).len();
        let bytes = self.weights_bytes(strip);
        too_long_strip(
            self.gpu,
            &self.schedule.problem,
            rows,
            bytes,
            "split k, or use blocks of fewer rows",
        )
    }
}
