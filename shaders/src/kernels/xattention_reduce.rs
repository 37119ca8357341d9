//! `xattention_reduce.wgsl`: block scores from maxima and sums.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::Kernel;
use crate::xattention_rules::{XAttentionRules, check_groups};

/// Block scores from maxima and sums; see `xattention_reduce.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionReduceKernel {
    /// Groups of a block.
    pub groups_per_block: usize,
    /// Which pairs count.
    pub rules: XAttentionRules,
    /// Normalise each query group; otherwise its plain sum of exponentials counts.
    pub softmax: bool,
}

impl XAttentionReduceKernel {
    /// Invocations of a workgroup.
    const LANES: usize = 64;

    /// Query groups that a workgroup handles at a time.
    const fn width(&self) -> usize {
        let width = self.groups_per_block.next_power_of_two();
        if width < Self::LANES {
            width
        } else {
            Self::LANES
        }
    }
}

impl Serialize for XAttentionReduceKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            groups_per_block: usize,
            width: usize,
            parts: usize,
            chunks: usize,
            exact: bool,
            causal: bool,
            softmax: bool,
        }
        let width = self.width();
        Variables {
            groups_per_block: self.groups_per_block,
            width,
            parts: Self::LANES / width,
            chunks: self.groups_per_block.div_ceil(width),
            exact: self.rules.exact,
            causal: self.rules.causal,
            softmax: self.softmax,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionReduceKernel {
    fn template(&self) -> &'static str {
        "xattention_reduce.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_reduce_g{}_{}{}",
            self.groups_per_block,
            self.rules.label(),
            if self.softmax { "" } else { "_exp" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_groups(self.groups_per_block, &|| self.name())
    }
}
