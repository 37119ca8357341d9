//! Which weights can be bound at once.

use std::ops::Range;

use sparse_shaders::Walk;

use super::Engine;
use crate::Error;
use crate::bsr::BsrLists;
use crate::matmul::weights::{Extent, Weights};
use crate::window::{too_large_to_bind, window_bytes};

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

impl Engine {
    pub(super) fn extent<'a>(&self, weights: Weights<'a>) -> Extent<'a> {
        let row_units = (self.weight_row() / self.weight_unit()) as u64;
        let lists = weights.lists(self.problem.transposed.w, 0);
        let blocks = match weights {
            Weights::Bsr(bsr) => (bsr.block_stride() / 4) as u64,
            _ => 0,
        };
        Extent {
            strip_rows: self.strip_rows(),
            n_out: self.problem.n_out,
            row_units,
            index_strip: match weights {
                Weights::Nm(nm) => Some((nm.pattern().v(), nm.words_per_strip as u64)),
                _ => None,
            },
            blocks: lists.map(|lists| (lists.host_indptr.as_slice(), blocks)),
        }
    }

    /// Ranges of strips and parts whose weights can be bound at once.
    pub(super) fn slices(
        &self,
        weights: Weights<'_>,
        extent: &Extent<'_>,
    ) -> Result<Vec<Slice>, Error> {
        let strips = self.problem.n_out.div_ceil(extent.strip_rows);
        let limit = window_bytes(&self.gpu);
        let unit = (self.weight_unit() * self.problem.types.w.bytes()) as u64;
        let slice = |strips: Range<usize>, whole: bool| {
            let parts = 0..self.parts;
            match self.walk {
                // Every strip reads all rows of w.
                Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {
                    let (values, indices) = extent.rows_of_w(&self.k_of(&parts));
                    Slice {
                        strips,
                        parts,
                        values,
                        indices,
                        whole,
                    }
                }
                // The blocks of a block column lie anywhere, its list with those of its neighbours.
                Walk::BsrTransposed { .. } => Slice {
                    values: extent.values(&(0..extent.lists())),
                    indices: extent.indices(&strips),
                    strips,
                    parts,
                    whole,
                },
                _ => Slice {
                    values: extent.values(&strips),
                    indices: extent.indices(&strips),
                    strips,
                    parts,
                    whole,
                },
            }
        };
        if let (true, Weights::Bsr(bsr), Some((_, units))) =
            (self.runs_apart(), weights, extent.blocks)
        {
            let run = |(part, lists): (usize, &BsrLists)| Slice {
                strips: 0..strips,
                parts: part..part + 1,
                values: lists.blocks.start as u64 * units..lists.blocks.end as u64 * units,
                indices: 0..lists.blocks.len() as u64,
                whole: true,
            };
            return Ok(bsr.by_column.iter().enumerate().map(run).collect());
        }
        if self.parts_apart {
            let all = slice(0..strips, true);
            let part = |part: usize| {
                let parts = part..part + 1;
                let (values, indices) = extent.rows_of_w(&self.k_of(&parts));
                Slice {
                    parts,
                    values,
                    indices,
                    ..all.clone()
                }
            };
            return Ok((0..self.parts).map(part).collect());
        }
        // Rows of a transposed y that is written at once, and of its residual.
        let y_row = match (&self.finish, self.problem.transposed.y) {
            (None, true) => 4 * self.problem.tokens as u64,
            _ => 0,
        };
        let index_bytes = extent.index_bytes(self.problem.transposed.w);
        let weights_bytes = |strips: &Range<usize>| {
            let slice = slice(strips.clone(), true);
            let values = (slice.values.end - slice.values.start) * unit;
            values.max((slice.indices.end - slice.indices.start) * index_bytes)
        };
        let fits = |strips: &Range<usize>| {
            weights_bytes(strips) <= limit
                && extent.rows(strips).len() as u64 * y_row <= limit
                && self.expands_at_once(extent.rows(strips).len())
        };
        let mut slices = Vec::new();
        let mut begin = 0;
        while begin < strips {
            // Whatever fits, fewer strips fit too: the longest range is found by halving.
            let (mut most, mut too_many) = (begin, strips + 1);
            while too_many - most > 1 {
                let middle = most + (too_many - most) / 2;
                if fits(&(begin..middle)) {
                    most = middle;
                } else {
                    too_many = middle;
                }
            }
            if most == begin {
                let one = begin..begin + 1;
                let y_bytes = extent.rows(&one).len() as u64 * y_row;
                return Err(self.too_large(extent, weights_bytes(&one).max(y_bytes)));
            }
            slices.push(slice(begin..most, begin == 0 && most == strips));
            begin = most;
        }
        Ok(slices)
    }

    /// Whether so many rows of y are multiplied by weights that are expanded at once; a transposed w always is, its plan saw to that.
    fn expands_at_once(&self, rows: usize) -> bool {
        self.problem.transposed.w
            || self
                .expansion
                .as_ref()
                .is_none_or(|expansion| expansion.holds(&self.gpu, rows))
    }

    fn too_large(&self, extent: &Extent<'_>, bytes: u64) -> Error {
        let (operation, rows) = (self.problem.operation, extent.strip_rows);
        let what = format!("{operation}: one strip of {rows} rows of w");
        too_large_to_bind(&self.gpu, what, bytes, "split k")
    }
}
