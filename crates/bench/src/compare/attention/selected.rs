//! What a plan that selects its blocks left of that: the scores, and the mask that it made of them.

use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::XAttentionLayout;
use sparse_core::{BlockMask, Element, Tensor};
use sparse_gpu::Gpu;
use sparse_measure::check::{self, CheckError, Checks};

use crate::device::PolicyRun;

/// Scores and mask of the last recording that has run.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    /// In [`XAttentionLayout::score_shape`].
    pub(super) scores: Tensor<f32>,
    /// In [`XAttentionLayout::mask_shape`].
    pub(super) mask: BlockMask,
}

impl Selected {
    /// Those of `run`, whichever kernel attended; nothing where its plan scores nothing.
    pub(super) fn read(gpu: &Gpu, run: &PolicyRun) -> Result<Option<Self>, sparse_gpu::Error> {
        let (Some(scores), Some(mask)) = (run.scores(), run.mask()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            scores: gpu.read_blocking(scores)?,
            mask: gpu.read_mask_blocking(mask)?,
        }))
    }

    /// `checks` with those of the scores, against the CPU, and of the mask, against the scores. Attention is checked over whatever mask it had: it alone
    /// would pass, and be fast, over a mask that leaves out what matters.
    pub(super) fn add_to<T: Element>(
        &self,
        checks: Checks,
        inputs: &AttentionInputs<T>,
        layout: &XAttentionLayout,
    ) -> Result<Checks, CheckError> {
        let scores = self.scores.data();
        let wrong_rows = check::wrong_mask_rows(scores, &self.mask, layout)?;
        Ok(Checks {
            scores: Some(check::scores(inputs, layout, scores)?),
            wrong_mask_rows: Some(wrong_rows),
            ..checks
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sparse_core::attention::{AttentionShape, MaskHeads};
    use sparse_core::xattention::XAttentionOptions;
    use sparse_gpu::Policy;

    use super::*;
    use crate::commands::open;
    use crate::compare::attention::planted;
    use crate::compare::bench::Bench;
    use crate::device::GpuQkv;

    #[test]
    fn a_mask_of_the_diagonal_alone_and_a_score_of_another_value_are_wrong() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let shape = AttentionShape::try_new(1, 2, 1, 80, 80, 16).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let qkv = GpuQkv::upload(&bench.gpu, &inputs, shape).unwrap();
        for mask_heads in [MaskHeads::Query, MaskHeads::Key] {
            let options = XAttentionOptions {
                block: 16,
                stride: 4,
                mask_heads,
                ..XAttentionOptions::default()
            };
            let layout = options.layout(shape).unwrap();
            let mut run = PolicyRun::plan(&bench.gpu, &qkv, &options, Policy::Sparse).unwrap();
            bench.run_once(&mut |pass| run.record(pass)).unwrap();
            let right = Selected::read(&bench.gpu, &run).unwrap().unwrap();
            let check = |selected: &Selected| {
                let checks = selected.add_to(Checks::default(), &inputs, &layout);
                checks.unwrap()
            };
            let checks = check(&right);
            assert!(checks.worst() <= 1.0, "{checks:?}");
            assert_eq!(checks.wrong_mask_rows, Some(0));

            let [batch, heads, rows, columns] = right.mask.shape();
            let is_on_diagonal = |_, _, row, column| row == column;
            let diagonal = BlockMask::from_fn(batch, heads, rows, columns, is_on_diagonal);
            let checks = check(&Selected {
                mask: diagonal.unwrap(),
                ..right.clone()
            });
            assert_eq!(checks.worst(), f64::INFINITY);
            assert!(checks.faults()[0].contains("of the mask"), "{checks:?}");

            let mut wrong = right.clone();
            wrong.scores.data_mut()[0] *= 1.5;
            let checks = check(&wrong);
            assert!(checks.worst() > 1.0, "{checks:?}");
            assert!(checks.faults()[0].starts_with("block scores"), "{checks:?}");
        }
    }
}
