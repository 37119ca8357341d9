//! The ceilings of a device and how they are taken: every micro-kernel checked by its sums, then timed; the best median counts.

use std::time::Duration;

use serde::Serialize;
use sparse_gpu::Gpu;
use sparse_measure::Summary;
use sparse_shaders::CEILING_TILE;

use super::CeilingError;
use super::fma::best_fma;
use super::kernels::MicroKernel;
use super::reads::{Memory, Words, best_read};
use crate::device::Timer;

/// A run is made this long, so that starting it does not count.
const LONG_ENOUGH: Duration = Duration::from_millis(10);
/// Timed runs of each kernel.
const RUNS: usize = 7;
/// Workgroups at most: one row of a grid.
const MOST_GROUPS: u32 = 32_768;
/// Bytes of the buffers whose reading is measured. The last levels of caches hold 16 to 64 MiB, most of them, and hardly one holds the last of these. A row
/// between two sizes has the ceiling of the larger one ([`Ceilings::read_of`]): the closer they are, the less a cache that holds the row, and not
/// that buffer, makes its share look better than it is.
const WORKING_SETS: [usize; 5] = [2 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20];

/// How fast a buffer is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReadCeiling {
    /// Size of the buffer.
    pub working_set: f64,
    /// Bytes of it that are read in a second, over and over.
    pub bytes_per_second: f64,
}

/// What a device does at best.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Multiply-adds in f32, in registers.
    pub fmas_per_second: f64,
    /// Reading storage buffers, by their size, ascending.
    pub read: Vec<ReadCeiling>,
    /// Reading workgroup memory.
    pub workgroup_bytes_per_second: f64,
}

impl Ceilings {
    /// Measures those of `gpu`, which takes some seconds.
    ///
    /// # Errors
    /// [`CeilingError`]; above all where a kernel did less than it should have.
    pub fn measure(gpu: &Gpu, timer: &Timer) -> Result<Self, CeilingError> {
        let [.., largest] = WORKING_SETS;
        let words = Words::new(gpu, largest)?;
        let mut read = Vec::new();
        for bytes in WORKING_SETS {
            let bytes_per_second = best_read(gpu, timer, &words, bytes, Memory::Storage)?;
            #[expect(clippy::cast_precision_loss, reason = "at most 2^27")]
            read.push(ReadCeiling {
                working_set: bytes as f64,
                bytes_per_second,
            });
        }
        let tile_bytes = 16 * CEILING_TILE;
        let workgroup_bytes_per_second =
            best_read(gpu, timer, &words, tile_bytes, Memory::Workgroup)?;
        Ok(Self {
            fmas_per_second: best_fma(gpu, timer)?,
            read,
            workgroup_bytes_per_second,
        })
    }

    /// The higher of both, one by one: what a device does at best is what it was seen to do at any time.
    #[must_use]
    pub fn raised_by(&self, other: &Self) -> Self {
        let read = |(own, other): (&ReadCeiling, &ReadCeiling)| ReadCeiling {
            bytes_per_second: own.bytes_per_second.max(other.bytes_per_second),
            ..*own
        };
        Self {
            fmas_per_second: self.fmas_per_second.max(other.fmas_per_second),
            read: self.read.iter().zip(&other.read).map(read).collect(),
            workgroup_bytes_per_second: self
                .workgroup_bytes_per_second
                .max(other.workgroup_bytes_per_second),
        }
    }

    /// Bytes a second at which a working set of `bytes` is read at best: the most of the measured buffers that hold it, since a smaller one is read as fast as
    /// a larger one; of the largest where none holds it. Where a cache holds these bytes and none of the buffers that do, that is too low, by what the cache is
    /// faster than memory.
    pub fn read_of(&self, bytes: f64) -> f64 {
        let rate = |read: &ReadCeiling| read.bytes_per_second;
        let hold = self.read.iter().filter(|read| read.working_set >= bytes);
        hold.map(rate)
            .reduce(f64::max)
            .or(self.read.last().map(rate))
            .unwrap_or(f64::INFINITY)
    }

    /// One line for people.
    pub fn words(&self) -> String {
        let read: Vec<String> = self
            .read
            .iter()
            .map(|read| {
                format!(
                    "{:.1} GB/s of {:.0} MiB",
                    read.bytes_per_second * 1e-9,
                    read.working_set / f64::from(1 << 20)
                )
            })
            .collect();
        format!(
            "multiply-adds in registers {:.1} GFLOP/s; reading {}; workgroup memory {:.1} GB/s",
            2.0 * self.fmas_per_second * 1e-9,
            read.join(", "),
            self.workgroup_bytes_per_second * 1e-9
        )
    }
}

/// The median rate at which workgroups do `of_group` units each: runs a kernel until it runs long enough, twice as many workgroups each time, and checks it.
/// Where the first such run is hopeless beside `best`, its rate it is: some orders of reading are sixty times slower than others, and would take minutes.
pub(super) fn rate(
    timer: &Timer,
    first_groups: u32,
    of_group: usize,
    best: f64,
    make: &dyn Fn(u32) -> Result<MicroKernel, CeilingError>,
    check: &dyn Fn(&MicroKernel) -> Result<(), CeilingError>,
) -> Result<f64, CeilingError> {
    let run = |kernel: &MicroKernel| {
        let time = timer.time(&mut |pass| {
            kernel.record(pass);
            Ok(())
        });
        time.map_err(|error| CeilingError::Timing(format!("{error:#}")))
    };
    let mut groups = first_groups;
    let mut kernel = make(groups)?;
    // The first run compiles.
    run(&kernel)?;
    check(&kernel)?;
    let mut took = run(&kernel)?;
    while took < LONG_ENOUGH && groups <= MOST_GROUPS / 2 {
        groups *= 2;
        kernel = make(groups)?;
        run(&kernel)?;
        check(&kernel)?;
        took = run(&kernel)?;
    }
    let once = per_second(groups, of_group, took.as_secs_f64());
    if is_hopeless(once, best) {
        return Ok(once);
    }
    let runs: Vec<Duration> = (0..RUNS).map(|_| run(&kernel)).collect::<Result<_, _>>()?;
    let summary = Summary::of(&runs).ok_or_else(|| CeilingError::Timing("nothing ran".into()))?;
    Ok(per_second(groups, of_group, summary.median_ms * 1e-3))
}

/// Whether a kernel that ran once at this rate cannot have the best median. A busy machine slows a run down, but hardly that much.
fn is_hopeless(once: f64, best: f64) -> bool {
    once * 8.0 < best
}

/// Units a second where each of `groups` workgroups does `of_group` of them.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate, shown with three digits"
)]
fn per_second(groups: u32, of_group: usize, seconds: f64) -> f64 {
    f64::from(groups) * of_group as f64 / seconds
}

/// An error unless `actual` is `expected`.
pub(super) fn expect(kernel: &MicroKernel, actual: f64, expected: f64) -> Result<(), CeilingError> {
    if actual == expected {
        return Ok(());
    }
    Err(CeilingError::Wrong {
        kernel: kernel.name.clone(),
        actual,
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_far_behind_is_given_up_after_one_run() {
        // The first of all has nothing to be behind of.
        assert!(!is_hopeless(1e9, 0.0));
        assert!(!is_hopeless(1e9, 7.9e9));
        assert!(is_hopeless(1e9, 8.1e9));
    }
}
