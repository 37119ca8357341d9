//! How times are taken, and the time between two timestamps.

use std::time::Duration;

use serde::Serialize;

/// How the times of a row were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Timestamps of the GPU around the work.
    Gpu,
    /// The clock on the wall around submitting and the end of the work.
    Wall,
}

impl Timing {
    /// `gpu` or `wall`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Wall => "wall",
        }
    }
}

/// Timestamps that tell no time.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the device says that a run began at tick {begin} of its clock and ended at tick {end}, with {nanoseconds_per_tick} ns a tick: no time can be \
     told from that; measure again, and if that does not help, another driver or another adapter"
)]
pub struct ClockError {
    /// The tick before the run.
    pub begin: u64,
    /// The tick behind it.
    pub end: u64,
    /// Length of a tick.
    pub nanoseconds_per_tick: f64,
}

/// The time between two timestamps, zero within a tick.
///
/// # Errors
/// [`ClockError`] where the clock runs backwards, its ticks have no length, or the time is longer than a [`Duration`] holds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a run lasts far less than 2^52 ticks"
)]
pub fn elapsed([begin, end]: [u64; 2], nanoseconds_per_tick: f64) -> Result<Duration, ClockError> {
    let error = ClockError {
        begin,
        end,
        nanoseconds_per_tick,
    };
    let ticks = end.checked_sub(begin).ok_or(error)?;
    // A NaN is no length either.
    if nanoseconds_per_tick > 0.0 {
        let seconds = ticks as f64 * nanoseconds_per_tick * 1e-9;
        Duration::try_from_secs_f64(seconds).map_err(|_| error)
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_that_run_backwards_are_no_time() {
        assert_eq!(elapsed([10, 30], 50.0).unwrap(), Duration::from_micros(1));
        assert_eq!(elapsed([7, 7], 1.0).unwrap(), Duration::ZERO);
        for (ticks, period) in [([9, 8], 1.0), ([7, 8], 0.0), ([7, 8], f64::NAN)] {
            let error = elapsed(ticks, period).unwrap_err().to_string();
            assert!(error.contains("no time can be told"), "{error}");
        }
        assert!(elapsed([0, u64::MAX], f64::MAX).is_err());
    }
}
