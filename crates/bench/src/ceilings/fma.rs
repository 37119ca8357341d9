//! The rate of multiply-adds.

use sparse_core::Tensor;
use sparse_gpu::Gpu;
use sparse_shaders::{CEILING_LANES, FmaCeilingKernel};

use super::CeilingError;
use super::kernels::{MicroKernel, Operands};
use super::measure::{expect, rate};
use crate::device::Timer;

/// `vec4` chains: with too few the units wait for each other, too many spill.
const CHAINS: [usize; 4] = [2, 3, 4, 6];
/// Workgroups of the first try.
const FIRST_GROUPS: u32 = 64;

/// The best median over numbers of chains and the two ways to write a multiply-add.
pub(super) fn best_fma(gpu: &Gpu, timer: &Timer) -> Result<f64, CeilingError> {
    // Factor and addend are 1, then come the starts of the chains: 1, 2, ...
    let mut operands = vec![1.0_f32; 4];
    for start in 1..=8_u8 {
        operands.extend([f32::from(start); 4]);
    }
    let input = gpu.upload(&Tensor::try_new(vec![operands.len()], operands)?)?;
    let operands = Operands {
        input: &input,
        input_bytes: 4 * input.len() as u64,
        sum_words: 4,
    };
    let mut best = 0.0_f64;
    for chains in CHAINS {
        for fused in [true, false] {
            let kernel = FmaCeilingKernel {
                chains,
                fused,
                rounds: 256,
                steps: 16,
            };
            let make = |groups| MicroKernel::new(gpu, &kernel, operands, groups);
            let check = |run: &MicroKernel| check(gpu, run, kernel);
            let of_group = CEILING_LANES * kernel.fmas_per_invocation();
            best = best.max(rate(timer, FIRST_GROUPS, of_group, best, &make, &check)?);
        }
    }
    Ok(best)
}

/// Every lane ends at the starts of its chains, its own number and the steps, all of them small integers: exact in f32.
fn check(gpu: &Gpu, run: &MicroKernel, kernel: FmaCeilingKernel) -> Result<(), CeilingError> {
    let sums = gpu.read_blocking::<f32>(&run.sums)?;
    let starts = kernel.chains * (kernel.chains + 1) / 2;
    for (at, sum) in sums.data().iter().enumerate() {
        let lane = at / 4 % CEILING_LANES;
        let expected = starts + kernel.chains * (lane + kernel.rounds * kernel.steps);
        #[expect(clippy::cast_precision_loss, reason = "below 2^24")]
        expect(run, f64::from(*sum), expected as f64)?;
    }
    Ok(())
}
