//! Recording a planned product: pack x, expand and multiply w slice by slice, finish y.

use std::ops::Range;

use super::extent::Extent;
use super::passes::Passes;
use super::schedule::Schedule;
use super::slices::Slice;
use super::{Engine, Operands};
use crate::matmul::weights::Weights;
use crate::{Error, Gpu};

/// What all dispatches of one recording share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recording<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) schedule: &'a Schedule,
    pub(super) passes: &'a Passes,
    pub(super) operands: &'a Operands<'a>,
    pub(super) extent: Extent<'a>,
}

/// One item of a batch, and the tokens of it that are computed at once.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) item: usize,
    pub(super) tokens: Range<usize>,
}

impl Engine {
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
    ) -> Result<(), Error> {
        self.check_operands(operands)?;
        let problem = &self.schedule.problem;
        if problem.tokens == 0 || problem.n_out == 0 {
            return Ok(());
        }
        let recording = Recording {
            gpu: &self.gpu,
            schedule: &self.schedule,
            passes: &self.passes,
            operands,
            extent: Extent::new(&self.schedule, operands.weights),
        };
        let slices = recording.slices()?;
        recording.record(pass, &slices)
    }
}

impl Recording<'_> {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>, slices: &[Slice]) -> Result<(), Error> {
        // A matrix has as many runs of blocks as its values need, the plan knows only how many they may be.
        let parts = if self.schedule.runs_apart() {
            slices.len()
        } else {
            self.schedule.parts.count
        };
        let mut expanded = 0..0;
        for chunk in self.chunks() {
            self.pack(pass, &chunk)?;
            for slice in slices {
                let rows = self.stored_rows(slice);
                if rows != expanded {
                    self.expand(pass, &rows, slice)?;
                    expanded = rows;
                }
                self.multiply(pass, slice, &chunk)?;
            }
            self.finish(pass, &chunk, parts)?;
        }
        Ok(())
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let (problem, at_once) = (&self.schedule.problem, self.schedule.chunk_tokens);
        let items = problem.batch.items().unwrap_or(1);
        (0..items).flat_map(move |item| {
            (0..problem.tokens).step_by(at_once).map(move |begin| {
                let tokens = begin..(begin + at_once).min(problem.tokens);
                Chunk { item, tokens }
            })
        })
    }

    /// The rows of w, as it is stored, that `slice` needs.
    pub(super) fn stored_rows(&self, slice: &Slice) -> Range<usize> {
        if self.schedule.problem.transposed.w {
            self.schedule.k_of(&slice.parts)
        } else {
            self.extent.rows(&slice.strips)
        }
    }

    /// `rows` as dense weights, where the kernel wants those of N:M ones.
    fn expand(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        rows: &Range<usize>,
        slice: &Slice,
    ) -> Result<(), Error> {
        match (&self.passes.expansion, self.operands.weights) {
            (Some(expansion), Weights::Nm(nm)) => {
                expansion.record(self.gpu, pass, nm, rows, slice.indices.clone())
            }
            _ => Ok(()),
        }
    }
}
