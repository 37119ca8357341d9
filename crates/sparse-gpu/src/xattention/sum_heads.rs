//! Scores that a mask shared by query heads is selected from: sums over the heads of a group.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::attention::MaskHeads;
use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::XAttentionSumHeadsKernel;

use super::params::SumHeadsParams;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::kernel::CompiledKernel;
use crate::window::Window;
use crate::{Error, Gpu, GpuTensor};

/// Planned sums. The memory that they are left in belongs to whoever records them.
#[derive(Debug)]
pub(crate) struct HeadSums {
    gpu: Gpu,
    layout: XAttentionLayout,
    kernel: Arc<CompiledKernel>,
    /// Per query head of an item.
    is_sparse: wgpu::Buffer,
    slices: Vec<Slice>,
}

/// What one dispatch adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slice {
    /// Numbered through the batch.
    mask_heads: Range<usize>,
    /// Query heads of each group.
    members: Range<usize>,
    /// Scores of each head.
    elements: Range<usize>,
}

impl HeadSums {
    /// At most `bound` scores are bound at once. None where each head of the mask has one query head.
    pub(crate) async fn plan(
        gpu: &Gpu,
        layout: &XAttentionLayout,
        bound: usize,
    ) -> Result<Option<Self>, Error> {
        let (shape, options) = (layout.shape(), layout.options());
        let group = options.mask_heads.group_size(&shape);
        let [batch, q_heads, rows, blocks] = layout.score_shape();
        if options.mask_heads == MaskHeads::Query || group == 1 {
            return Ok(None);
        }
        let sparse = (0..q_heads).map(|head| u32::from(options.is_sparse(head)));
        let sparse: Vec<u32> = sparse.collect();
        let mask_heads = q_heads / group;
        Ok(Some(Self {
            gpu: gpu.clone(),
            layout: layout.clone(),
            kernel: gpu.compile(&XAttentionSumHeadsKernel).await?,
            is_sparse: gpu.upload_words("sparse heads", &sparse)?,
            slices: slices(
                batch * mask_heads,
                [group, gpu.longest_loop()],
                rows * blocks,
                bound,
            ),
        }))
    }

    /// `[batch, mask heads, q_blocks, k_blocks]` of the scores.
    pub(crate) fn shape(&self) -> [usize; 4] {
        let [batch, q_heads, rows, blocks] = self.layout.score_shape();
        let group = self.layout.group_of_mask_head(0).len();
        [batch, q_heads / group, rows, blocks]
    }

    pub(crate) fn kernel_name(&self) -> &str {
        self.kernel.name()
    }

    pub(crate) fn constant_bytes(&self) -> u64 {
        self.is_sparse.size()
    }

    /// Records the sums of `scores`, which have been checked, into `sums` of f32 [`HeadSums::shape`].
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        sums: &GpuTensor,
    ) -> Result<(), Error> {
        let [_, q_heads, rows, blocks] = self.layout.score_shape();
        let head_elements = rows * blocks;
        let group_size = self.layout.group_of_mask_head(0).len();
        for slice in &self.slices {
            let (heads, members, elements) = (&slice.mask_heads, &slice.members, &slice.elements);
            let member = |head: usize, member: usize| head * group_size + member;
            let of_groups =
                member(heads.start, members.start)..member(heads.end - 1, members.end - 1) + 1;
            let from = self.window(scores, &of_groups, elements);
            let to = self.window(sums, heads, elements);
            let count = heads.len() * elements.len();
            let params = SumHeadsParams {
                first_mask_head: word(heads.start),
                mask_heads: word(heads.len()),
                first_element: word(elements.start),
                elements: word(elements.len()),
                head_elements: word(head_elements),
                group_size: word(group_size),
                first_member: word(members.start),
                member_end: word(members.end),
                q_heads: word(q_heads),
                scores_first: from.first,
                sums_first: to.first,
                ..SumHeadsParams::default()
            };
            let buffers = [
                ("scores", from.binding()),
                ("is_sparse", self.is_sparse.as_entire_binding()),
                ("sums", to.binding()),
            ];
            let groups = word(count.div_ceil(XAttentionSumHeadsKernel::SUMS));
            let work = (XAttentionSumHeadsKernel::SUMS * members.len()) as u64;
            dispatch(
                &self.gpu,
                pass,
                &self.kernel,
                params,
                &buffers,
                groups,
                work,
            )?;
        }
        Ok(())
    }
}

impl HeadSums {
    /// From the first of `elements` of the first of `heads` to the last of the last.
    fn window<'a>(
        &'a self,
        of: &'a GpuTensor,
        heads: &Range<usize>,
        elements: &Range<usize>,
    ) -> Window<'a> {
        let [.., rows, blocks] = self.layout.score_shape();
        let first = heads.start * rows * blocks + elements.start;
        let end = (heads.end - 1) * rows * blocks + elements.end;
        let range = first as u64..end as u64;
        Window::new(&self.gpu, of.buffer(), of.offset(), 4, range)
    }
}

