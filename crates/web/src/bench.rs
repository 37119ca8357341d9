//! What all rows of a run share, and the run of one row.

use std::time::Duration;

use half::f16;
use sparse_core::DType;
use sparse_core::synthetic::normal_matrix;
use sparse_gpu::{Gpu, wgpu};
use sparse_measure::{Budget, PrunedWeights, Runs};

use crate::compare::{attention, product};
use crate::device::Timer;
use crate::rounds::{Progress, go_on};
use crate::rows::{Row, Sizes};

/// Time for the rounds of one row.
const ROW_TIME: Duration = Duration::from_secs(2);

/// The device and how it is timed.
#[derive(Debug)]
pub struct Bench {
    /// The device.
    pub gpu: Gpu,
    /// Its timer.
    pub timer: Timer,
    /// Time of a row.
    pub budget: Budget,
}

/// What a row turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Kept share of the weights, or of the reachable blocks.
    pub density: f64,
    /// Speed-up that skipping could give.
    pub ideal_speedup: f64,
    /// Tier of the kernels.
    pub tier: String,
    /// Kernel of the measured operation.
    pub kernel: String,
    /// Its tile.
    pub tile: String,
    /// Name of the baseline where it is no dense twin.
    pub peer: Option<&'static str>,
    /// Largest ratio of error to error bound over the checked elements, those of the baseline among them.
    pub max_err_over_bound: f64,
    /// What is wrong with which contender, in words; empty where the row is right.
    pub faults: Vec<String>,
    /// Runs of the baseline, and of the measured operation.
    pub runs: Vec<Runs>,
}

impl Bench {
    /// Times on `gpu`, each row for about two seconds.
    pub fn new(gpu: Gpu) -> Self {
        Self {
            timer: Timer::new(&gpu),
            // Every contender has run before its first round.
            budget: Budget {
                warm_up: 0,
                ..Budget::of(ROW_TIME)
            },
            gpu,
        }
    }

    /// Finds sizes that suit the adapter, by dense products that grow until the next would take too long.
    ///
    /// # Errors
    /// Where planning or the device fails; [`crate::rounds::Stopped`].
    pub async fn sizes(&self, watch: &impl AsyncFn(Progress) -> bool) -> anyhow::Result<Sizes> {
        let mut side = Sizes::FIRST_SIDE;
        loop {
            go_on(watch, Progress::Step("find sizes that suit the adapter")).await?;
            let took = self.checked(self.dense_product(side)).await?;
            match Sizes::next_side(side, took) {
                Some(next) => side = next,
                None => return Ok(Sizes::of_side(side)),
            }
        }
    }

    async fn dense_product(&self, side: usize) -> anyhow::Result<Duration> {
        let w = PrunedWeights::Dense(normal_matrix::<f32>(side, side, 1)?);
        let x = self.gpu.upload(&normal_matrix::<f32>(side, side, 2)?)?;
        let mut product = product::Product::plan(&self.gpu, &w, 1, &x).await?;
        // The first run may compile.
        self.timer.time(1, &mut |pass| product.record(pass)).await?;
        self.timer.time(1, &mut |pass| product.record(pass)).await
    }

    /// Measures one row.
    ///
    /// # Errors
    /// Where planning or the device fails, also where only the browser says so; [`crate::rounds::Stopped`].
    pub async fn measure(
        &self,
        row: &Row,
        watch: &impl AsyncFn(Progress) -> bool,
    ) -> anyhow::Result<Measured> {
        self.checked(async {
            match row {
                Row::Product(row) => match row.dtype {
                    DType::F32 => product::measure::<f32>(self, row, watch).await,
                    DType::F16 => product::measure::<f16>(self, row, watch).await,
                    DType::Bf16 => anyhow::bail!("no row is measured in bf16; rows are f32 or f16"),
                },
                Row::Attention(row) => attention::measure(self, row, watch).await,
            }
        })
        .await
    }

    /// The result of `work`, or what the browser says of it: there an allocation that fails is no error of the call.
    async fn checked<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let device = self.gpu.device();
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work.await;
        let validation = validation.pop().await;
        match memory.pop().await.or(validation) {
            Some(error) => Err(anyhow::anyhow!("{error}")),
            None => result,
        }
    }
}
