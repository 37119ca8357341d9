//! `xattention_sum_heads.wgsl`: scores of the query heads that share a mask.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::{Kernel, PLAIN_LANES};

/// Sums of block scores over groups of query heads; see `xattention_sum_heads.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionSumHeadsKernel;

impl XAttentionSumHeadsKernel {
    /// Sums of a workgroup, one per invocation.
    pub const SUMS: usize = PLAIN_LANES;
}

impl Serialize for XAttentionSumHeadsKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            lanes: usize,
        }
        Variables { lanes: Self::SUMS }.serialize(serializer)
    }
}

impl Kernel for XAttentionSumHeadsKernel {
    fn template(&self) -> &'static str {
        "xattention_sum_heads.wgsl"
    }

    fn name(&self) -> String {
        "xattention_sum_heads".to_owned()
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
