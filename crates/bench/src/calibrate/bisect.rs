//! Bisection of all heads at once: a run with one threshold per head tells something about every head.

use sparse_core::attention::MaskHeads;
use sparse_gpu::profile::Target;

use super::{CalibrateError, HeadReach};

/// Halvings of the range from 0 to 1: thresholds are multiples of `2^-STEPS`.
pub const STEPS: u32 = 10;

/// A head's threshold and what it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// A multiple of `2^-STEPS`: the target is reached there, and was not at the next lower multiple, unless this is 0.
    pub threshold: f64,
    /// What was measured at the thresholds of all heads together.
    pub reach: HeadReach,
}

/// The lowest threshold of each head of the masks `of` query or key heads at which `measure`, given one threshold per head, meets `target`. `has_threshold` says of
/// each head whether it is one that a threshold matters to; the others get 0, whatever they reach.
///
/// Mass grows with the threshold, so for [`Target::KeptMass`] it is the lowest of all. The error may rise a little where more blocks
/// are kept: then it is one of the points where the error crosses the target. `after` is told the runs done and all there will be.
///
/// # Errors
/// [`CalibrateError::OutOfReach`] and [`CalibrateError::NotRepeated`]; those of `measure`.
pub fn bisect(
    (has_threshold, of): (&[bool], MaskHeads),
    target: Target,
    measure: &mut dyn FnMut(&[f64]) -> anyhow::Result<Vec<HeadReach>>,
    after: &mut dyn FnMut(u32, u32),
) -> anyhow::Result<Vec<Calibrated>> {
    let (heads, all) = (has_threshold.len(), STEPS + 3);
    let is_met = |head: usize, reach: &HeadReach| !has_threshold[head] || reach.meets(target);
    let highest = measure(&vec![1.0; heads])?;
    after(1, all);
    let missed = highest
        .iter()
        .enumerate()
        .find(|(head, reach)| !is_met(*head, reach));
    if let Some((head, reach)) = missed {
        let reached = reach.number(target);
        return Err(CalibrateError::OutOfReach {
            head,
            of,
            target,
            reached,
        }
        .into());
    }
    let lowest = measure(&vec![0.0; heads])?;
    after(2, all);
    // Missed at `low`, met at `high`; both 0 where the forced blocks alone are enough.
    let mut ranges: Vec<[f64; 2]> = lowest
        .iter()
        .enumerate()
        .map(|(head, reach)| [0.0, if is_met(head, reach) { 0.0 } else { 1.0 }])
        .collect();
    for step in 0..STEPS {
        let middle: Vec<f64> = ranges
            .iter()
            .map(|[low, high]| (low + high) / 2.0)
            .collect();
        let reached = measure(&middle)?;
        for (head, reach) in reached.iter().enumerate() {
            ranges[head][usize::from(is_met(head, reach))] = middle[head];
        }
        after(step + 3, all);
    }
    let thresholds: Vec<f64> = ranges.into_iter().map(|[_, high]| high).collect();
    let together = measure(&thresholds)?;
    after(all, all);
    let calibrated = thresholds.into_iter().zip(together).enumerate();
    calibrated
        .map(|(head, (threshold, reach))| {
            if is_met(head, &reach) {
                return Ok(Calibrated { threshold, reach });
            }
            let reached = reach.number(target);
            Err(CalibrateError::NotRepeated {
                head,
                of,
                threshold,
                target,
                reached,
            }
            .into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: MaskHeads = MaskHeads::Query;

    /// Head `h` has the error `(h + 1) (1 - t) / 10` and the mass `1 - error`.
    fn measure(thresholds: &[f64]) -> Vec<HeadReach> {
        let errors = thresholds.iter().zip(1_u32..);
        errors
            .map(|(t, head)| {
                let relative_l2_error = f64::from(head) * (1.0 - t) / 10.0;
                HeadReach {
                    density: *t,
                    relative_l2_error,
                    kept_mass: 1.0 - relative_l2_error,
                }
            })
            .collect()
    }

    fn run(target: Target) -> anyhow::Result<Vec<Calibrated>> {
        bisect(
            (&[true; 4], QUERY),
            target,
            &mut |t| Ok(measure(t)),
            &mut |_, _| (),
        )
    }

    #[test]
    fn each_head_gets_the_lowest_threshold_that_reaches_the_target() {
        let grain = 0.5_f64.powi(10);
        for target in [Target::RelativeL2Error(0.15), Target::KeptMass(0.85)] {
            let heads = run(target).unwrap();
            assert_eq!(heads[0].threshold, 0.0);
            for (head, expected) in [(1, 1.0 - 1.5 / 2.0), (2, 0.5), (3, 1.0 - 1.5 / 4.0)] {
                let Calibrated { threshold, reach } = heads[head];
                assert!((threshold - expected).abs() <= grain, "{head}: {threshold}");
                assert!(reach.meets(target) && reach.density == threshold);
                assert_eq!(threshold % grain, 0.0);
            }
        }
    }

    #[test]
    fn heads_without_a_threshold_get_0_and_cannot_miss() {
        let target = Target::KeptMass(0.999);
        let mut never = |thresholds: &[f64]| {
            let mut reached = measure(thresholds);
            reached[1].kept_mass = 0.5;
            Ok(reached)
        };
        let heads = bisect((&[true, false], QUERY), target, &mut never, &mut |_, _| ()).unwrap();
        assert_eq!((heads[1].threshold, heads[1].reach.kept_mass), (0.0, 0.5));
        assert!(heads[0].threshold > 0.9);
    }

    #[test]
    fn every_run_is_counted() {
        let mut seen = Vec::new();
        let target = Target::KeptMass(0.5);
        bisect(
            (&[true], QUERY),
            target,
            &mut |t| Ok(measure(t)),
            &mut |done, all| {
                seen.push((done, all));
            },
        )
        .unwrap();
        let all = STEPS + 3;
        assert_eq!(seen, (1..=all).map(|done| (done, all)).collect::<Vec<_>>());
    }

    #[test]
    fn a_target_that_the_highest_threshold_misses_is_an_error() {
        let mut noisy = |thresholds: &[f64]| {
            let mut reached = measure(thresholds);
            reached[2].relative_l2_error += 0.01;
            Ok(reached)
        };
        let target = Target::RelativeL2Error(0.001);
        let error = bisect((&[true; 4], QUERY), target, &mut noisy, &mut |_, _| ()).unwrap_err();
        let message = error.to_string();
        for part in [
            "query head 2 cannot reach",
            "at most 0.001",
            "1e-2",
            "larger",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn no_other_target_is_advised_where_the_device_gave_no_number() {
        let mut unwritten = |thresholds: &[f64]| {
            let mut reached = measure(thresholds);
            reached[1].kept_mass = f64::NAN;
            Ok(reached)
        };
        let target = Target::KeptMass(0.5);
        let error =
            bisect((&[true; 4], QUERY), target, &mut unwritten, &mut |_, _| ()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.ends_with("it has NaN; this device did not write all of its output"),
            "{message}"
        );
    }

    #[test]
    fn a_device_that_does_not_repeat_itself_is_found() {
        let mut runs = 0;
        let mut forgetful = |thresholds: &[f64]| {
            runs += 1;
            let mut reached = measure(thresholds);
            reached[1].kept_mass -= if runs == STEPS + 3 { 0.1 } else { 0.0 };
            Ok(reached)
        };
        let error = bisect(
            (&[true; 4], MaskHeads::Key),
            Target::KeptMass(0.9),
            &mut forgetful,
            &mut |_, _| (),
        )
        .unwrap_err();
        assert!(error.to_string().contains("key head 1 reached"), "{error}");
    }
}
