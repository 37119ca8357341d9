//! A Vulkan device with the features that wgpu would enable for our kernels.

use std::ffi::CStr;

use anyhow::{Context, Result, bail};
use ash::{ext, khr, vk};

use super::Matrices;
use crate::spirv::Target;

/// What a driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The adapter's name.
    pub name: String,
    /// The driver's identifier.
    pub driver: vk::DriverId,
    /// Name and version of the driver, in words.
    pub driver_text: String,
    /// PCI vendor.
    pub vendor: u32,
    /// A driver that runs on the processor.
    pub software: bool,
    /// Version of Vulkan.
    pub api_version: u32,
}

/// A device to compile on. Nothing is ever executed.
pub struct Chip {
    pub(super) device: ash::Device,
    pub(super) executables: khr::pipeline_executable_properties::Device,
    instance: ash::Instance,
    description: Description,
    target: Target,
    matrices: Option<Matrices>,
    // The library must outlive what was loaded from it.
    _entry: ash::Entry,
}

impl std::fmt::Debug for Chip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chip")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl Chip {
    /// The first adapter whose name contains `wanted`, ignoring case; without a wish the first that is not the processor.
    ///
    /// # Errors
    /// No Vulkan library, no such adapter, or an adapter whose driver does not tell about its machine code.
    pub fn open(wanted: Option<&str>) -> Result<Self> {
        // SAFETY: the system's Vulkan loader is what its users trust it to be.
        #[expect(unsafe_code, reason = "loading a library")]
        let entry = unsafe { ash::Entry::load() }.context(
            "the Vulkan loader (libvulkan.so.1) is not there; on Debian: apt-get install libvulkan1 mesa-vulkan-drivers",
        )?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structs live during the call; the instance is destroyed in drop.
        #[expect(unsafe_code, reason = "Vulkan")]
        let instance = unsafe { entry.create_instance(&info, None) }
            .context("no Vulkan driver answers; on Debian: apt-get install mesa-vulkan-drivers")?;
        match open_device(&entry, &instance, wanted) {
            Ok((device, description, target, matrices)) => Ok(Self {
                matrices,
                executables: khr::pipeline_executable_properties::Device::new(&instance, &device),
                device,
                instance,
                description,
                target,
                _entry: entry,
            }),
            Err(error) => {
                // SAFETY: nothing made from the instance is left.
                #[expect(unsafe_code, reason = "Vulkan")]
                unsafe {
                    instance.destroy_instance(None);
                }
                Err(error)
            }
        }
    }

    /// The adapter and its driver.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The cooperative matrices that kernels can use on it.
    pub fn matrices(&self) -> Option<Matrices> {
        self.matrices
    }

    /// How SPIR-V is written for it.
    pub fn target(&self) -> Target {
        self.target
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        // SAFETY: every pipeline was destroyed by the call that made it.
        #[expect(unsafe_code, reason = "Vulkan")]
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

fn open_device(
    entry: &ash::Entry,
    instance: &ash::Instance,
    wanted: Option<&str>,
) -> Result<(ash::Device, Description, Target, Option<Matrices>)> {
    // SAFETY: the instance is alive.
    #[expect(unsafe_code, reason = "Vulkan")]
    let devices = unsafe { instance.enumerate_physical_devices() }
        .context("no Vulkan driver answers; on Debian: apt-get install mesa-vulkan-drivers")?;
    let described: Vec<_> = devices
        .into_iter()
        .map(|device| (device, describe(instance, device)))
        .collect();
    let names: Vec<_> = described.iter().map(|(_, d)| d.name.as_str()).collect();
    let fits = |d: &Description| match wanted {
        Some(part) => d.name.to_lowercase().contains(&part.to_lowercase()),
        None => !d.software,
    };
    let Some((physical, description)) = described.iter().find(|(_, d)| fits(d)) else {
        let wish = wanted.map_or("GPU".to_owned(), |part| format!("adapter named {part:?}"));
        bail!(
            "there is no {wish} here; adapters: {names:?}. RADV compiles for AMD GPUs without hardware where RADV_FORCE_FAMILY is set, for instance to navi21"
        );
    };
    require_extension(instance, *physical, description)?;
    // Drivers may have what their entry point does not answer for; without the library's own there is nothing to ask.
    let matrices = Matrices::of(entry, instance, *physical);
    let (device, robust_buffers) = create(instance, *physical, matrices.is_some())
        .with_context(|| format!("{} makes no device", description.name))?;
    let target = Target {
        version: Target::version_for(description.api_version),
        robust_buffers,
        names_of_varyings: description.vendor != 0x5143,
    };
    Ok((device, description.clone(), target, matrices))
}

fn describe(instance: &ash::Instance, device: vk::PhysicalDevice) -> Description {
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: the device comes from this instance, the chain lives during the call.
    #[expect(unsafe_code, reason = "Vulkan")]
    unsafe {
        instance.get_physical_device_properties2(device, &mut properties);
    }
    let properties = properties.properties;
    Description {
        name: text(&properties.device_name),
        driver: driver.driver_id,
        driver_text: format!(
            "{} {}",
            text(&driver.driver_name),
            text(&driver.driver_info)
        ),
        vendor: properties.vendor_id,
        software: properties.device_type == vk::PhysicalDeviceType::CPU,
        api_version: properties.api_version,
    }
}

fn require_extension(
    instance: &ash::Instance,
    device: vk::PhysicalDevice,
    description: &Description,
) -> Result<()> {
    // SAFETY: the device comes from this instance.
    #[expect(unsafe_code, reason = "Vulkan")]
    let extensions = unsafe { instance.enumerate_device_extension_properties(device) }?;
    let name = khr::pipeline_executable_properties::NAME;
    if extensions
        .iter()
        .any(|e| e.extension_name_as_c_str() == Ok(name))
    {
        return Ok(());
    }
    bail!(
        "{} ({}) has no VK_KHR_pipeline_executable_properties: it does not tell about its machine code",
        description.name,
        description.driver_text
    );
}

/// The device, and whether buffers are robust in the second sense.
fn create(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    with_matrices: bool,
) -> Result<(ash::Device, bool)> {
    let mut has_robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
    let mut has = vk::PhysicalDeviceFeatures2::default().push_next(&mut has_robustness);
    // SAFETY: the device comes from this instance, the chain lives during the call.
    #[expect(unsafe_code, reason = "Vulkan")]
    unsafe {
        instance.get_physical_device_features2(physical, &mut has);
    }
    let core = vk::PhysicalDeviceFeatures::default()
        .robust_buffer_access(has.features.robust_buffer_access == vk::TRUE);
    let robust_buffers = has_robustness.robust_buffer_access2 == vk::TRUE;
    let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
        .robust_buffer_access2(robust_buffers)
        .robust_image_access2(has_robustness.robust_image_access2 == vk::TRUE);
    let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
        .pipeline_executable_info(true);
    let mut extensions = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
    if robust_buffers {
        extensions.push(ext::robustness2::NAME.as_ptr());
    }
    let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
    let mut info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_features(&core)
        .push_next(&mut executables);
    if robust_buffers {
        info = info.push_next(&mut robustness);
    }
    // What wgpu enables for them.
    let mut matrices =
        vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
    let mut halves = vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(true);
    let mut stored_halves =
        vk::PhysicalDevice16BitStorageFeatures::default().storage_buffer16_bit_access(true);
    let mut memory_model = vk::PhysicalDeviceVulkanMemoryModelFeatures::default()
        .vulkan_memory_model(true)
        .vulkan_memory_model_device_scope(true);
    if with_matrices {
        extensions.push(khr::cooperative_matrix::NAME.as_ptr());
        info = info
            .push_next(&mut matrices)
            .push_next(&mut halves)
            .push_next(&mut stored_halves)
            .push_next(&mut memory_model);
    }
    let info = info.enabled_extension_names(&extensions);
    // SAFETY: everything that the struct points at lives during the call; the extensions were asked for above.
    #[expect(unsafe_code, reason = "Vulkan")]
    let device = unsafe { instance.create_device(physical, &info, None) }?;
    Ok((device, robust_buffers))
}

/// The text of a Vulkan array of characters.
pub(super) fn text(characters: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = characters.iter().map(|&c| c.cast_unsigned()).collect();
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}
