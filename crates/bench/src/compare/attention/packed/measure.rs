//! Runs one row: once for the results, which are checked, then by turns for the times.

use sparse_core::{BlockMask, Element};
use sparse_gpu::Policy;

use super::super::measure::CHECK;
use super::super::quality::Quality;
use super::super::verdict::Verdict;
use super::super::words::{joined, selection};
use super::contenders::Contenders;
use super::inputs::PackedInputs;
use super::work::Sums;
use crate::cli::Operation;
use crate::compare::bench::{BaselineWords, Bench, Recorder, RowWords, is_tuned};
use crate::device::GpuPackedQkv;
use crate::presets::PackedCase;
use crate::progress::Progress;
use crate::record::Record;

/// A measured row.
#[derive(Clone, Debug)]
pub struct PackedResult {
    /// The row: score, select and attend as the policy decides, against dense attention over the same sequences.
    pub record: Record,
    /// What became of each item.
    pub items: Vec<PackedItem>,
}

/// What became of one item.
#[derive(Clone, Debug)]
pub struct PackedItem {
    /// Whether blocks were selected by scores; else all that can be reached were attended to.
    pub is_scored: bool,
    /// The blocks attended to, `[1, heads, q_blocks, k_blocks]`.
    pub mask: BlockMask,
    /// The blocks that dense attention visits.
    pub reachable: BlockMask,
    /// What was kept, against dense attention on the same device.
    pub quality: Quality,
}

