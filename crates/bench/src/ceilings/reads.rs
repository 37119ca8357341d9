//! The rates of reading storage buffers and workgroup memory.

use sparse_core::{Tensor, synthetic};
use sparse_gpu::{Gpu, GpuTensor};
use sparse_shaders::{CEILING_LANES, CEILING_TILE, ReadCeilingKernel, ReadOrder};

use super::CeilingError;
use super::kernels::{MicroKernel, Operands};
use super::measure::{expect, rate};
use crate::device::Timer;

/// Rounds and reads of a round: an invocation reads 1024 vec4, which is twice a tile of workgroup memory.
const ROUNDS: usize = 64;
/// See [`ROUNDS`].
const STEPS: usize = 16;
/// Bytes that one invocation reads.
const BYTES: usize = 16 * ROUNDS * STEPS;

/// Numbers to read, on the host and on the device.
#[derive(Debug)]
pub(super) struct Words {
    /// Sum of the bits of the first so many words, wrapping: `sums[i]` is that of the words before `i * GRAIN`.
    sums: Vec<u32>,
    on_gpu: GpuTensor,
}

/// Words whose sum is remembered: a tile of workgroup memory.
const GRAIN: usize = 4 * CEILING_TILE;

impl Words {
    /// `bytes` of normal numbers; their bits are what is summed.
    pub(super) fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CeilingError> {
        let count = bytes / 4;
        // One mebibyte of them over and over, each time with other low bits, is as good as new ones and faster to make.
        let base: Tensor<f32> = synthetic::normal_tensor(vec![1 << 18], 3)?;
        let bits = base.data().iter().cycle().zip(0_u32..).take(count);
        let words: Vec<u32> = bits.map(|(x, i)| x.to_bits() ^ (i >> 18)).collect();
        let mut sums = vec![0_u32];
        for grain in words.chunks(GRAIN) {
            let before = sums.last().copied().unwrap_or(0);
            sums.push(
                grain
                    .iter()
                    .fold(before, |sum, word| sum.wrapping_add(*word)),
            );
        }
        let floats: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
        Ok(Self {
            sums,
            on_gpu: gpu.upload(&Tensor::try_new(vec![count], floats)?)?,
        })
    }
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// A storage buffer.
    Storage,
    /// A tile of workgroup memory.
    Workgroup,
}

/// The median rate of reading a working set of `bytes`, in the order that is best for it.
pub(super) fn best_read(
    gpu: &Gpu,
    timer: &Timer,
    words: &Words,
    bytes: usize,
    memory: Memory,
) -> Result<f64, CeilingError> {
    let mut best = 0.0_f64;
    for order in ReadOrder::ALL {
        let (workgroup, uniform) = (memory == Memory::Workgroup, order == ReadOrder::Uniform);
        let kernel = ReadCeilingKernel::new(workgroup, order, ROUNDS, STEPS);
        let operands = Operands {
            input: &words.on_gpu,
            input_bytes: bytes as u64,
            sum_words: 1,
        };
        // What all lanes read from one address of a buffer is read once; workgroup memory serves every lane.
        let readers = if uniform && !workgroup {
            1
        } else {
            CEILING_LANES
        };
        let first_groups = if workgroup {
            64
        } else {
            u32::try_from(bytes.div_ceil(BYTES * readers)).unwrap_or(u32::MAX)
        };
        let make = |groups| MicroKernel::new(gpu, &kernel, operands, groups);
        let check = |run: &MicroKernel| {
            // Every word is read equally often, by a reader or by the lanes of a group that read as one.
            let groups = run.sums.len() / CEILING_LANES;
            let times = groups * BYTES * CEILING_LANES / bytes;
            let expected = words.sums[bytes / (4 * GRAIN)].wrapping_mul(wrapped(times));
            let sums = gpu.read_blocking::<f32>(&run.sums)?;
            let bits = sums.data().iter().map(|sum| sum.to_bits());
            let actual = bits.fold(0, u32::wrapping_add);
            expect(run, f64::from(actual), f64::from(expected))
        };
        let of_group = BYTES * readers;
        best = best.max(rate(timer, first_groups, of_group, best, &make, &check)?);
    }
    Ok(best)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "sums of words wrap at 2^32, so their number may"
)]
const fn wrapped(count: usize) -> u32 {
    count as u32
}
