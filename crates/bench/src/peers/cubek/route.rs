//! cubecl on our adapter, by every compiler that it has for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cubecl::client::Client;
use cubecl::prelude::TensorBinding;
use cubecl::server::Handle;
use cubecl::wgpu::{
    AutoCompiler, WgpuCompiler, WgpuDevice, WgpuDeviceKind, WgpuRuntime, WgslCompiler,
};
use cubecl::zspace::Tiling;
use cubecl_runtime::runtime::Runtime;
use sparse_gpu::{Gpu, wgpu};

/// What cubecl calls its runtime where it compiles to WGSL.
const WGSL: &str = "wgpu<wgsl>";
/// Adapters of one kind that are looked at for ours.
const MOST_ADAPTERS: usize = 8;

/// A device that cubecl has opened for itself: ours lacks the features that it would like to have, such as SPIR-V of its own.
#[derive(Clone)]
pub(in crate::peers) struct Route {
    pub(super) client: Client,
    /// Runtime and compiler, as cubecl calls them.
    pub(in crate::peers) name: &'static str,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish()
    }
}

/// Every compiler that runs on the adapter of `gpu`; what keeps the others away.
pub(in crate::peers) fn routes(gpu: &Gpu) -> (Vec<Route>, Vec<String>) {
    let (mut routes, mut refusals) = (Vec::new(), Vec::new());
    let auto = open::<AutoCompiler>(gpu).map(|client| Route {
        name: client.name(),
        client,
    });
    // A client calls itself after what its adapter could do, not after the compiler that it was asked for.
    let wgsl = open::<WgslCompiler>(gpu).map(|client| Route { client, name: WGSL });
    for opened in [auto, wgsl] {
        match opened {
            // Where cubecl has no compiler but that of WGSL, both are the same.
            Ok(route) if routes.iter().any(|r: &Route| r.name == route.name) => {}
            Ok(route) => routes.push(route),
            Err(refusal) => refusals.push(refusal),
        }
    }
    (routes, refusals)
}

/// The client of the adapter that has the name of ours.
fn open<C: WgpuCompiler>(gpu: &Gpu) -> Result<Client, String> {
    let wanted = &gpu.adapter().name;
    for index in 0..MOST_ADAPTERS {
        let kind = match gpu.adapter().device_type {
            wgpu::DeviceType::Cpu => WgpuDeviceKind::Cpu,
            wgpu::DeviceType::DiscreteGpu => WgpuDeviceKind::DiscreteGpu(index),
            wgpu::DeviceType::IntegratedGpu => WgpuDeviceKind::IntegratedGpu(index),
            wgpu::DeviceType::VirtualGpu => WgpuDeviceKind::VirtualGpu(index),
            wgpu::DeviceType::Other => WgpuDeviceKind::Other(index),
        };
        // It panics where there is no such device.
        let client = catch_unwind(|| WgpuRuntime::<C>::client(&WgpuDevice::new(kind)));
        let client = client.map_err(|_| format!("cubecl finds no adapter {wanted:?}"))?;
        if client.properties().identity.name == *wanted {
            return Ok(client);
        }
    }
    Err(format!(
        "cubecl finds no adapter {wanted:?} among its first {MOST_ADAPTERS}"
    ))
}

impl Route {
    /// A buffer with these numbers.
    pub(super) fn upload(&self, numbers: &[f32]) -> Handle {
        self.client.create_from_slice(bytemuck::cast_slice(numbers))
    }

    /// A buffer of NaN, so that what is not written cannot pass for right.
    pub(super) fn poisoned(&self, numbers: usize) -> Handle {
        self.upload(&vec![f32::NAN; numbers])
    }

    /// Waits for all work, and fails where the work that writes `out` failed.
    pub(super) fn wait(&self, out: &Handle) -> anyhow::Result<()> {
        let waiting = AssertUnwindSafe(|| pollster::block_on(self.client.sync_buffers([out])));
        waiting().map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    /// Its numbers.
    pub(super) fn read(&self, out: &Handle) -> anyhow::Result<Vec<f32>> {
        let bytes = self.client.read_one(out.clone());
        let bytes = bytes.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

/// A buffer as a tensor of f32.
pub(super) fn tensor(handle: &Handle, shape: &[usize], strides: &[usize]) -> TensorBinding {
    TensorBinding {
        handle: handle.clone().binding(),
        strides: strides.iter().copied().into(),
        shape: shape.iter().copied().into(),
        tiling: Tiling::UNTILED,
    }
}

/// The buffer that `prepare` makes.
pub(super) fn prepared(out: Option<&Handle>) -> anyhow::Result<&Handle> {
    out.ok_or_else(|| anyhow::anyhow!("a strategy runs after it was prepared"))
}
