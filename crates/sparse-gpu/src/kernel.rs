//! Compiling kernels, once per device and variant.

use std::sync::Arc;

use sparse_shaders::{Access, Kernel, expand_in};

use crate::{Error, Gpu};

/// A pipeline and the bindings that it wants.
#[derive(Debug)]
pub(crate) struct CompiledKernel {
    name: String,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: Vec<sparse_shaders::Binding>,
}

impl CompiledKernel {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pipeline(&self) -> &wgpu::ComputePipeline {
        &self.pipeline
    }

    /// A bind group of the named buffers; every binding of the kernel has to be among them.
    pub(crate) fn bind(
        &self,
        gpu: &Gpu,
        buffers: &[(&str, wgpu::BindingResource<'_>)],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = self
            .bindings
            .iter()
            .filter_map(|binding| {
                let (_, resource) = buffers.iter().find(|(name, _)| *name == binding.name)?;
                Some(wgpu::BindGroupEntry {
                    binding: binding.index,
                    resource: resource.clone(),
                })
            })
            .collect();
        debug_assert_eq!(
            entries.len(),
            self.bindings.len(),
            "{}: a binding has no buffer",
            self.name
        );
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&self.name),
            layout: &self.layout,
            entries: &entries,
        })
    }
}

impl Gpu {
    /// The compiled kernel, from the cache where it has been compiled before.
    pub(crate) async fn compile<K: Kernel>(
        &self,
        kernel: &K,
    ) -> Result<Arc<CompiledKernel>, Error> {
        let name = kernel.name();
        let compiled = self
            .kernels()
            .get_or_compile(&name, self.compile_anew(kernel));
        compiled.await
    }

    async fn compile_anew<K: Kernel>(&self, kernel: &K) -> Result<Arc<CompiledKernel>, Error> {
        let name = kernel.name();
        let source = expand_in(kernel, self.words()).map_err(|e| Error::Kernel {
            kernel: name.clone(),
            message: e.to_string(),
        })?;
        #[cfg(test)]
        let source = self.mutated(source);
        // Whatever a driver says belongs to the plan: what no scope catches, wgpu turns into a panic.
        let filters = [
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
        ];
        let scopes = filters.map(|filter| self.device().push_error_scope(filter));
        let compiled = build(self.device(), source, self.pipeline_cache());
        // The innermost scope is popped first, and all before the first await: wgpu keeps scopes per thread, so that compiling in several
        // threads at once mixes no errors up, and a guard must not leave its thread.
        let answers: Vec<_> = scopes
            .into_iter()
            .rev()
            .map(wgpu::ErrorScopeGuard::pop)
            .collect();
        let mut refused = None;
        for answer in answers {
            refused = answer.await.or(refused);
        }
        if let Some(error) = refused {
            return Err(Error::Kernel {
                kernel: name,
                message: error.to_string(),
            });
        }
        Ok(Arc::new(compiled))
    }
}

#[expect(
    unsafe_code,
    reason = "the trusted module is how wgpu takes the runtime checks that we want"
)]
fn build(
    device: &wgpu::Device,
    source: sparse_shaders::Source,
    cache: Option<&wgpu::PipelineCache>,
) -> CompiledKernel {
    let checks = wgpu::ShaderRuntimeChecks {
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: only loop bounding is off, and every loop of our kernels ends: its bounds are sizes that the host has checked, or a
    // block row's range from an index array that its format has validated. Bounds checks stay on.
    let module = unsafe {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(&source.name),
            source: wgpu::ShaderSource::Wgsl(source.wgsl.into()),
        };
        device.create_shader_module_trusted(descriptor, checks)
    };
    let entries: Vec<_> = source.bindings.iter().map(layout_entry).collect();
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
        cache,
        // Every kernel writes its workgroup memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
    });
    CompiledKernel {
        name: source.name,
        pipeline,
        layout,
        bindings: source.bindings,
    }
}

fn layout_entry(binding: &sparse_shaders::Binding) -> wgpu::BindGroupLayoutEntry {
    let ty = match binding.access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding: binding.index,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
