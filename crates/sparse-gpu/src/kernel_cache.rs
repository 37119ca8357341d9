//! The kernels of a device, each compiled once however many threads want it at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_lock::OnceCell;

use crate::kernel::CompiledKernel;
use crate::{Error, Gpu};

type Slot = Arc<OnceCell<Arc<CompiledKernel>>>;

/// Compiled kernels by name.
#[derive(Debug, Default)]
pub(crate) struct KernelCache {
    slots: Mutex<HashMap<String, Slot>>,
    compilations: AtomicU64,
}

impl KernelCache {
    /// The kernel `name`, by `compile` where it is not there yet. Who comes while another compiles it waits for that one; where that fails,
    /// or is given up, the next one tries.
    pub(crate) async fn get_or_compile(
        &self,
        name: &str,
        compile: impl Future<Output = Result<Arc<CompiledKernel>, Error>>,
    ) -> Result<Arc<CompiledKernel>, Error> {
        let slot = self.slot(name);
        let compiled = slot.get_or_try_init(|| {
            self.compilations.fetch_add(1, Ordering::Relaxed);
            compile
        });
        compiled.await.cloned()
    }

    fn slot(&self, name: &str) -> Slot {
        // The map is never left half changed, so a panic elsewhere while it was locked does not matter.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }
}

impl Gpu {
    /// How many kernels have been compiled on this device so far, those that the driver refused among them. Clones count together. Plans
    /// whose kernels are there already add nothing.
    pub fn compiled_kernels(&self) -> u64 {
        self.kernels().compilations.load(Ordering::Relaxed)
    }
}
