//! One layer, run and timed without a policy and under it.

use sparse_core::Element;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::Policy;
use sparse_measure::check::{CheckedAttention, Checks};

use crate::cli::AttentionArgs;
use crate::compare::attention::{
    AttentionJob, AttentionResult, Contest, Decided, PolicyResult, measure, measure_policy,
};
use crate::compare::bench::Bench;
use crate::progress;
use crate::record::Record;
use crate::tensors::Qkv;

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Under the policy, where there is one that could be measured.
    pub(super) result: AttentionResult,
    /// What the policy did.
    pub(super) decided: Option<Decided>,
    /// Why the policy could not be measured.
    pub(super) policy: anyhow::Result<()>,
}

impl Measured {
    /// A policy that fails takes nothing away of what was measured before it.
    fn of(sparse: AttentionResult, chosen: anyhow::Result<Option<PolicyResult>>) -> Self {
        let (result, decided, policy) = match chosen {
            Ok(None) => (sparse, None, Ok(())),
            Ok(Some(chosen)) => {
                let decided = chosen.decided.clone();
                (under_policy(sparse, chosen), Some(decided), Ok(()))
            }
            Err(error) => {
                let what = "--auto could not be measured, the numbers are those without it";
                (sparse, None, Err(error.context(what)))
            }
        };
        Self {
            result,
            decided,
            policy,
        }
    }
}

/// Runs the layer as `args` ask.
pub(super) fn attend<T: Element>(
    bench: &Bench,
    args: &AttentionArgs,
    options: &XAttentionOptions,
    qkv: &Qkv,
    policy: Option<Policy>,
) -> anyhow::Result<Measured> {
    let inputs = qkv.cast::<T>();
    let job = AttentionJob {
        inputs: &inputs,
        shape: qkv.shape,
        options,
        contest: if args.dense {
            Contest::Dense
        } else {
            Contest::WholeAndParts
        },
    };
    let [_, heads, tokens, head_dim] = qkv.shape.q_shape();
    let bar = progress::work(&format!(
        "attention, {heads} x {tokens} x {head_dim}: run, check against the CPU reference, time"
    ));
    let mut show = |progress| progress::show(&bar, progress);
    let result = measure(bench, job, &mut show)?;
    let chosen = policy
        .map(|policy| measure_policy(bench, job, policy, &mut show))
        .transpose();
    bar.finish_and_clear();
    Ok(Measured::of(result, chosen))
}

/// `sparse`, with the row, the blocks and the results that the policy gave.
fn under_policy(sparse: AttentionResult, chosen: PolicyResult) -> AttentionResult {
    let checks = Checks {
        // Each contest has run it.
        dense: [sparse.checks.dense, chosen.checks.dense]
            .into_iter()
            .flatten()
            .reduce(CheckedAttention::worse),
        policy: chosen.checks.policy,
        ..sparse.checks
    };
    let mut faults = sparse.record.faults;
    let others = chosen.record.faults.into_iter();
    for fault in others {
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    AttentionResult {
        record: Record {
            max_err_over_bound: chosen
                .record
                .max_err_over_bound
                .max(sparse.record.max_err_over_bound),
            faults,
            ..chosen.record
        },
        checks,
        parts: sparse.parts.filter(|_| !chosen.decided.is_dense()),
        quality: chosen.quality,
        mask: chosen.mask,
        attended: chosen.attended,
        ..sparse
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::{BlockMask, Tensor};
    use sparse_measure::OutputAndLse;

    use super::*;
    use crate::compare::attention::Quality;

    #[test]
    fn a_policy_that_fails_takes_no_number_away() {
        let blocks = BlockMask::dense(1, 1, 1, 1).unwrap();
        let sparse = AttentionResult {
            record: crate::fixture::nm_matmul(),
            parts: None,
            kept: 1.0,
            quality: Quality {
                density: 0.25,
                density_per_head: vec![0.25],
                relative_l2_error: 0.5,
                relative_l2_error_per_head: vec![0.5],
                kept_mass: 0.75,
                kept_mass_per_head: vec![0.75],
            },
            checks: Checks::default(),
            scores: Tensor::new(vec![1, 1, 1, 1], vec![1.0]),
            mask: blocks.clone(),
            reachable: blocks,
            attended: OutputAndLse {
                out: vec![2.0],
                lse: vec![3.0],
            },
        };
        let measured = Measured::of(sparse, Err(anyhow::anyhow!("the device is gone")));
        assert_eq!(measured.result.record, crate::fixture::nm_matmul());
        assert_eq!(measured.result.attended.out, [2.0]);
        assert!(measured.decided.is_none());
        let reason = format!("{:#}", measured.policy.unwrap_err());
        assert_eq!(
            reason,
            "--auto could not be measured, the numbers are those without it: the device is gone"
        );
    }
}
