//! `xattention_select.wgsl`: blocks by their scores.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::xattention_rules::XAttentionRules;

/// The blocks to keep of every block row; see `xattention_select.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionSelectKernel {
    /// The rule of selection.
    pub rules: XAttentionRules,
    /// Invocations of a row, 1 to 256.
    pub row_lanes: usize,
    /// Rows of a workgroup; 1 unless a row has one invocation.
    pub rows: usize,
    /// A fixed count of blocks per row instead of a share of the mass; Exact mode only.
    pub top_k: bool,
    /// A mask of forced blocks is bound.
    pub forced_mask: bool,
}

impl Serialize for XAttentionSelectKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            exact: bool,
            causal: bool,
            row_lanes: usize,
            rows: usize,
            top_k: bool,
            forced_mask: bool,
        }
        Variables {
            exact: self.rules.exact,
            causal: self.rules.causal,
            row_lanes: self.row_lanes,
            rows: self.rows,
            top_k: self.top_k,
            forced_mask: self.forced_mask,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionSelectKernel {
    fn template(&self) -> &'static str {
        "xattention_select.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_select_{}_{}x{}{}{}",
            self.rules.label(),
            self.rows,
            self.row_lanes,
            if self.top_k { "_top-k" } else { "" },
            if self.forced_mask { "_forced" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let (lanes, rows) = (self.row_lanes, self.rows);
        let ok = (1..=256).contains(&lanes);
        require(ok, &name, "invocations of a row", lanes, "1 to 256")?;
        let ok = self.rules.exact || !self.top_k;
        require(ok, &name, "top_k", 1, "0 in Reference mode")?;
        let ok = rows == 1 || (lanes == 1 && (1..=256).contains(&rows));
        require(ok, &name, "rows", rows, "1, or up to 256 of one invocation")
    }
}
