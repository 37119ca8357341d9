//! Cooperative matrices that a driver lists.

use ash::{khr, vk};
use sparse_shaders::MatrixSize;

/// What tiles of kernels on cooperative matrices depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrices {
    /// The largest size that kernels can use: f16 in, f32 out.
    pub size: MatrixSize,
    /// Invocations of the smallest and the largest subgroup.
    pub subgroup_sizes: (u32, u32),
}

impl Matrices {
    /// Those of an adapter; none where it lists no shape that kernels can use.
    #[expect(unsafe_code, reason = "Vulkan")]
    pub(super) fn of(
        entry: &ash::Entry,
        instance: &ash::Instance,
        device: vk::PhysicalDevice,
    ) -> Option<Self> {
        // SAFETY: the device comes from this instance.
        let extensions = unsafe { instance.enumerate_device_extension_properties(device) }.ok()?;
        extensions
            .iter()
            .find(|e| e.extension_name_as_c_str() == Ok(khr::cooperative_matrix::NAME))?;
        let ask = khr::cooperative_matrix::Instance::new(entry, instance);
        // SAFETY: the device has the extension.
        let shapes =
            unsafe { ask.get_physical_device_cooperative_matrix_properties(device) }.ok()?;
        let fits = |size: &MatrixSize| {
            shapes.iter().any(|shape| {
                [shape.m_size, shape.n_size, shape.k_size].map(|n| n as usize) == [size.side(); 3]
                    && [shape.a_type, shape.b_type] == [vk::ComponentTypeKHR::FLOAT16; 2]
                    && [shape.c_type, shape.result_type] == [vk::ComponentTypeKHR::FLOAT32; 2]
                    && shape.scope == vk::ScopeKHR::SUBGROUP
            })
        };
        let size = MatrixSize::ALL.into_iter().find(fits)?;
        let mut sizes = vk::PhysicalDeviceSubgroupSizeControlProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut sizes);
        // SAFETY: the device comes from this instance, the chain lives during the call.
        unsafe {
            instance.get_physical_device_properties2(device, &mut properties);
        }
        Some(Self {
            size,
            subgroup_sizes: (sizes.min_subgroup_size, sizes.max_subgroup_size),
        })
    }
}
