//! Which share of what the device can do a row reaches.

use serde::Serialize;
use sparse_measure::Work;

use super::Ceilings;

/// What keeps a row from being faster, however good its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The rate of multiply-adds.
    Compute,
    /// The rate at which memory is read.
    Memory,
}

impl Bound {
    /// `compute` or `memory`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        }
    }
}

/// A row under the roofline of its device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Roofline {
    /// What the row has to do.
    #[serde(flatten)]
    pub work: Work,
    /// Time that the slower of the two takes at best, in milliseconds.
    pub ceiling_ms: f64,
    /// Which of the two that is.
    pub bound: Bound,
    /// `ceiling_ms / sparse_ms`.
    pub share: f64,
}

impl Roofline {
    /// Of `work` done in `ms`.
    pub fn of(ceilings: &Ceilings, work: Work, ms: f64) -> Self {
        let compute_ms = 1e3 * work.fmas / ceilings.fmas_per_second;
        let memory_ms = 1e3 * work.bytes / ceilings.read_of(work.working_set);
        let (ceiling_ms, bound) = if compute_ms >= memory_ms {
            (compute_ms, Bound::Compute)
        } else {
            (memory_ms, Bound::Memory)
        };
        Self {
            work,
            ceiling_ms,
            bound,
            share: ceiling_ms / ms,
        }
    }

    /// The same row, done in `ms`, under other ceilings.
    #[must_use]
    pub fn under(self, ceilings: &Ceilings, ms: f64) -> Self {
        Self::of(ceilings, self.work, ms)
    }

    /// Multiply-adds a byte.
    pub fn intensity(&self) -> f64 {
        self.work.fmas / self.work.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// Bytes that no cache holds.
    const COLD: Work = Work {
        fmas: 1e3,
        bytes: 1e6,
        working_set: 4e6,
    };

    #[test]
    fn the_slower_of_compute_and_memory_binds() {
        // 1e9 multiply-adds a second; 4e9 bytes a second up to 1 MB, 1e9 beyond.
        let ceilings = fixture::ceilings();
        let compute = Work {
            fmas: 2e6,
            bytes: 1e6,
            working_set: 1e6,
        };
        let row = Roofline::of(&ceilings, compute, 4.0);
        assert_eq!(
            (row.bound, row.ceiling_ms, row.share),
            (Bound::Compute, 2.0, 0.5)
        );
        assert_eq!(row.intensity(), 2.0);
        let cached = Work {
            fmas: 1e3,
            bytes: 1e6,
            working_set: 1e6,
        };
        let row = Roofline::of(&ceilings, cached, 1.0);
        assert_eq!((row.bound, row.ceiling_ms), (Bound::Memory, 0.25));
        let large = Work {
            fmas: 1e3,
            bytes: 8e6,
            working_set: 8e6,
        };
        assert_eq!(Roofline::of(&ceilings, large, 16.0).share, 0.5);
    }

    #[test]
    fn bytes_that_come_from_memory_have_the_ceiling_of_memory() {
        let ceilings = fixture::ceilings();
        let row = Roofline::of(&ceilings, COLD, 2.0);
        assert_eq!((row.ceiling_ms, row.share), (1.0, 0.5));
    }

    #[test]
    fn a_row_moves_under_higher_ceilings() {
        let ceilings = fixture::ceilings();
        let row = Roofline::of(&ceilings, COLD, 2.0);
        assert_eq!(row.under(&ceilings, 2.0), row);
        let mut faster = ceilings.clone();
        faster.read[1].bytes_per_second *= 2.0;
        let share = row.under(&ceilings.raised_by(&faster), 2.0).share;
        assert_eq!(share, row.share / 2.0);
    }

    #[test]
    fn a_small_buffer_is_read_no_slower_than_a_large_one() {
        let mut ceilings = fixture::ceilings();
        // The machine was busy while the smallest was measured.
        ceilings.read[0].bytes_per_second = 0.5e9;
        assert_eq!(ceilings.read_of(1e5), 1e9);
        assert_eq!(ceilings.read_of(1e9), 1e9);
    }
}
