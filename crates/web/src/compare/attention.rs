//! Attention over the blocks that XAttention selects, alone or end to end, against dense attention.

use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::{AttentionInputs, PlantedAttention};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BlockGrid, BlockMask, DType};
use sparse_gpu::{BlockAttentionPlan, Error, Gpu, GpuMask, GpuTensor, XAttention, wgpu};
use sparse_measure::check::{self, Checks};
use sparse_measure::{Attended, Ideal, OutputAndLse};

use super::poison;
use crate::bench::{Bench, Measured};
use crate::device::Recorder;
use crate::rounds::{Progress, go_on, interleave};
use crate::rows::{AttentionRow, Scope};

/// Share of the causally reachable blocks that the planted structure needs.
const PLANTED_DENSITY: f64 = 0.15;
const SEED: u64 = 1;

/// q, k and v in GPU memory.
#[derive(Debug)]
struct Qkv([GpuTensor; 3]);

/// Output and log-sum-exp in GPU memory.
#[derive(Debug)]
struct Results {
    out: GpuTensor,
    lse: GpuTensor,
}

impl Results {
    /// Full of NaN.
    fn new(gpu: &Gpu, shape: AttentionShape) -> Result<Self, Error> {
        let shape = shape.q_shape();
        let out = gpu.empty_tensor(&shape, DType::F32)?;
        let lse = gpu.empty_tensor(&shape[..3], DType::F32)?;
        poison(gpu, &out);
        poison(gpu, &lse);
        Ok(Self { out, lse })
    }

    async fn read(&self, gpu: &Gpu) -> Result<OutputAndLse, Error> {
        let (_, out) = gpu.read::<f32>(&self.out).await?.into_parts();
        let (_, lse) = gpu.read::<f32>(&self.lse).await?.into_parts();
        Ok(OutputAndLse { out, lse })
    }
}

fn attend(
    plan: &BlockAttentionPlan,
    pass: &mut wgpu::ComputePass<'_>,
    Qkv([q, k, v]): &Qkv,
    mask: Option<&GpuMask>,
    results: &mut Results,
) -> Result<(), Error> {
    plan.record(pass, q, k, v, mask, &mut results.out, &mut results.lse)
}

/// Measures one row on q, k and v with planted sinks, local windows, stripes and slashes.
///
/// # Errors
/// Where planning or the device fails; [`crate::rounds::Stopped`].
pub async fn measure(
    bench: &Bench,
    row: &AttentionRow,
    watch: &impl AsyncFn(Progress) -> bool,
) -> anyhow::Result<Measured> {
    let (gpu, timer) = (&bench.gpu, &bench.timer);
    go_on(watch, Progress::Step("make queries, keys and values")).await?;
    let (shape, options) = (row.shape()?, row.options());
    let layout = options.layout(shape)?;
    let inputs: AttentionInputs<f32> = PlantedAttention {
        shape,
        density: PLANTED_DENSITY,
        seed: SEED,
    }
    .generate()?;

    go_on(watch, Progress::Step("compile and run once")).await?;
    let AttentionInputs { q, k, v } = &inputs;
    let qkv = Qkv([gpu.upload(q)?, gpu.upload(k)?, gpu.upload(v)?]);
    let problem = XAttention::new(shape, options.clone());
    let dense = gpu.plan(&problem.dense_attention()).await?;
    let sparse = gpu.plan(&problem.attention()).await?;
    let whole = gpu.plan(&problem).await?;
    let selected = whole.mask().zip(whole.scores());
    let (mask, scores) =
        selected.ok_or_else(|| anyhow::anyhow!("the plan of XAttention is not sparse"))?;
    poison(gpu, scores);
    let mut dense_results = Results::new(gpu, shape)?;
    let mut sparse_results = Results::new(gpu, shape)?;
    let mut whole_results = Results::new(gpu, shape)?;
    let run_whole = |pass: &mut wgpu::ComputePass<'_>, results: &mut Results| {
        let Qkv([q, k, v]) = &qkv;
        whole.record(pass, q, k, v, &mut results.out, &mut results.lse)
    };
    let once = &mut |pass: &mut wgpu::ComputePass<'_>| {
        attend(&dense, pass, &qkv, None, &mut dense_results)?;
        run_whole(pass, &mut whole_results)?;
        attend(&sparse, pass, &qkv, Some(mask), &mut sparse_results)
    };
    timer.time(1, once).await?;
    let on_device = gpu.read_mask(mask).await?;
    let (_, scores) = gpu.read::<f32>(scores).await?.into_parts();
    let dense_result = dense_results.read(gpu).await?;
    let own_results = match row.scope {
        Scope::Attend => &sparse_results,
        Scope::Whole => &whole_results,
    };
    let own_result = own_results.read(gpu).await?;

    go_on(watch, Progress::Step("check against the CPU reference")).await?;
    let attention = options.attention();
    let checked = |mask, result| check::attention(&inputs, mask, &attention, result);
    let wrong_rows = check::wrong_mask_rows(&scores, &on_device, &layout)?;
    let checks = Checks {
        dense: Some(checked(None, &dense_result)?),
        sparse: Some(checked(Some(&on_device), &own_result)?),
        policy: None,
        scores: Some(check::scores(&inputs, &layout, &scores)?),
        wrong_mask_rows: Some(wrong_rows),
    };

    let run_dense = &mut |pass: &mut wgpu::ComputePass<'_>| {
        attend(&dense, pass, &qkv, None, &mut dense_results)
    };
    let run_own: Recorder<'_> = &mut |pass| match row.scope {
        Scope::Attend => attend(&sparse, pass, &qkv, Some(mask), &mut sparse_results),
        Scope::Whole => run_whole(pass, &mut whole_results),
    };
    let runs = interleave(timer, &mut [run_dense, run_own], bench.budget, watch).await?;

    let reachable = reachable(shape, &options)?;
    let kept = [&on_device, &reachable]
        .map(|mask| Attended::of(shape, mask, options.block, options.causal));
    let kept = kept[0].share_of(kept[1]);
    let (ideal, explanation) = match row.scope {
        Scope::Attend => (Ideal::Kept, sparse.explain()),
        Scope::Whole => (
            Ideal::Xattention {
                stride: options.stride,
                scored: 1.0,
            },
            whole.explain(),
        ),
    };
    Ok(Measured {
        density: on_device.density_within(&reachable)?,
        ideal_speedup: ideal.speedup(kept),
        kernel: explanation.kernel.clone(),
        tile: explanation.tile.clone(),
        tier: explanation.tier.to_string(),
        peer: None,
        max_err_over_bound: checks.worst(),
        faults: checks.faults(),
        runs,
    })
}

/// The blocks that dense attention visits.
fn reachable(shape: AttentionShape, options: &XAttentionOptions) -> anyhow::Result<BlockMask> {
    Ok(BlockMask::causal(&BlockGrid {
        batch: shape.batch(),
        heads: shape.q_heads(),
        q_len: shape.q_len(),
        k_len: shape.k_len(),
        block: options.block,
    })?)
}
