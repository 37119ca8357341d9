//! One pipeline: compiled, asked about, destroyed.

use anyhow::{Context, Result};
use ash::vk;
use sparse_shaders::{Access, Source};

use super::Chip;
use super::device::text;
use crate::spirv;

/// What a driver tells about one compiled kernel. Most make one executable of a kernel, some one for each width of a subgroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// Its executables.
    pub executables: Vec<Executable>,
}

/// One compiled program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Executable {
    /// The driver's name for it.
    pub name: String,
    /// Invocations of a subgroup.
    pub subgroup_size: u32,
    /// Numbers.
    pub statistics: Vec<Statistic>,
    /// Texts: what the program looks like at several stages of compiling. Name, text.
    pub representations: Vec<(String, String)>,
}

/// A number that a driver tells about a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistic {
    /// The driver's name for it.
    pub name: String,
    /// The value.
    pub value: f64,
}

impl Executable {
    /// The number of that name.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.statistics
            .iter()
            .find(|s| s.name == name)
            .map(|s| s.value)
    }

    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.representations
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, text)| text.as_str())
    }
}

impl Chip {
    /// Compiles `source` as wgpu would and asks the driver about the result.
    ///
    /// # Errors
    /// naga's or the driver's refusal.
    pub fn compile(&self, source: &Source) -> Result<Compiled> {
        let words = spirv::compile(source, self.target())?;
        let bindings: Vec<_> = (0..)
            .zip(&source.bindings)
            .map(|(number, binding)| {
                let kind = match binding.access {
                    Access::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
                    Access::Read | Access::ReadWrite => vk::DescriptorType::STORAGE_BUFFER,
                };
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        self.with_pipeline(&words, &bindings)
            .with_context(|| format!("{}: the driver does not compile it", source.name))
    }

    #[expect(unsafe_code, reason = "Vulkan")]
    fn with_pipeline(
        &self,
        words: &[u32],
        bindings: &[vk::DescriptorSetLayoutBinding<'_>],
    ) -> Result<Compiled> {
        let device = &self.device;
        // SAFETY: every struct lives during its call, each object is destroyed once, after the last use; the SPIR-V was validated by naga.
        unsafe {
            let set_info = vk::DescriptorSetLayoutCreateInfo::default().bindings(bindings);
            let set = device.create_descriptor_set_layout(&set_info, None)?;
            let sets = [set];
            let layout_info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&layout_info, None);
            let module = device
                .create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None);
            let made = match (&layout, &module) {
                (&Ok(layout), &Ok(module)) => {
                    let stage = vk::PipelineShaderStageCreateInfo::default()
                        .stage(vk::ShaderStageFlags::COMPUTE)
                        .module(module)
                        .name(c"main");
                    let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
                    let info = vk::ComputePipelineCreateInfo::default()
                        .flags(flags)
                        .layout(layout)
                        .stage(stage);
                    device
                        .create_compute_pipelines(vk::PipelineCache::null(), &[info], None)
                        .map_err(|(_, error)| error)
                }
                (Err(error), _) | (_, Err(error)) => Err(*error),
            };
            let result = made.map_err(anyhow::Error::from).and_then(|pipelines| {
                let asked = self.ask(pipelines[0]);
                device.destroy_pipeline(pipelines[0], None);
                asked
            });
            if let Ok(module) = module {
                device.destroy_shader_module(module, None);
            }
            if let Ok(layout) = layout {
                device.destroy_pipeline_layout(layout, None);
            }
            device.destroy_descriptor_set_layout(set, None);
            result
        }
    }

    #[expect(unsafe_code, reason = "Vulkan")]
    fn ask(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
        // SAFETY: the pipeline is alive and was made to be asked.
        let properties = unsafe { self.executables.get_pipeline_executable_properties(&info) }?;
        let mut executables = Vec::new();
        for (index, property) in (0..).zip(&properties) {
            let info = vk::PipelineExecutableInfoKHR::default()
                .pipeline(pipeline)
                .executable_index(index);
            // SAFETY: as above; the index is one of those that the driver named.
            let statistics = unsafe { self.executables.get_pipeline_executable_statistics(&info) }?;
            executables.push(Executable {
                name: text(&property.name),
                subgroup_size: property.subgroup_size,
                statistics: statistics.iter().map(statistic).collect(),
                representations: self.representations(&info)?,
            });
        }
        Ok(Compiled { executables })
    }

    #[expect(unsafe_code, reason = "Vulkan")]
    fn representations(
        &self,
        info: &vk::PipelineExecutableInfoKHR<'_>,
    ) -> Result<Vec<(String, String)>> {
        let ask = self
            .executables
            .fp()
            .get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: the first call asks for the number of texts, the second for their sizes, the third fills buffers of those sizes.
        unsafe {
            ask(device, info, &raw mut count, std::ptr::null_mut()).result()?;
            let mut found =
                vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            ask(device, info, &raw mut count, found.as_mut_ptr()).result()?;
            let mut buffers: Vec<Vec<u8>> = found.iter().map(|f| vec![0; f.data_size]).collect();
            for (one, buffer) in found.iter_mut().zip(&mut buffers) {
                one.p_data = buffer.as_mut_ptr().cast();
            }
            ask(device, info, &raw mut count, found.as_mut_ptr()).result()?;
            let texts = found
                .iter()
                .zip(buffers)
                .filter(|(one, _)| one.is_text == vk::TRUE);
            Ok(texts
                .map(|(one, buffer)| {
                    let text_of = String::from_utf8_lossy(&buffer);
                    (text(&one.name), text_of.trim_end_matches('\0').to_owned())
                })
                .collect())
        }
    }
}

fn statistic(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> Statistic {
    // SAFETY: the format says which member of the union was written.
    #[expect(
        unsafe_code,
        clippy::cast_precision_loss,
        reason = "a union; numbers of instructions are small"
    )]
    let value = unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => f64::from(statistic.value.b32),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => statistic.value.i64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => statistic.value.u64 as f64,
            _ => statistic.value.f64,
        }
    };
    Statistic {
        name: text(&statistic.name),
        value,
    }
}
