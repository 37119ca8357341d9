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

/// All that the policy gave. Of `sparse`, which ran without it, come the times of the steps, where it took them, and what was wrong.
fn under_policy(sparse: AttentionResult, chosen: PolicyResult) -> AttentionResult {
    let checks = Checks {
        // Each contest has run it.
        dense: [sparse.checks.dense, chosen.checks.dense]
            .into_iter()
            .flatten()
            .reduce(CheckedAttention::worse),
        ..chosen.checks
    };
    let mut faults = chosen.record.faults;
    let others = sparse.record.faults.into_iter();
    let others: Vec<String> = others
        .filter(|fault| !faults.contains(fault))
        .map(|fault| format!("without the policy, {fault}"))
        .collect();
    faults.extend(others);
    AttentionResult {
        record: Record {
            max_err_over_bound: chosen
                .record
                .max_err_over_bound
                .max(sparse.record.max_err_over_bound),
            faults,
            ..chosen.record
        },
        parts: sparse.parts.filter(|_| !chosen.decided.is_dense()),
        kept: chosen.kept,
        quality: chosen.quality,
        checks,
        scores: chosen.scores,
        mask: chosen.mask,
        reachable: chosen.reachable,
        attended: chosen.attended,
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::{BlockMask, Tensor};
    use sparse_measure::OutputAndLse;

    use super::*;
    use crate::compare::attention::Quality;

    /// What was measured without the policy, right or wrong.
    fn sparse(faults: &[&str]) -> AttentionResult {
        let blocks = BlockMask::dense(1, 1, 1, 1).unwrap();
        AttentionResult {
            record: Record {
                faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
                ..crate::fixture::nm_matmul()
            },
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
            checks: Checks {
                dense: Some(0.25.into()),
                sparse: Some(0.5.into()),
                scores: Some(0.75.into()),
                wrong_mask_rows: Some(0),
                policy: None,
            },
            scores: Some(Tensor::new(vec![1, 1, 1, 1], vec![1.0])),
            mask: blocks.clone(),
            reachable: blocks,
            attended: OutputAndLse {
                out: vec![2.0],
                lse: vec![3.0],
            },
        }
    }

    #[test]
    fn what_is_told_of_a_policy_is_of_its_own_run() {
        let other = sparse(&[
            "dense attention: off",
            "attention as the policy decided: off",
        ]);
        let chosen = PolicyResult {
            record: other.record.clone(),
            decided: Decided {
                attended: "dense",
                ran: "dense attention alone",
                reason: String::new(),
                predicted_speedup: 1.0,
                speedup: Some(1.0),
                selected_density: None,
            },
            checks: Checks {
                dense: Some(0.125.into()),
                policy: Some(0.5.into()),
                ..Checks::default()
            },
            quality: other.quality,
            kept: 0.5,
            scores: None,
            mask: other.mask,
            reachable: other.reachable,
            attended: other.attended,
        };
        let wrong = sparse(&["dense attention: off", "block scores: off"]);
        let told = under_policy(wrong, chosen.clone());
        // Scores that the policy's plan did not compute are not told beside its mask.
        let checks = Checks {
            dense: Some(0.25.into()),
            ..chosen.checks
        };
        assert_eq!(told.checks, checks);
        assert!(told.scores.is_none());
        assert_eq!(told.kept, 0.5);
        assert_eq!(
            told.record.faults,
            [
                "dense attention: off",
                "attention as the policy decided: off",
                "without the policy, block scores: off"
            ]
        );
        let scored = PolicyResult {
            checks: Checks {
                scores: Some(0.0625.into()),
                wrong_mask_rows: Some(2),
                ..chosen.checks
            },
            scores: Some(Tensor::new(vec![1, 1, 1, 1], vec![4.0])),
            ..chosen
        };
        let told = under_policy(sparse(&[]), scored);
        assert_eq!(told.checks.scores, Some(0.0625.into()));
        assert_eq!(told.checks.wrong_mask_rows, Some(2));
        assert_eq!(told.scores.unwrap().data(), [4.0]);
    }

    #[test]
    fn a_policy_that_fails_takes_no_number_away() {
        let measured = Measured::of(sparse(&[]), Err(anyhow::anyhow!("the device is gone")));
        assert_eq!(measured.result.record, sparse(&[]).record);
        assert_eq!(measured.result.attended.out, [2.0]);
        assert!(measured.decided.is_none());
        let reason = format!("{:#}", measured.policy.unwrap_err());
        assert_eq!(
            reason,
            "--auto could not be measured, the numbers are those without it: the device is gone"
        );
    }
}
