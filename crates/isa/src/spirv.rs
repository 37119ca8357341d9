//! WGSL to SPIR-V exactly as wgpu 30 does it on Vulkan, without a wgpu device: that cannot be had on every driver without hardware.

use anyhow::{Context, Result, anyhow};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use sparse_shaders::{Source, naga_for};

/// What of a device decides how wgpu writes SPIR-V for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Major and minor version of SPIR-V.
    pub version: (u8, u8),
    /// Whether `robustBufferAccess2` keeps reads and writes in bounds; otherwise naga clamps every index.
    pub robust_buffers: bool,
    /// Qualcomm's drivers do not take names of varyings.
    pub names_of_varyings: bool,
}

impl Target {
    /// The newest SPIR-V that a device of this Vulkan version takes: what `wgpu_hal::vulkan::adapter` chooses.
    pub fn version_for(api_version: u32) -> (u8, u8) {
        let minor = ash::vk::api_version_minor(api_version);
        match (ash::vk::api_version_major(api_version), minor) {
            (1, 0) => (1, 0),
            (1, 1) => (1, 3),
            (1, 2) => (1, 5),
            _ => (1, 6),
        }
    }
}

/// SPIR-V words of `source`, for our runtime checks: bounds checks on, loop bounding off, workgroup memory not zeroed.
///
/// # Errors
/// What naga says, where it does not take the text.
pub fn compile(source: &Source, target: Target) -> Result<Vec<u32>> {
    let (module, info) = parse(source)?;
    write(source, &module, &info, target)
}

/// The text as naga's writers want it.
///
/// # Errors
/// What naga says, where it does not take the text.
pub fn parse(source: &Source) -> Result<(naga::Module, ModuleInfo)> {
    let (options, mut validator) = naga_for(source.extensions);
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&source.wgsl)
        .map_err(|e| anyhow!(e.emit_to_string(&source.wgsl)))?;
    let info = validator
        .validate(&module)
        .map_err(|e| anyhow!(e.emit_to_string(&source.wgsl)))?;
    Ok((module, info))
}

/// As [`compile`], of a module that [`parse`] made of `source`.
///
/// # Errors
/// What naga's writer cannot express.
pub fn write(
    source: &Source,
    module: &naga::Module,
    info: &ModuleInfo,
    target: Target,
) -> Result<Vec<u32>> {
    let entry = spv::PipelineOptions {
        entry_point: "main".to_owned(),
        shader_stage: naga::ShaderStage::Compute,
    };
    spv::write_vec(module, info, &options(source, target), Some(&entry))
        .with_context(|| format!("{}: naga writes no SPIR-V", source.name))
}

fn options(source: &Source, target: Target) -> spv::Options<'static> {
    let mut flags = spv::WriterFlags::FORCE_POINT_SIZE;
    flags.set(spv::WriterFlags::LABEL_VARYINGS, target.names_of_varyings);
    // Bindings of a group are numbered without gaps.
    let binding_map = (0..)
        .zip(&source.bindings)
        .map(|(binding, ours)| {
            let place = naga::ResourceBinding {
                group: 0,
                binding: ours.index,
            };
            let info = spv::BindingInfo {
                descriptor_set: 0,
                binding,
                binding_array_size: None,
            };
            (place, info)
        })
        .collect();
    spv::Options {
        lang_version: target.version,
        flags,
        binding_map,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            buffer: if target.robust_buffers {
                BoundsCheckPolicy::Unchecked
            } else {
                BoundsCheckPolicy::Restrict
            },
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: true,
        ..spv::Options::default()
    }
}
