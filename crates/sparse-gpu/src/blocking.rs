//! Waiting twins of the async functions. Not for browsers, where nothing may block.

use std::time::{Duration, Instant};

use sparse_core::{Element, Tensor};

use crate::problem::Problem;
use crate::read::{PendingRead, to_tensor};
use crate::{CooperativeReport, Error, Gpu, GpuOptions, GpuTensor, WarmUp, WarmedUp};

/// How long a readback waits for the GPU before it is an error.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

impl Gpu {
    /// As [`Gpu::new`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::new`].
    pub fn new_blocking() -> Result<Self, Error> {
        pollster::block_on(Self::new())
    }

    /// As [`Gpu::open`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::open`].
    pub fn open_blocking(options: &GpuOptions) -> Result<Self, Error> {
        pollster::block_on(Self::open(options))
    }

    /// As [`Gpu::plan`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::plan`].
    pub fn plan_blocking<P: Problem>(&self, problem: &P) -> Result<P::Plan, Error> {
        pollster::block_on(self.plan(problem))
    }

    /// As [`Gpu::warm_up`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::warm_up`].
    pub fn warm_up_blocking(&self, problems: &WarmUp<'_>) -> Result<WarmedUp, Error> {
        pollster::block_on(self.warm_up(problems))
    }

    /// As [`Gpu::enable_cooperative_matrices`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::enable_cooperative_matrices`].
    pub fn enable_cooperative_matrices_blocking(&self) -> Result<CooperativeReport, Error> {
        pollster::block_on(self.enable_cooperative_matrices())
    }

    /// As [`Gpu::enable_cooperative_matrices_of`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::enable_cooperative_matrices_of`].
    pub fn enable_cooperative_matrices_of_blocking(
        &self,
        adapter: &wgpu::Adapter,
    ) -> Result<CooperativeReport, Error> {
        pollster::block_on(self.enable_cooperative_matrices_of(adapter))
    }

    /// As [`Gpu::read`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read`], and [`Error::Wait`] where the GPU does not finish within ten minutes.
    pub fn read_blocking<T: Element>(&self, tensor: &GpuTensor) -> Result<Tensor<T>, Error> {
        let pending = self.start_read_tensor::<T>(tensor)?;
        self.wait_for_answer(&pending)?;
        to_tensor(tensor, pending.finish()?)
    }

    /// As [`Gpu::read_words`], waiting.
    pub(crate) fn read_words_blocking(
        &self,
        buffer: &wgpu::Buffer,
        words: usize,
    ) -> Result<Vec<u32>, Error> {
        let pending = self.start_read(buffer, 0, 4 * words as u64)?;
        self.wait_for_answer(&pending)?;
        pending.finish()
    }

    fn wait_for_answer(&self, pending: &PendingRead) -> Result<(), Error> {
        let start = Instant::now();
        self.wait(READ_TIMEOUT)?;
        // Another thread's poll may have taken our callback and still be about to run it.
        while !pending.is_answered() && start.elapsed() < READ_TIMEOUT {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Wait`] where that takes longer than `timeout`, or the device is lost.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let poll = wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(timeout),
        };
        self.device()
            .poll(poll)
            .map(|_| ())
            .map_err(|e| Error::Wait {
                message: e.to_string(),
            })
    }
}
