//! `xattention_decide.wgsl`: sparse or dense attention, decided on the device.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::{Kernel, PLAIN_LANES};

/// The grids of the attention kernel that pays; see `xattention_decide.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionDecideKernel;

impl XAttentionDecideKernel {
    /// Invocations of its workgroup.
    const LANES: usize = PLAIN_LANES;

    /// Rounds of all loops of an invocation together, for so many heads that decide and so many dispatches of both attentions.
    pub const fn loop_rounds(self, heads: usize, dispatches: usize) -> usize {
        heads.div_ceil(Self::LANES) + Self::LANES + dispatches.div_ceil(Self::LANES)
    }
}

impl Serialize for XAttentionDecideKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            lanes: usize,
        }
        Variables { lanes: Self::LANES }.serialize(serializer)
    }
}

impl Kernel for XAttentionDecideKernel {
    fn template(&self) -> &'static str {
        "xattention_decide.wgsl"
    }

    fn name(&self) -> String {
        "xattention_decide".to_owned()
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
