//! Dense attention and our own over the same packed sequences, and what they leave.

use sparse_core::xattention::XAttentionLayout;
use sparse_core::{BlockMask, Element, MaskError};
use sparse_gpu::{Error, Gpu, VarlenXAttention, wgpu};
use sparse_measure::OutputAndLse;

use super::check::ItemRun;
use super::inputs::{PackedInputs, results_of_items};
use crate::compare::bench::{Bench, attention_changed};
use crate::device::{GpuPackedQkv, PackedDenseRun, PackedRun};

/// Both, planned.
#[derive(Debug)]
pub(super) struct Contenders {
    pub(super) dense: PackedDenseRun,
    pub(super) own: PackedRun,
}

/// What both left.
#[derive(Clone, Debug)]
pub(super) struct Results {
    dense: OutputAndLse,
    own: OutputAndLse,
}

impl Contenders {
    pub(super) fn plan(
        gpu: &Gpu,
        qkv: &GpuPackedQkv,
        problem: &VarlenXAttention,
    ) -> Result<Self, Error> {
        Ok(Self {
            dense: PackedDenseRun::plan(gpu, qkv, problem)?,
            own: PackedRun::plan(gpu, qkv, problem)?,
        })
    }

    /// Makes what the next runs do not write seen.
    ///
    /// # Errors
    /// Where there is no memory for a mask of all blocks.
    pub(super) fn poison(&self, bench: &Bench) -> Result<(), MaskError> {
        bench.poison_results(self.dense.results());
        bench.poison_results(self.own.results());
        if let Some(mask) = self.own.mask() {
            // Every block, and no bit past them: behind the blocks of a shorter item nobody writes, and such bits would be no mask.
            let [_, heads, q_blocks, k_blocks] = mask.shape();
            let all = BlockMask::dense(1, heads, q_blocks, k_blocks)?;
            let words: &[u8] = bytemuck::cast_slice(all.words());
            // Items that are not scored have their blocks from the beginning.
            for (at, is_scored) in (0..).step_by(words.len().max(1)).zip(self.own.is_scored()) {
                if is_scored {
                    bench.gpu.queue().write_buffer(mask.buffer(), at, words);
                }
            }
        }
        Ok(())
    }

    pub(super) fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        self.dense.record(pass)?;
        self.own.record(pass)
    }

    pub(super) fn read(&self, gpu: &Gpu) -> Result<Results, Error> {
        Ok(Results {
            dense: self.dense.results().read(gpu)?,
            own: self.own.results().read(gpu)?,
        })
    }

    /// `results`, and what the same runs left of the mask, item by item.
    pub(super) fn items<'a, T: Element>(
        &self,
        gpu: &Gpu,
        inputs: &'a PackedInputs<T>,
        layouts: &'a [XAttentionLayout],
        results: &Results,
    ) -> anyhow::Result<Vec<ItemRun<'a, T>>> {
        let of_items = |all| results_of_items(&inputs.shape, all).into_iter();
        let results = of_items(&results.dense).zip(of_items(&results.own));
        let mut masks = self.masks(gpu, inputs, layouts)?.into_iter();
        let items = inputs.items.iter().zip(layouts);
        let items = items.zip(self.own.is_scored()).zip(results);
        Ok(items
            .map(|(((inputs, layout), is_scored), results)| ItemRun {
                inputs,
                layout,
                is_scored,
                selected: masks.next(),
                results: results.into(),
            })
            .collect())
    }

    /// The part of the mask that each item has; none at all where nothing is scored.
    fn masks<T>(
        &self,
        gpu: &Gpu,
        inputs: &PackedInputs<T>,
        layouts: &[XAttentionLayout],
    ) -> anyhow::Result<Vec<BlockMask>> {
        let (Some(mask), Some(layout)) = (self.own.mask(), layouts.first()) else {
            return Ok(Vec::new());
        };
        let mask = gpu.read_mask_blocking(mask)?;
        let (block, heads) = (layout.options().block, layout.options().mask_heads);
        Ok(inputs.shape.unpack_mask(&mask, block, heads)?)
    }
}

impl Results {
    /// What is said where the timed runs left others.
    pub(super) fn changed(&self, timed: &Self) -> Option<String> {
        attention_changed("dense attention", &self.dense, &timed.dense).or(attention_changed(
            "attention over packed sequences",
            &self.own,
            &timed.own,
        ))
    }
}