/// Runs `case` on planted inputs of its storage type.
///
/// # Errors
/// Where planning or the device fails.
pub fn measure_packed<T: Element>(
    bench: &Bench,
    case: &PackedCase,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<PackedResult> {
    let inputs = PackedInputs::<T>::planted(case)?;
    let qkv = inputs.upload(&bench.gpu)?;
    let policy = case.policy(&bench.gpu);
    measure_uploaded(bench, case, policy, (&inputs, &qkv), progress)
}

fn measure_uploaded<T: Element>(
    bench: &Bench,
    case: &PackedCase,
    policy: Policy,
    (inputs, qkv): (&PackedInputs<T>, &GpuPackedQkv),
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<PackedResult> {
    let gpu = &bench.gpu;
    let options = case.options();
    let layouts = options.packed_layouts(&inputs.shape)?;
    progress(Progress::Step("compile and run once"));
    let mut runs = Contenders::plan(gpu, qkv, &case.problem(policy)?)?;
    runs.poison(bench)?;
    bench.run_once(&mut |pass| runs.record(pass))?;
    progress(Progress::Step(CHECK));
    let checked = runs.read(gpu)?;
    let (mut items, mut verdicts) = (Vec::new(), Vec::new());
    for run in runs.items(gpu, inputs, &layouts, &checked)? {
        let (item, verdict) = run.check(bench)?;
        items.push(item);
        verdicts.push(verdict);
    }

    // What the timed runs leave is seen then.
    runs.poison(bench)?;
    let Contenders { dense, own } = &mut runs;
    let recorders: &mut [Recorder<'_>] =
        &mut [&mut |pass| dense.record(pass), &mut |pass| own.record(pass)];
    let after_round = &mut |done, all| progress(Progress::Rounds(done, all));
    let times = bench.time(recorders, after_round)?;
    let differing = checked.changed(&runs.read(gpu)?);
    let verdict = Verdict::of_items(verdicts).and(differing);
    let sums = Sums::of::<T>(&items, &layouts)?;
    let (own, dense) = (&runs.own, runs.dense.explain());
    let steps = own.steps();
    let [kernel, tile] = joined(&steps);
    let words = RowWords {
        operation: Operation::VarlenXattention,
        shape: case.shape(),
        dtype: T::DTYPE,
        pattern: format!("{}{}", selection(&options), decided(policy, &items)),
        density: sums.density,
        ideal_speedup: sums.ideal_speedup,
        kernel,
        tile,
        tier: own.explain().tier.to_string(),
        max_err_over_bound: verdict.max_err_over_bound,
        faults: verdict.faults,
        peer: None,
        is_tuned: is_tuned(steps.into_iter().chain([dense])),
        baseline: Some(BaselineWords::of(dense)),
        work: Some(sums.work),
    };
    Ok(PackedResult {
        record: bench.record(words, &times)?,
        items,
    })
}

/// What a pattern ends with where items are decided one by one.
fn decided(policy: Policy, items: &[PackedItem]) -> String {
    let scored = items.iter().filter(|item| item.is_scored).count();
    match policy {
        Policy::Auto(_) => format!(" auto: {scored} of {} items scored", items.len()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use half::f16;
    use sparse_core::DType;
    use sparse_core::attention::MaskHeads;

    use super::super::fixture::{case, only_long_items};
    use super::*;
    use crate::commands::open;
    use crate::compare::attention::fixture::overwriting;

    fn bench() -> Bench {
        let mut bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        bench.ceilings = Some(crate::fixture::ceilings());
        bench
    }

    fn measured<T: Element>(bench: &Bench, case: &PackedCase, policy: Policy) -> PackedResult {
        let inputs = PackedInputs::<T>::planted(case).unwrap();
        let qkv = inputs.upload(&bench.gpu).unwrap();
        measure_uploaded(bench, case, policy, (&inputs, &qkv), &mut |_| ()).unwrap()
    }

    /// Pairs of a query and a key, pair by pair: those in blocks of the masks, those of all items, and those of items that are scored.
    fn pairs(case: &PackedCase, items: &[PackedItem]) -> [f64; 3] {
        let mut counts = [0; 3];
        for (item, &(queries, keys)) in items.iter().zip(&case.lengths) {
            for head in 0..case.heads {
                for query in 0..queries {
                    for key in 0..=query + keys - queries {
                        let block = [query, key].map(|token| token / case.block);
                        let is_kept = item.mask.get(0, head, block[0], block[1]);
                        counts[0] += usize::from(is_kept);
                        counts[1] += 1;
                        counts[2] += usize::from(item.is_scored);
                    }
                }
            }
        }
        counts.map(|count| count as f64)
    }

    #[test]
    fn rows_are_right_and_gain_at_best_what_their_pairs_and_scores_leave() {
        let bench = bench();
        let auto = only_long_items();
        for (policy, mask_heads, is_scored) in [
            (Policy::Sparse, MaskHeads::Query, [true; 3]),
            (Policy::Sparse, MaskHeads::Key, [true; 3]),
            (auto, MaskHeads::Query, [true, false, true]),
            (auto, MaskHeads::Key, [true, false, true]),
        ] {
            let case = PackedCase {
                mask_heads,
                ..case()
            };
            let result = measured::<f32>(&bench, &case, policy);
            let row = &result.record;
            assert!(row.is_right() && row.faults.is_empty(), "{row:?}");
            assert!(row.max_err_over_bound > 0.0, "nothing was checked");
            let scored: Vec<bool> = result.items.iter().map(|item| item.is_scored).collect();
            assert_eq!(scored, is_scored);
            // Of the short item all that can be reached is selected, too.
            let keeps_all = |item: &PackedItem| item.mask == item.reachable;
            let keep_all: Vec<bool> = result.items.iter().map(keeps_all).collect();
            assert_eq!(keep_all, [false, true, false]);
            let by = if mask_heads == MaskHeads::Key {
                " by key head"
            } else {
                ""
            };
            let auto = if policy == Policy::Sparse {
                ""
            } else {
                " auto: 2 of 3 items scored"
            };
            let pattern = format!("block:16 causal threshold 0.5{by}{auto}");
            assert_eq!(row.pattern, pattern);

            let [kept, all, scored] = pairs(&case, &result.items);
            let score = scored / all / 8.0;
            let ideal = row.ideal_speedup.unwrap();
            assert!(
                (ideal * (kept / all + score) - 1.0).abs() < 1e-12,
                "{ideal}"
            );
            let work = row.roofline.unwrap().work;
            let fmas = 2.0 * 16.0 * (kept + score * all);
            assert!((work.fmas / fmas - 1.0).abs() < 1e-12, "{work:?}");
            let blocks = |of: fn(&PackedItem) -> usize| -> f64 {
                result.items.iter().map(|item| of(item) as f64).sum()
            };
            let density = blocks(|item| item.mask.count()) / blocks(|item| item.reachable.count());
            assert_eq!(row.density, density);
            let sizes = "items=3 q_tokens=170 k_tokens=220 longest=130 heads=4 kv_heads=2 head_dim=16 block=16 stride=4";
            assert_eq!(row.shape.to_string(), sizes);
            let dense = row.dense_kernel.as_ref().unwrap();
            assert!(!dense.contains("mask"), "{dense}");
            assert!(row.kernel.contains("mask"), "{}", row.kernel);
        }
    }

    /// Where no item is scored there is no mask, and dense attention runs twice.
    #[test]
    fn items_that_are_all_dense_are_dense_attention() {
        let bench = bench();
        let case = PackedCase {
            lengths: vec![(20, 20), (9, 9)],
            dtype: DType::F16,
            ..case()
        };
        let result = measured::<f16>(&bench, &case, only_long_items());
        let row = &result.record;
        assert!(row.is_right() && row.faults.is_empty(), "{row:?}");
        assert!(row.pattern.ends_with(" auto: 0 of 2 items scored"));
        assert_eq!((row.density, row.ideal_speedup), (1.0, None));
        assert_eq!(row.dense_kernel.as_ref(), Some(&row.kernel));
    }

    #[test]
    fn a_result_that_the_timed_runs_leave_otherwise_makes_the_row_wrong() {
        let bench = bench();
        let case = case();
        let inputs = PackedInputs::<f32>::planted(&case).unwrap();
        let qkv = inputs.upload(&bench.gpu).unwrap();
        let overwrite = &mut overwriting(&bench, &qkv.v);
        let wrong = measure_uploaded(&bench, &case, Policy::Sparse, (&inputs, &qkv), overwrite);
        let wrong = wrong.unwrap().record;
        assert!(!wrong.is_right(), "{wrong:?}");
        let [fault] = &wrong.faults[..] else {
            panic!("{:?}", wrong.faults);
        };
        assert!(fault.contains("left another result"), "{fault}");
    }
}
