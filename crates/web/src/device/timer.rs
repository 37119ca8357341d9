//! The time of recorded work: by timestamps of the device where it has them, else by the clock around submitting and the answer that it is done.

use std::time::Duration;

use anyhow::Context;
use futures_channel::oneshot;
use sparse_gpu::{Error, Gpu, wgpu};
use sparse_measure::{Timing, elapsed};
use web_time::Instant;

/// Two timestamps of 8 bytes.
const STAMP_BYTES: u64 = 16;

/// Records an operation into a pass.
pub type Recorder<'a> = &'a mut dyn FnMut(&mut wgpu::ComputePass<'_>) -> Result<(), Error>;

/// A way to take times as the page says it.
pub const fn timing_words(timing: Timing) -> &'static str {
    match timing {
        Timing::Gpu => "timestamps of the GPU",
        Timing::Wall => {
            "the clock around submitting and the answer that the work is done, since this adapter or browser has no timestamps"
        }
    }
}

/// A run shorter than this is repeated inside of one pass. Browsers round timestamps to 0.1 ms, their clocks to as much as 1 ms, and an answer
/// takes about 1 ms: 1 % to 3 %.
pub const fn shortest_run(timing: Timing) -> Duration {
    match timing {
        Timing::Gpu => Duration::from_millis(10),
        Timing::Wall => Duration::from_millis(40),
    }
}

/// Times passes on one device.
#[derive(Debug)]
pub struct Timer {
    gpu: Gpu,
    stamps: Option<Stamps>,
}

#[derive(Debug)]
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    nanoseconds_per_tick: f64,
}

impl Stamps {
    fn new(gpu: &Gpu) -> Self {
        let buffer = |label, usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: STAMP_BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("web: timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(
                "web: resolved timestamps",
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            ),
            readable: buffer(
                "web: readable timestamps",
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            ),
            nanoseconds_per_tick: f64::from(gpu.queue().get_timestamp_period()),
        }
    }
}

impl Timer {
    /// By timestamps where the device was opened with them.
    pub fn new(gpu: &Gpu) -> Self {
        let features = gpu.device().features();
        Self {
            gpu: gpu.clone(),
            stamps: features
                .contains(wgpu::Features::TIMESTAMP_QUERY)
                .then(|| Stamps::new(gpu)),
        }
    }

    /// By the clock, whatever the device could do.
    pub fn by_the_wall(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            stamps: None,
        }
    }

    /// How times are taken.
    pub fn timing(&self) -> Timing {
        match self.stamps {
            Some(_) => Timing::Gpu,
            None => Timing::Wall,
        }
    }

    /// Records `record` so often into one pass, submits it, and gives the time that the pass took once it is done.
    ///
    /// # Errors
    /// Those of `record`; where the device is lost; [`sparse_measure::ClockError`].
    pub async fn time(&self, repeats: u32, record: Recorder<'_>) -> anyhow::Result<Duration> {
        let device = self.gpu.device();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("web: timed"),
        });
        let stamps = self.stamps.as_ref();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("web: timed"),
            timestamp_writes: stamps.map(|stamps| wgpu::ComputePassTimestampWrites {
                query_set: &stamps.queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            }),
        });
        (0..repeats).try_for_each(|_| record(&mut pass))?;
        drop(pass);
        if let Some(stamps) = stamps {
            encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &stamps.readable, 0, STAMP_BYTES);
        }
        let commands = encoder.finish();
        let start = Instant::now();
        self.gpu.queue().submit([commands]);
        match stamps {
            Some(stamps) => self.between(stamps).await,
            None => {
                self.done().await?;
                Ok(start.elapsed())
            }
        }
    }

    async fn done(&self) -> anyhow::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.gpu.queue().on_submitted_work_done(move || {
            // Nobody waits any longer where the receiver is gone.
            let _ = sender.send(());
        });
        drive(&self.gpu)?;
        receiver.await.context("the device gave no answer")
    }

    async fn between(&self, stamps: &Stamps) -> anyhow::Result<Duration> {
        let (sender, receiver) = oneshot::channel();
        let map = move |result| {
            let _ = sender.send(result);
        };
        stamps.readable.map_async(wgpu::MapMode::Read, .., map);
        drive(&self.gpu)?;
        receiver
            .await
            .context("the device gave no answer")?
            .context("the device did not give its timestamps")?;
        let ticks: [u64; 2] = {
            let view = stamps.readable.get_mapped_range(..)?;
            bytemuck::pod_read_unaligned(&view)
        };
        stamps.readable.unmap();
        Ok(elapsed(ticks, stamps.nanoseconds_per_tick)?)
    }
}

/// A browser drives its device itself; elsewhere somebody has to wait for it.
#[cfg(target_arch = "wasm32")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "native platforms can fail to wait"
)]
fn drive(_: &Gpu) -> Result<(), Error> {
    Ok(())
}

/// A browser drives its device itself; elsewhere somebody has to wait for it.
#[cfg(not(target_arch = "wasm32"))]
fn drive(gpu: &Gpu) -> Result<(), Error> {
    gpu.wait(Duration::from_secs(600))
}
