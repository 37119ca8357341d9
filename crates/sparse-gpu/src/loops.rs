//! Loops that a driver ends early.

use crate::{AdapterClass, AdapterSummary, Error, Gpu};

/// Mesa's `LP_MAX_TGSI_LOOP_ITERATIONS`: rounds of all loops of one invocation together, after which llvmpipe leaves every loop as if it
/// were done.
pub(crate) const LLVMPIPE_ROUNDS: usize = 65_535;

impl Gpu {
    /// Rounds of loops that an invocation may run.
    pub(crate) fn longest_loop(&self) -> usize {
        if may_be_llvmpipe(self.adapter(), self.class()) {
            LLVMPIPE_ROUNDS
        } else {
            usize::MAX
        }
    }

    /// Whether the driver runs loops of `rounds` rounds in total to their end.
    pub(crate) fn runs_loops(&self, rounds: usize) -> bool {
        rounds <= self.longest_loop()
    }

    /// Refuses `what`, whose invocations run loops of `rounds` rounds in total, on a driver that would not run them all: a sum would
    /// silently lack its rest.
    pub(crate) fn check_loops(&self, what: String, rounds: usize) -> Result<(), Error> {
        if self.runs_loops(rounds) {
            return Ok(());
        }
        Err(Error::Unavailable {
            what,
            needs: format!("a driver that runs loops of {rounds} rounds"),
            has: format!(
                "{}, which ends the loops of a shader after {LLVMPIPE_ROUNDS} without a word",
                if is_llvmpipe(self.adapter()) {
                    "llvmpipe"
                } else {
                    "a driver on the processor that the browser does not name and that may be llvmpipe"
                }
            ),
            hint: "split the longest dimension and combine the results, or use another adapter"
                .to_owned(),
        })
    }
}

fn is_llvmpipe(adapter: &AdapterSummary) -> bool {
    adapter.name.starts_with("llvmpipe")
}

/// Whether the driver is llvmpipe, or may be. `class` is what the program says of the adapter.
fn may_be_llvmpipe(adapter: &AdapterSummary, class: AdapterClass) -> bool {
    // In a browser the name is `GPUAdapterInfo.description`, which may be empty or say nothing of the driver: there every driver on the processor is
    // taken for llvmpipe, since a sum that is refused is better than one that lacks its rest.
    let in_browser = adapter.backend == wgpu::Backend::BrowserWebGpu.to_str();
    let on_processor = adapter.class.is_software() || class.is_software();
    is_llvmpipe(adapter) || (in_browser && on_processor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(
        name: &str,
        backend: wgpu::Backend,
        device_type: wgpu::DeviceType,
    ) -> AdapterSummary {
        let mut info = wgpu::AdapterInfo::new(device_type, backend);
        name.clone_into(&mut info.name);
        let features = wgpu::Features::empty();
        AdapterSummary::of_info(&info, features, &wgpu::Limits::default())
    }

    #[test]
    fn a_browser_need_not_name_llvmpipe() {
        use AdapterClass::{Other, Software};
        use wgpu::Backend::{BrowserWebGpu, Vulkan};
        use wgpu::DeviceType::{self, Cpu};
        let may_be = |name, backend, device_type, class| {
            may_be_llvmpipe(&adapter(name, backend, device_type), class)
        };
        let unknown = DeviceType::Other;
        assert!(may_be("llvmpipe (LLVM 15)", Vulkan, Cpu, Software));
        assert!(!may_be("SwiftShader Device", Vulkan, Cpu, Software));
        // A fallback adapter is one on the processor; of others the page may know the vendor.
        assert!(may_be("", BrowserWebGpu, Cpu, Other));
        assert!(may_be("", BrowserWebGpu, unknown, Software));
        assert!(may_be("llvmpipe", BrowserWebGpu, unknown, Other));
        assert!(!may_be("", BrowserWebGpu, unknown, Other));
        assert!(!may_be("", BrowserWebGpu, unknown, AdapterClass::Nvidia));
    }
}
