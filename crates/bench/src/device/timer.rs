//! The time of recorded work: by timestamps of the device where it has them, else by the clock around recording, submitting and waiting.

use std::time::{Duration, Instant};

use anyhow::Context;
use sparse_gpu::{Error, Gpu, wgpu};
use sparse_measure::{Timing, elapsed};

/// Two timestamps of 8 bytes.
const STAMP_BYTES: u64 = 16;
/// Longest wait for one run.
const PATIENCE: Duration = Duration::from_secs(600);

/// Times passes on one device.
#[derive(Clone, Debug)]
pub struct Timer {
    gpu: Gpu,
    stamps: Option<Stamps>,
}

#[derive(Clone, Debug)]
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    nanoseconds_per_tick: f64,
}

impl Timer {
    /// A timer for `gpu`, by timestamps where the device was opened with them.
    pub fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let stamps = gpu
            .device()
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY)
            .then(|| {
                let buffer = |label, usage| {
                    device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some(label),
                        size: STAMP_BYTES,
                        usage: usage | wgpu::BufferUsages::COPY_DST,
                        mapped_at_creation: false,
                    })
                };
                Stamps {
                    queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                        label: Some("bench: timestamps"),
                        ty: wgpu::QueryType::Timestamp,
                        count: 2,
                    }),
                    resolved: buffer(
                        "bench: resolved timestamps",
                        wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                    ),
                    readable: buffer("bench: readable timestamps", wgpu::BufferUsages::MAP_READ),
                    nanoseconds_per_tick: f64::from(gpu.queue().get_timestamp_period()),
                }
            });
        Self {
            gpu: gpu.clone(),
            stamps,
        }
    }

    /// The same device, by the clock on the wall around recording, submitting and waiting, whatever the device could do.
    #[must_use]
    pub fn by_the_wall(&self) -> Self {
        Self {
            gpu: self.gpu.clone(),
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

    /// Records `record` into one pass, submits it, waits, and gives the time that the pass took.
    ///
    /// # Errors
    /// Those of `record`, and where the device is lost or does not finish.
    pub fn time(
        &self,
        record: &mut dyn FnMut(&mut wgpu::ComputePass<'_>) -> Result<(), Error>,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let mut encoder =
            self.gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor {
                    label: Some("bench: timed"),
                });
        {
            let timestamp_writes =
                self.stamps
                    .as_ref()
                    .map(|stamps| wgpu::ComputePassTimestampWrites {
                        query_set: &stamps.queries,
                        beginning_of_pass_write_index: Some(0),
                        end_of_pass_write_index: Some(1),
                    });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("bench: timed"),
                timestamp_writes,
            });
            record(&mut pass)?;
        }
        if let Some(stamps) = &self.stamps {
            encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &stamps.readable, 0, STAMP_BYTES);
        }
        let commands = encoder.finish();
        self.gpu.queue().submit([commands]);
        self.gpu.wait(PATIENCE)?;
        let wall = start.elapsed();
        match &self.stamps {
            Some(stamps) => self.between(stamps),
            None => Ok(wall),
        }
    }

    fn between(&self, stamps: &Stamps) -> anyhow::Result<Duration> {
        let (sender, receiver) = std::sync::mpsc::channel();
        stamps
            .readable
            .map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver lives until the wait below has ended.
                let _ = sender.send(result);
            });
        self.gpu.wait(PATIENCE)?;
        receiver
            .recv()
            .context("the device did not give its timestamps")??;
        let ticks: [u64; 2] = {
            let view = stamps.readable.get_mapped_range(..)?;
            bytemuck::pod_read_unaligned(&view)
        };
        stamps.readable.unmap();
        Ok(elapsed(ticks, stamps.nanoseconds_per_tick)?)
    }
}
