//! One micro-kernel: compiled, run once for its sums, and recorded as often as it is timed.

use sparse_core::DType;
use sparse_gpu::{Gpu, GpuTensor, wgpu};
use sparse_shaders::{Access, CEILING_LANES, Kernel, Source, expand_in};

use super::CeilingError;

/// A compiled ceiling kernel with its buffers.
#[derive(Debug)]
pub(super) struct MicroKernel {
    pub(super) name: String,
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    /// Words of 32 bits, whatever they mean: floats or integers.
    pub(super) sums: GpuTensor,
    groups: u32,
}

/// What a kernel reads and how much it writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands<'a> {
    /// Bound read-only.
    pub(super) input: &'a GpuTensor,
    /// Bytes of it that are bound.
    pub(super) input_bytes: u64,
    /// Words that every invocation writes.
    pub(super) sum_words: usize,
}

impl MicroKernel {
    /// Compiles `kernel` for `groups` workgroups.
    pub(super) fn new<K: Kernel>(
        gpu: &Gpu,
        kernel: &K,
        operands: Operands<'_>,
        groups: u32,
    ) -> Result<Self, CeilingError> {
        let device = gpu.device();
        let source = expand_in(kernel, gpu.words())?;
        let scopes = [
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
        ]
        .map(|filter| device.push_error_scope(filter));
        let module = module(device, &source);
        let entries: Vec<_> = source
            .bindings
            .iter()
            .map(|binding| wgpu::BindGroupLayoutEntry {
                binding: binding.index,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage {
                        read_only: binding.access == Access::Read,
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&source.name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&source.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&source.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            cache: None,
            // They write their workgroup memory before they read it, as those of plans do.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
        });
        let invocations = CEILING_LANES * groups as usize;
        let sums = gpu.empty_tensor(&[invocations, operands.sum_words], DType::F32)?;
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&source.name),
            layout: &layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: operands.input.buffer(),
                        offset: operands.input.offset(),
                        size: wgpu::BufferSize::new(operands.input_bytes),
                    }),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: sums.buffer(),
                        offset: sums.offset(),
                        size: None,
                    }),
                },
            ],
        });
        // The innermost scope is popped first.
        for scope in scopes.into_iter().rev() {
            if let Some(error) = pollster::block_on(scope.pop()) {
                return Err(CeilingError::Refused {
                    kernel: source.name,
                    message: error.to_string(),
                });
            }
        }
        Ok(Self {
            name: source.name,
            pipeline,
            bindings,
            sums,
            groups,
        })
    }

    /// Records one run.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.groups, 1, 1);
    }
}

/// With the checks that kernels of plans have (`sparse_gpu`, kernel.rs), and no others: a ceiling that bears more of them than what stands under it is
/// too low.
#[expect(
    unsafe_code,
    reason = "the trusted module is how wgpu takes the runtime checks that we want"
)]
fn module(device: &wgpu::Device, source: &Source) -> wgpu::ShaderModule {
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: only loop bounding is off, and every loop of a ceiling kernel ends: its bounds are numbers in the text. Bounds checks stay on.
    unsafe {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&source.name),
            source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
        };
        device.create_shader_module_trusted(descriptor, checks)
    }
}
