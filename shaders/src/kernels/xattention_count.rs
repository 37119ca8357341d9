//! `xattention_count.wgsl`: how many blocks each head has selected.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::{Kernel, PLAIN_LANES};

/// Selected blocks per head, of those that can be reached; see `xattention_count.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionCountKernel {
    /// Only key blocks at or before the queries can be reached.
    pub causal: bool,
}

impl XAttentionCountKernel {
    /// Invocations of a workgroup, which owns a head.
    const LANES: usize = PLAIN_LANES;

    /// Rounds of all loops of an invocation together, for a head whose mask has `words` words.
    pub const fn loop_rounds(&self, words: usize) -> usize {
        words.div_ceil(Self::LANES) + Self::LANES
    }
}

impl Serialize for XAttentionCountKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            causal: bool,
            lanes: usize,
        }
        Variables {
            causal: self.causal,
            lanes: Self::LANES,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionCountKernel {
    fn template(&self) -> &'static str {
        "xattention_count.wgsl"
    }

    fn name(&self) -> String {
        let keys = if self.causal { "causal" } else { "full" };
        format!("xattention_count_{keys}")
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
