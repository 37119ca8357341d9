//! Compiled pipelines kept over runs of a program: wgpu's pipeline cache (Vulkan only), in a wrapping that tells damaged bytes.
//!
//! wgpu 30 checks the origin of saved bytes by a header (backend, vendor, device, driver version, length) and hands the rest to the driver
//! unseen; it reserves room for a hash and does not compute one. The driver checks a header of its own and need not check more. So bytes
//! that were changed on the way could do anything: that is why wgpu's function is unsafe, and ours too.

/// Why saved pipelines were not taken. None of these is harmful: begin with an empty cache, [`crate::Gpu::with_pipeline_cache`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineCacheError {
    /// They are something else, or of another version of this crate.
    #[error("no pipelines that this version of sparse-gpu saved; begin with an empty cache")]
    Format,
    /// They are not as they were saved.
    #[error(
        "damaged pipelines: {actual} bytes of {expected} are there, or some have changed; begin with an empty cache"
    )]
    Damaged {
        /// Bytes that were saved.
        expected: u64,
        /// Bytes that are there.
        actual: u64,
    },
    /// They are for another adapter or another version of its driver.
    #[error(
        "the pipelines were saved on {saved_on}, this device is {device}; begin with an empty cache"
    )]
    Adapter {
        /// Adapter and driver that they are for.
        saved_on: String,
        /// Adapter and driver of the device.
        device: String,
    },
    /// wgpu refused them.
    #[error("wgpu took no pipeline cache: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::PipelineCacheError;
    use crate::{Error, Gpu};

    /// The start of saved bytes: what they are, and the version of the wrapping.
    const MAGIC: &[u8; 8] = b"sparsePC";
    const VERSION: u32 = 1;

    impl Gpu {
        /// The same device, for plans whose pipelines the driver may keep for another run of the program: see [`Gpu::pipeline_cache_data`].
        /// Ask for it right after opening the device; kernels that have been compiled before are not kept.
        ///
        /// Most desktop drivers keep a cache of their own on disk, and little is gained there; Android's do not.
        ///
        /// # Errors
        /// [`Error::Unavailable`] where the device was opened without [`wgpu::Features::PIPELINE_CACHE`] ([`crate::GpuOptions::pipeline_cache`]
        /// asks for it), which only Vulkan has.
        pub fn with_pipeline_cache(&self) -> Result<Self, Error> {
            self.start_cache(None)
        }

        /// As [`Gpu::with_pipeline_cache`], beginning with the pipelines that another run has saved.
        ///
        /// Length, checksum, adapter, driver and wgpu's own header are checked first, so that accidents (a file cut short, a driver that was
        /// updated, another GPU) are errors. What no check can tell is whether somebody made the bytes on purpose.
        ///
        /// # Safety
        /// `saved` is what [`Gpu::pipeline_cache_data`] returned, on this machine, and nobody who is trusted less than the program itself
        /// could have written it since: drivers run what it holds. Vouch for it by the place: a file in a folder that only the program's
        /// user can write, written whole to another name and then renamed. Not a download, not a shared folder.
        ///
        /// ```no_run
        /// # use sparse_gpu::{Gpu, GpuOptions};
        /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// let file = std::path::Path::new("/home/me/.cache/my-program/pipelines");
        /// let gpu = Gpu::open_blocking(&GpuOptions { pipeline_cache: true, ..GpuOptions::default() })?;
        /// let gpu = match std::fs::read(file) {
        ///     // SAFETY: only this user writes into that folder, and only the lines below write this file.
        ///     Ok(saved) => unsafe { gpu.with_saved_pipeline_cache(&saved) }.or_else(|_| gpu.with_pipeline_cache())?,
        ///     Err(_) => gpu.with_pipeline_cache()?,
        /// };
        /// // ... plan and run ...
        /// if let Some(data) = gpu.pipeline_cache_data() {
        ///     std::fs::write(file.with_extension("new"), data)?;
        ///     std::fs::rename(file.with_extension("new"), file)?;
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// Those of [`Gpu::with_pipeline_cache`]; [`Error::PipelineCache`] where the bytes are not what this device can take.
        #[expect(
            unsafe_code,
            reason = "wgpu hands saved bytes to the driver, which runs what they hold: only the caller can vouch for them"
        )]
        pub unsafe fn with_saved_pipeline_cache(&self, saved: &[u8]) -> Result<Self, Error> {
            self.start_cache(Some(unwrap(saved, &self.cache_key())?))
        }

        /// The pipelines that have been compiled through this cache so far, to be saved for [`Gpu::with_saved_pipeline_cache`]. None where there
        /// is no cache, and where the driver gives nothing.
        pub fn pipeline_cache_data(&self) -> Option<Vec<u8>> {
            let data = self.pipeline_cache()?.get_data()?;
            Some(wrap(&data, &self.cache_key()))
        }

        /// Who may use the pipelines.
        fn cache_key(&self) -> String {
            let summary = self.adapter();
            format!("{} ({}, {})", summary.name, summary.backend, summary.driver)
        }

        #[expect(
            unsafe_code,
            reason = "wgpu's function is unsafe for the sake of the bytes, for which our caller vouches"
        )]
        fn start_cache(&self, data: Option<&[u8]>) -> Result<Self, Error> {
            let feature = wgpu::Features::PIPELINE_CACHE;
            if !self.device().features().contains(feature) {
                return Err(Error::Unavailable {
                    what: "a pipeline cache".to_owned(),
                    needs: "a device with wgpu's feature PIPELINE_CACHE".to_owned(),
                    has: format!("none ({})", self.adapter().backend),
                    hint: "on Vulkan open the device with GpuOptions { pipeline_cache: true, .. }, or request the feature; other backends have none"
                        .to_owned(),
                });
            }
            let scopes = [
                wgpu::ErrorFilter::OutOfMemory,
                wgpu::ErrorFilter::Validation,
            ]
            .map(|filter| self.device().push_error_scope(filter));
            // SAFETY: data are the bytes that `PipelineCache::get_data` returned, by the contract of `with_saved_pipeline_cache`, or none.
            let cache = unsafe {
                self.device()
                    .create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                        label: Some("sparse"),
                        data,
                        // Bytes that are not taken are an error, not an empty cache.
                        fallback: false,
                    })
            };
            let mut refused = None;
            for scope in scopes.into_iter().rev() {
                // Native devices answer at once.
                refused = pollster::block_on(scope.pop()).or(refused);
            }
            match refused {
                None => Ok(self.with_cache(cache)),
                Some(error) => Err(Error::PipelineCache(PipelineCacheError::Refused {
                    message: error.to_string(),
                })),
            }
        }
    }

    /// Magic, version, checksum of all that follows, lengths of key and data, key, data; numbers with the lowest byte first.
    fn wrap(data: &[u8], key: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(data.len() + key.len() + 16);
        body.extend((key.len() as u64).to_le_bytes());
        body.extend((data.len() as u64).to_le_bytes());
        body.extend(key.as_bytes());
        body.extend(data);
        let mut saved = MAGIC.to_vec();
        saved.extend(VERSION.to_le_bytes());
        saved.extend(crc32fast::hash(&body).to_le_bytes());
        saved.extend(body);
        saved
    }

    /// The data of what `wrap` made for the same key.
    fn unwrap<'a>(saved: &'a [u8], key: &str) -> Result<&'a [u8], PipelineCacheError> {
        let (magic, rest) = saved
            .split_at_checked(8)
            .ok_or(PipelineCacheError::Format)?;
        let (version, rest) = number(rest)?;
        if magic != MAGIC || version != VERSION {
            return Err(PipelineCacheError::Format);
        }
        let (checksum, body) = number(rest)?;
        let (key_length, rest) = length(body)?;
        let (data_length, rest) = length(rest)?;
        let actual = rest.len() as u64;
        let expected = key_length.saturating_add(data_length);
        if expected != actual || crc32fast::hash(body) != checksum {
            return Err(PipelineCacheError::Damaged { expected, actual });
        }
        let split = usize::try_from(key_length).ok();
        let (saved_on, data) = split
            .and_then(|at| rest.split_at_checked(at))
            .ok_or(PipelineCacheError::Damaged { expected, actual })?;
        if saved_on != key.as_bytes() {
            return Err(PipelineCacheError::Adapter {
                saved_on: String::from_utf8_lossy(saved_on).into_owned(),
                device: key.to_owned(),
            });
        }
        Ok(data)
    }

    fn number(bytes: &[u8]) -> Result<(u32, &[u8]), PipelineCacheError> {
        let (number, rest) = bytes
            .split_first_chunk()
            .ok_or(PipelineCacheError::Format)?;
        Ok((u32::from_le_bytes(*number), rest))
    }

    fn length(bytes: &[u8]) -> Result<(u64, &[u8]), PipelineCacheError> {
        let (number, rest) = bytes
            .split_first_chunk()
            .ok_or(PipelineCacheError::Format)?;
        Ok((u64::from_le_bytes(*number), rest))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_saved_is_what_is_read() {
            for data in [&b""[..], b"pipelines"] {
                assert_eq!(unwrap(&wrap(data, "a GPU"), "a GPU"), Ok(data));
            }
        }

        #[test]
        fn any_changed_or_missing_byte_is_noticed() {
            let saved = wrap(b"pipelines", "a GPU");
            for at in 0..saved.len() {
                let mut changed = saved.clone();
                changed[at] ^= 4;
                assert!(unwrap(&changed, "a GPU").is_err(), "byte {at}");
                assert!(unwrap(&saved[..at], "a GPU").is_err(), "{at} bytes");
            }
            let longer = [&saved[..], b"x"].concat();
            assert!(matches!(
                unwrap(&longer, "a GPU"),
                Err(PipelineCacheError::Damaged { .. })
            ));
        }

        #[test]
        fn another_adapter_is_named() {
            let error = unwrap(&wrap(b"pipelines", "old driver"), "new driver").unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("old driver") && text.contains("new driver"),
                "{text}"
            );
        }
    }
}
