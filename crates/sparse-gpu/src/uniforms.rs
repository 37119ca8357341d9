//! The uniform buffers of dispatches: what is recorded again finds those of the first time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most buffers that are kept, of some hundred bytes each.
const MOST: usize = 1024;

/// Uniform buffers by what they hold. All layers of a model, and most of its tokens, record the same few; none is ever written again.
#[derive(Debug, Default)]
pub(crate) struct UniformCache {
    buffers: Mutex<HashMap<Box<[u32]>, wgpu::Buffer>>,
}

impl UniformCache {
    /// The buffer that holds `words`, from `create` where there is none yet.
    pub(crate) fn get_or_create<E>(
        &self,
        words: &[u32],
        create: impl FnOnce() -> Result<wgpu::Buffer, E>,
    ) -> Result<wgpu::Buffer, E> {
        // A browser tells only later that there was no memory: what it gave must not be kept.
        if cfg!(target_arch = "wasm32") {
            return create();
        }
        // The map is never left half changed, so a panic elsewhere while it was locked does not matter.
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = buffers.get(words) {
            return Ok(buffer.clone());
        }
        let buffer = create()?;
        // Recordings that still use them keep them alive.
        if buffers.len() == MOST {
            buffers.clear();
        }
        buffers.insert(words.into(), buffer.clone());
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn buffer(device: &wgpu::Device) -> wgpu::Buffer {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: false,
        })
    }

    #[test]
    fn the_same_words_share_a_buffer_and_few_are_kept() {
        let (device, _queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let (cache, created) = (UniformCache::default(), Cell::new(0));
        let get = |words: &[u32]| {
            cache.get_or_create(words, || {
                created.set(created.get() + 1);
                Ok::<_, ()>(buffer(&device))
            })
        };
        let first = get(&[1, 2]).unwrap();
        assert_eq!(get(&[1, 2]).unwrap(), first);
        assert_ne!(get(&[1, 3]).unwrap(), first);
        assert_eq!(created.get(), 2);
        for word in (0..).take(MOST) {
            get(&[word]).unwrap();
        }
        assert!(cache.buffers.lock().unwrap().len() <= MOST);
        assert_ne!(get(&[1, 2]).unwrap(), first, "it was among the first to go");
    }

    #[test]
    fn what_could_not_be_created_is_tried_again() {
        let (device, _queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let cache = UniformCache::default();
        assert_eq!(
            cache.get_or_create(&[1], || Err("no memory")).err(),
            Some("no memory")
        );
        assert!(
            cache
                .get_or_create(&[1], || Ok::<_, ()>(buffer(&device)))
                .is_ok()
        );
    }
}