/// The fewest slices of which each has at most `bound` scores from its first to its last, and at most `longest` of the `group` heads of a sum, which a
/// driver may add up in one loop; those of a sum follow each other in head order.
fn slices(
    mask_heads: usize,
    [group, longest]: [usize; 2],
    head_elements: usize,
    bound: usize,
) -> Vec<Slice> {
    let all = |step: usize, end: usize| {
        let starts = (0..end).step_by(step.max(1));
        starts.map(move |start| start..(start + step.max(1)).min(end))
    };
    if head_elements == 0 {
        return Vec::new();
    }
    let (of_members, of_elements) = (bound / head_elements, bound.min(head_elements));
    let of_groups = (of_members / group).max(1);
    all(of_groups, mask_heads)
        .flat_map(|heads| {
            let elements = all(of_elements, head_elements);
            elements.map(move |elements| (heads.clone(), elements))
        })
        .flat_map(|(mask_heads, elements)| {
            all(of_members.min(group).min(longest), group).map(move |members| Slice {
                mask_heads: mask_heads.clone(),
                members,
                elements: elements.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sparse_core::Tensor;
    use sparse_core::attention::{AttentionShape, HeadKind};
    use sparse_core::xattention::{BlockScores, XAttentionOptions};

    use super::*;
    use crate::GpuOptions;

    /// Every score is added once, to its own sum and behind those of the heads before it, and no slice spans more than is bound.
    #[test]
    fn slices_hold_every_score_once_and_in_order() {
        for (mask_heads, group, head_elements, longest) in [
            (4, 3, 10, 100),
            (1, 8, 7, 3),
            (5, 2, 1, 1),
            (2, 4, 33, 100),
            (3, 9, 2, 4),
        ] {
            for bound in 1..=mask_heads * group * head_elements + 1 {
                let slices = slices(mask_heads, [group, longest], head_elements, bound);
                let mut added = vec![0; mask_heads * head_elements];
                for slice in &slices {
                    assert!(slice.members.len() <= longest, "{slice:?}");
                    let first = slice.mask_heads.start * group + slice.members.start;
                    let last = (slice.mask_heads.end - 1) * group + slice.members.end - 1;
                    let span = (last - first) * head_elements + slice.elements.len();
                    assert!(span <= bound, "{slice:?} of {bound}");
                    for head in slice.mask_heads.clone() {
                        for element in slice.elements.clone() {
                            let added = &mut added[head * head_elements + element];
                            assert_eq!(*added, slice.members.start, "{slice:?}");
                            *added = slice.members.end;
                        }
                    }
                }
                assert!(added.iter().all(|&members| members == group), "{bound}");
            }
        }
        assert_eq!(slices(4, [3, 100], 10, 120).len(), 1);
        assert_eq!(slices(4, [3, 100], 10, 119).len(), 2);
        assert_eq!(slices(4, [3, 100], 0, 100), []);
    }

    /// Whole groups at once, some heads of a group, and parts of a head.
    #[test]
    fn sums_do_not_depend_on_what_is_bound_at_once() {
        let options = GpuOptions {
            adapter: std::env::var("SPARSE_ADAPTER").ok(),
            ..GpuOptions::default()
        };
        let gpu = Gpu::open_blocking(&options).unwrap();
        let shape = AttentionShape::try_new(2, 8, 2, 200, 300, 8).unwrap();
        let kinds = [
            HeadKind::Sparse,
            HeadKind::Dense,
            HeadKind::Sparse,
            HeadKind::Sparse,
        ];
        let options = XAttentionOptions {
            block: 16,
            stride: 4,
            head_kinds: Some(kinds.repeat(2)),
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        let layout = options.layout(shape).unwrap();
        let score_shape = layout.score_shape();
        assert_eq!(score_shape, [2, 8, 13, 19]);
        // Quarters, whose sums are exact.
        let numbers = (0_u16..2 * 8 * 13 * 19).map(|n| f32::from(n * 7 % 97) / 4.0);
        let numbers: Vec<f32> = numbers.collect();
        let exact = numbers.iter().map(|&x| f64::from(x)).collect();
        let exact = BlockScores::try_new(score_shape, exact).unwrap();
        let expected = layout.shared_scores(&exact).unwrap();
        let scores = Tensor::new(score_shape.to_vec(), numbers);
        let scores = gpu.upload(&scores).unwrap();
        for (bound, dispatches) in [(1 << 20, 1), (4 * 13 * 19, 4), (2 * 13 * 19, 8), (100, 48)] {
            let planned = HeadSums::plan(&gpu, &layout, bound);
            let planned = pollster::block_on(planned).unwrap().unwrap();
            assert_eq!(planned.slices.len(), dispatches);
            let nan = vec![f32::NAN; 2 * 2 * 13 * 19];
            let sums = Tensor::new(planned.shape().to_vec(), nan);
            let sums = gpu.upload(&sums).unwrap();
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            planned.record(&mut pass, &scores, &sums).unwrap();
            drop(pass);
            gpu.queue().submit([encoder.finish()]);
            let actual = gpu.read_blocking::<f32>(&sums).unwrap();
            let actual: Vec<f64> = actual.data().iter().map(|&x| f64::from(x)).collect();
            assert_eq!(actual, expected.data(), "{bound}");
        }
    }
}
