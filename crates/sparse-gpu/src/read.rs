//! Reading results back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use sparse_core::{Element, Tensor};

use crate::{Error, Gpu, GpuTensor};

impl Gpu {
    /// Copies a tensor back once everything submitted so far is done.
    ///
    /// The future never blocks: on native platforms it polls the device each time that it is polled itself, and asks to be polled again at once
    /// (a program that has nothing else to do waits more quietly in `read_blocking`); in browsers the event loop
    /// does.
    ///
    /// # Errors
    /// [`Error::ReadAs`] where the tensor does not hold `T`, [`Error::OtherDevice`], [`Error::BufferUsage`] where its buffer lacks `COPY_SRC`,
    /// [`Error::Readback`] where the device is lost, [`Error::OutOfMemory`].
    pub async fn read<T: Element>(&self, tensor: &GpuTensor) -> Result<Tensor<T>, Error> {
        let pending = self.start_read_tensor::<T>(tensor)?;
        to_tensor(tensor, self.answer(pending).await?)
    }

    /// The first `words` words of a buffer, as [`Gpu::read`] gets them.
    pub(crate) async fn read_words(
        &self,
        buffer: &wgpu::Buffer,
        words: usize,
    ) -> Result<Vec<u32>, Error> {
        let pending = self.start_read(buffer, 0, 4 * words as u64)?;
        self.answer(pending).await
    }

    async fn answer<T: bytemuck::Pod>(&self, pending: PendingRead) -> Result<Vec<T>, Error> {
        Mapped {
            gpu: self,
            state: Arc::clone(&pending.state),
        }
        .await;
        pending.finish()
    }

    pub(crate) fn start_read_tensor<T: Element>(
        &self,
        tensor: &GpuTensor,
    ) -> Result<PendingRead, Error> {
        tensor.expect_device(self, "read", "the tensor")?;
        if tensor.dtype() != T::DTYPE {
            return Err(Error::ReadAs {
                actual: tensor.dtype(),
                asked: T::DTYPE,
            });
        }
        self.start_read(tensor.buffer(), tensor.offset(), tensor.bytes())
    }

    /// Starts to copy `bytes` of `buffer`, from byte `offset` on.
    pub(crate) fn start_read(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<PendingRead, Error> {
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::BufferUsage {
                actual: format!("{:?}", buffer.usage()),
                needed: "COPY_SRC to be read back".to_owned(),
            });
        }
        // On a lost device, and of a destroyed buffer, wgpu reports every call that follows: to the caller instead of to the device's handler,
        // which ends the program unless it has set one.
        let scope = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let submitted = self.submit_read(buffer, offset, bytes);
        let error = scope.pop();
        // A browser tells later; waiting for it is not allowed there.
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(error) = pollster::block_on(error) {
            return Err(Error::Readback {
                bytes,
                message: error.to_string(),
            });
        }
        #[cfg(target_arch = "wasm32")]
        drop(error);
        submitted
    }

    /// Submits the copy into a buffer that can be mapped, and asks for its mapping.
    fn submit_read(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<PendingRead, Error> {
        let staging = self
            .allocate("readback", bytes, wgpu::BufferUsages::MAP_READ)
            .map_err(|error| match error {
                Error::DeviceLost { message, .. } => Error::Readback { bytes, message },
                error => error,
            })?;
        let mut encoder = self
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("sparse: readback"),
            });
        if bytes > 0 {
            let len = bytes.next_multiple_of(4);
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, len);
        }
        self.queue().submit([encoder.finish()]);
        let state = Arc::new(Mutex::new(MapState::default()));
        let shared = Arc::clone(&state);
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(result.map_err(|e| e.to_string()));
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
        Ok(PendingRead {
            staging,
            state,
            bytes,
        })
    }
}

#[derive(Default, Debug)]
struct MapState {
    result: Option<Result<(), String>>,
    waker: Option<Waker>,
}

/// A readback that has been submitted.
#[derive(Debug)]
pub(crate) struct PendingRead {
    staging: wgpu::Buffer,
    state: Arc<Mutex<MapState>>,
    bytes: u64,
}

impl PendingRead {
    /// Whether the mapping has succeeded or failed.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn is_answered(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .result
            .is_some()
    }

    /// Takes the numbers out of the mapped buffer.
    pub(crate) fn finish<T: bytemuck::Pod>(self) -> Result<Vec<T>, Error> {
        let failed = |message: String| Error::Readback {
            bytes: self.bytes,
            message,
        };
        let result = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .result
            .take();
        result
            .unwrap_or_else(|| Err("the device did not answer".to_owned()))
            .map_err(failed)?;
        let view = self
            .staging
            .get_mapped_range(..)
            .map_err(|e| failed(e.to_string()))?;
        let len = usize::try_from(self.bytes).map_err(|e| failed(e.to_string()))?;
        let data = bytemuck::pod_collect_to_vec(&view[..len]);
        drop(view);
        self.staging.unmap();
        Ok(data)
    }
}

/// The numbers that were read of `tensor`.
pub(crate) fn to_tensor<T: Element>(tensor: &GpuTensor, data: Vec<T>) -> Result<Tensor<T>, Error> {
    Tensor::try_new(tensor.shape().to_vec(), data).map_err(|e| Error::Readback {
        bytes: tensor.bytes(),
        message: e.to_string(),
    })
}

/// Ready once the mapping's callback has run.
struct Mapped<'a> {
    gpu: &'a Gpu,
    state: Arc<Mutex<MapState>>,
}

impl Future for Mapped<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // An error of this poll (a lost device) also fails the mapping, whose callback carries it.
        let native = self.gpu.device().poll(wgpu::PollType::Poll).is_ok()
            && cfg!(not(target_arch = "wasm32"));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.result.is_some() {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        drop(state);
        if native {
            // Nobody else polls the device: ask to be polled again.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
