//! Which rows of the weights can be bound at once.

use std::ops::Range;

use super::Engine;
use crate::Error;
use crate::matmul::weights::{Extent, Weights, unit_bytes};
use crate::window::window_bytes;

impl Engine {
    pub(super) fn extent<'a>(&self, weights: Weights<'a>) -> Extent<'a> {
        let row_units = self.weight_row() as u64 / if self.vector_weights() { 4 } else { 1 };
        Extent {
            strip_rows: self.strip_rows(),
            n_out: self.problem.n_out,
            row_units,
            index_strip: match weights {
                Weights::Nm(nm) => Some((nm.pattern().v(), nm.words_per_strip as u64)),
                _ => None,
            },
            blocks: match weights {
                Weights::Bsr(bsr) => Some((&bsr.host_indptr, row_units * bsr.block().0 as u64)),
                _ => None,
            },
        }
    }

    /// Ranges of strips whose weights can be bound at once.
    pub(super) fn slices(&self, extent: &Extent<'_>) -> Result<Vec<Range<usize>>, Error> {
        let limit = window_bytes(&self.gpu);
        let unit = unit_bytes(self.problem.types.w, self.vector_weights());
        // Rows of a transposed y that is written at once, and of its residual.
        let y_row = match (&self.finish, self.problem.transposed.y) {
            (None, true) => 4 * self.problem.tokens as u64,
            _ => 0,
        };
        let fits = |strips: &Range<usize>| {
            let values = extent.values(strips);
            let indices = extent.indices(strips).unwrap_or(0..0);
            (values.end - values.start) * unit <= limit
                && (indices.end - indices.start) * 4 <= limit
                && extent.rows(strips).len() as u64 * y_row <= limit
        };
        let strips = self.problem.n_out.div_ceil(extent.strip_rows);
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
                return Err(Error::Unavailable {
                    what: format!(
                        "{}: one strip of {} rows of w",
                        self.problem.operation, extent.strip_rows
                    ),
                    needs: "max_storage_buffer_binding_size to hold its weights".to_owned(),
                    has: self
                        .gpu
                        .limits()
                        .max_storage_buffer_binding_size
                        .to_string(),
                    hint: "request a larger binding limit in the DeviceDescriptor, or split k"
                        .to_owned(),
                });
            }
            slices.push(begin..most);
            begin = most;
        }
        Ok(slices)
    }
}
