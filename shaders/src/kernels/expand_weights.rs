//! `expand_weights.wgsl`: N:M weights as dense ones.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::storage::Storage;
use crate::walk::{Walk, WalkConfig};

/// Puts N:M weights back in their places, zeros between them; see `expand_weights.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExpandWeightsKernel {
    /// Stored weights of a group.
    pub n: usize,
    /// Columns of a group.
    pub m: usize,
    /// Rows that share one pattern.
    pub v: usize,
    /// Bits of a packed index.
    pub index_bits: u32,
    /// Storage of the weights, before and after.
    pub weight: Storage,
}

impl ExpandWeightsKernel {
    /// Columns of a row that one workgroup expands.
    pub const COLUMNS: usize = 4 * PLAIN_LANES;

    /// The walk that reads weights stored like these.
    pub const fn walk(&self) -> Walk {
        let Self {
            n,
            m,
            v,
            index_bits,
            ..
        } = *self;
        Walk::NmExpand {
            n,
            m,
            v,
            index_bits,
        }
    }
}

impl Serialize for ExpandWeightsKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            config: WalkConfig,
        }
        // Nothing meets x here.
        let config = WalkConfig::new(self.walk(), self.weight, 1);
        Variables { config }.serialize(serializer)
    }
}

impl Kernel for ExpandWeightsKernel {
    fn template(&self) -> &'static str {
        "expand_weights.wgsl"
    }

    fn name(&self) -> String {
        let Self { n, m, v, .. } = self;
        format!("expand_weights_{v}:{n}:{m}_w-{}", self.weight.name())
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.walk().check(&|| self.name())
    }
}
