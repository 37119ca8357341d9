//! Recording a kernel over a grid of any size.

use crate::kernel::CompiledKernel;
use crate::{Error, Gpu};

/// A kernel's uniform struct; all of them start with `first_group, group_end`.
pub(crate) trait Params: bytemuck::Pod {
    /// Names of all fields, in order; a test compares them with the WGSL.
    #[cfg(test)]
    const FIELDS: &'static [&'static str];
    /// Says which workgroups of the grid a dispatch runs: `first_group..group_end`.
    fn set_grid(&mut self, first_group: u32, group_end: u32);
}

/// A uniform struct of these fields of 32 bits, behind the two that all have.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            pub(crate) first_group: u32,
            pub(crate) group_end: u32,
            $($(#[$field_doc])* pub(crate) $field: u32,)*
        }

        impl Params for $name {
            #[cfg(test)]
            const FIELDS: &'static [&'static str] = &["first_group", "group_end", $(stringify!($field)),*];

            fn set_grid(&mut self, first_group: u32, group_end: u32) {
                (self.first_group, self.group_end) = (first_group, group_end);
            }
        }
    };
}

pub(crate) use params;

/// Workgroups of one row of a dispatch; WebGPU's limit per dimension, and what the kernels fold at.
const FOLD: u32 = 65_535;

/// Multiply-adds of one dispatch, unless [`Gpu::with_longest_dispatch`] says otherwise. Long dispatches are cut, because operating systems take a
/// device away from a program whose single dispatch runs for seconds: at 1 TFLOP/s, which any GPU with memory of its own reaches, these take 0.4 s there and
/// 0.1 s elsewhere. The pieces run one after the other, so that many small ones leave a large GPU idle at the end of each.
pub(crate) const fn default_longest_dispatch(device_type: wgpu::DeviceType) -> u64 {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => 200_000_000_000,
        _ => 50_000_000_000,
    }
}

/// What dispatches are recorded into: a pass, a list of their grids, or a pass whose grids the device writes.
pub(crate) trait Recorder {
    /// Records one dispatch of `kernel` over `grid` workgroups, with what `bind` binds.
    fn dispatch(
        &mut self,
        kernel: &CompiledKernel,
        bind: impl FnOnce() -> Result<wgpu::BindGroup, Error>,
        grid: [u32; 3],
    ) -> Result<(), Error>;
}

impl Recorder for wgpu::ComputePass<'_> {
    fn dispatch(
        &mut self,
        kernel: &CompiledKernel,
        bind: impl FnOnce() -> Result<wgpu::BindGroup, Error>,
        [x, y, z]: [u32; 3],
    ) -> Result<(), Error> {
        let bound = bind()?;
        self.set_pipeline(kernel.pipeline());
        self.set_bind_group(0, &bound, &[]);
        self.dispatch_workgroups(x, y, z);
        Ok(())
    }
}

/// Records nothing: the grids of what would have been recorded, in order.
#[derive(Debug, Default)]
pub(crate) struct Grids(pub(crate) Vec<[u32; 3]>);

impl Recorder for Grids {
    fn dispatch(
        &mut self,
        _: &CompiledKernel,
        _: impl FnOnce() -> Result<wgpu::BindGroup, Error>,
        grid: [u32; 3],
    ) -> Result<(), Error> {
        self.0.push(grid);
        Ok(())
    }
}

/// Records dispatches whose grids the device reads when it gets there: three words of `grids` each, one after the other.
#[derive(Debug)]
pub(crate) struct Indirect<'p, 'e> {
    pub(crate) pass: &'p mut wgpu::ComputePass<'e>,
    pub(crate) grids: &'p wgpu::Buffer,
    /// Dispatches recorded so far, and so the place of the next one's grid.
    pub(crate) recorded: u64,
}

impl Recorder for Indirect<'_, '_> {
    fn dispatch(
        &mut self,
        kernel: &CompiledKernel,
        bind: impl FnOnce() -> Result<wgpu::BindGroup, Error>,
        _: [u32; 3],
    ) -> Result<(), Error> {
        let bound = bind()?;
        self.pass.set_pipeline(kernel.pipeline());
        self.pass.set_bind_group(0, &bound, &[]);
        self.pass
            .dispatch_workgroups_indirect(self.grids, 12 * self.recorded);
        self.recorded += 1;
        Ok(())
    }
}

/// Records `groups` workgroups of `kernel`, `fmas_per_group` multiply-adds each, in as many dispatches as that takes.
pub(crate) fn dispatch<P: Params>(
    gpu: &Gpu,
    recorder: &mut impl Recorder,
    kernel: &CompiledKernel,
    params: P,
    buffers: &[(&str, wgpu::BindingResource<'_>)],
    groups: u32,
    fmas_per_group: u64,
) -> Result<(), Error> {
    let most = (gpu.longest_dispatch() / fmas_per_group.max(1)).max(1);
    let most = u32::try_from(most).unwrap_or(u32::MAX).min(FOLD * FOLD);
    let mut first = 0;
    while first < groups {
        let count = most.min(groups - first);
        let mut params = params;
        params.set_grid(first, first + count);
        let bind = || {
            let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&params));
            let uniform = gpu.uniforms().get_or_create(words, || {
                gpu.constants(kernel.name(), words, wgpu::BufferUsages::UNIFORM)
            })?;
            let mut all = vec![("params", uniform.as_entire_binding())];
            all.extend_from_slice(buffers);
            Ok(kernel.bind(gpu, &all))
        };
        recorder.dispatch(kernel, bind, [count.min(FOLD), count.div_ceil(FOLD), 1])?;
        first += count;
    }
    Ok(())
}
