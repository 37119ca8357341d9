//! What kind of device an adapter is, as far as the choice of tiles depends on it.

/// The make of an adapter. Every operation has a table of default tiles per class, because makes differ in what an invocation may hold:
/// registers, workgroup memory, the width of a subgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterClass {
    /// A driver that runs shaders on the processor: lavapipe, SwiftShader, WARP.
    Software,
    /// Lavapipe on a processor with AVX-512: twice the vector registers, loads from places that differ by lane in one instruction, a blend
    /// with the active lanes for little. Loops may be longer there.
    SoftwareAvx512,
    /// AMD: 256 registers an invocation; 16 of 64 invocations or 1536 registers of 32 lanes a SIMD on RDNA.
    Amd,
    /// NVIDIA: 255 registers an invocation, 65 536 a multiprocessor.
    Nvidia,
    /// Intel: 128 registers of 32 or 64 bytes a thread, whose width the compiler fits to what the kernel holds.
    Intel,
    /// Qualcomm Adreno: 48 registers of four floats at most.
    Adreno,
    /// ARM Mali: 64 registers an invocation, half of them at full occupancy.
    Mali,
    /// Apple: about 128 registers an invocation at half occupancy, 32 lanes.
    Apple,
    /// Anything else, and browsers that do not tell.
    Other,
}

impl AdapterClass {
    /// All classes.
    pub const ALL: [Self; 9] = [
        Self::Software,
        Self::SoftwareAvx512,
        Self::Amd,
        Self::Nvidia,
        Self::Intel,
        Self::Adreno,
        Self::Mali,
        Self::Apple,
        Self::Other,
    ];

    /// The class of an adapter.
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        if info.device_type == wgpu::DeviceType::Cpu {
            return Self::of_software(&info.name, processor_has_avx512());
        }
        match Self::of_vendor(info.vendor) {
            // Metal does not tell the vendor; a Mac has an AMD or Intel GPU where the name says so.
            Self::Other if info.backend == wgpu::Backend::Metal => Self::of_metal_name(&info.name),
            class => class,
        }
    }

    /// The class of a PCI vendor, or of the number that Vulkan gives to vendors without one.
    pub const fn of_vendor(vendor: u32) -> Self {
        match vendor {
            0x1002 | 0x1022 => Self::Amd,
            0x10de => Self::Nvidia,
            0x8086 => Self::Intel,
            0x5143 | 0x4d4f_4351 => Self::Adreno,
            0x13b5 => Self::Mali,
            0x106b => Self::Apple,
            _ => Self::Other,
        }
    }

    /// The class of a vendor as browsers name it, in `GPUAdapterInfo.vendor` of the WebGPU specification: `nvidia`, `qualcomm` and so on; empty where
    /// they do not tell.
    pub fn of_web_vendor(vendor: &str) -> Self {
        match vendor {
            "amd" => Self::Amd,
            "nvidia" => Self::Nvidia,
            "intel" => Self::Intel,
            "qualcomm" => Self::Adreno,
            "arm" => Self::Mali,
            "apple" => Self::Apple,
            "google" | "mesa" | "microsoft" => Self::Software,
            _ => Self::Other,
        }
    }

    /// Lavapipe compiles for the processor of this program; other software drivers are not known to use AVX-512.
    fn of_software(name: &str, avx512: bool) -> Self {
        if avx512 && name.starts_with("llvmpipe") {
            Self::SoftwareAvx512
        } else {
            Self::Software
        }
    }

    /// Whether shaders run on the processor.
    pub const fn is_software(self) -> bool {
        matches!(self, Self::Software | Self::SoftwareAvx512)
    }

    fn of_metal_name(name: &str) -> Self {
        let name = name.to_lowercase();
        if name.contains("amd") || name.contains("radeon") {
            Self::Amd
        } else if name.contains("intel") {
            Self::Intel
        } else if name.contains("nvidia") {
            Self::Nvidia
        } else {
            Self::Apple
        }
    }

    /// `software`, `software-avx512`, `amd`, `nvidia`, `intel`, `adreno`, `mali`, `apple` or `other`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::SoftwareAvx512 => "software-avx512",
            Self::Amd => "amd",
            Self::Nvidia => "nvidia",
            Self::Intel => "intel",
            Self::Adreno => "adreno",
            Self::Mali => "mali",
            Self::Apple => "apple",
            Self::Other => "other",
        }
    }
}

/// Whether the processor that runs this program has the parts of AVX-512 that llvmpipe's compiler uses.
fn processor_has_avx512() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    {
        false
    }
}

impl std::fmt::Display for AdapterClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(vendor: u32, backend: wgpu::Backend, name: &str) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, backend);
        info.vendor = vendor;
        name.clone_into(&mut info.name);
        info
    }

    #[test]
    fn vendors_tell_the_class() {
        let classes = [0x1002, 0x10de, 0x8086, 0x5143, 0x13b5, 0x106b, 0x1010]
            .map(|vendor| AdapterClass::of(&adapter(vendor, wgpu::Backend::Vulkan, "?")).name());
        let expected = ["amd", "nvidia", "intel", "adreno", "mali", "apple", "other"];
        assert_eq!(classes, expected);
    }

    #[test]
    fn browsers_name_vendors() {
        let classes = ["nvidia", "qualcomm", "arm", "google", "", "NVIDIA"]
            .map(|vendor| AdapterClass::of_web_vendor(vendor).name());
        let expected = ["nvidia", "adreno", "mali", "software", "other", "other"];
        assert_eq!(classes, expected);
    }

    #[test]
    fn metal_tells_only_a_name() {
        let classes = [
            "Apple M2 Pro",
            "AMD Radeon Pro 5500M",
            "Intel(R) UHD Graphics 630",
        ]
        .map(|name| AdapterClass::of(&adapter(0, wgpu::Backend::Metal, name)).name());
        assert_eq!(classes, ["apple", "amd", "intel"]);
    }

    #[test]
    fn a_driver_on_the_processor_is_software_whoever_made_it() {
        let mut info = adapter(0x8086, wgpu::Backend::Vulkan, "llvmpipe");
        info.device_type = wgpu::DeviceType::Cpu;
        assert!(AdapterClass::of(&info).is_software());
    }

    #[test]
    fn only_lavapipe_is_known_to_use_avx512() {
        let class = |name, avx512| AdapterClass::of_software(name, avx512).name();
        let lavapipe = "llvmpipe (LLVM 21.1.8, 256 bits)";
        assert_eq!(class(lavapipe, true), "software-avx512");
        assert_eq!(class(lavapipe, false), "software");
        assert_eq!(class("SwiftShader Device (LLVM 16.0.0)", true), "software");
    }

    #[test]
    fn software_is_what_its_name_says() {
        for class in AdapterClass::ALL {
            assert_eq!(class.is_software(), class.name().starts_with("software"));
        }
    }
}
