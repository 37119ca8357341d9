//! What the kernels of XAttention have in common.

use serde::Serialize;

use crate::config_error::{ConfigError, require};

/// Which key groups a query group may look at, and how a partly filled group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct XAttentionRules {
    /// Real lengths and means over real pairs of tokens; otherwise the rules of Reference mode.
    pub exact: bool,
    /// Only keys at or before the query.
    pub causal: bool,
}

impl XAttentionRules {
    pub(crate) fn label(self) -> String {
        let mode = if self.exact { "exact" } else { "reference" };
        format!("{mode}-{}", if self.causal { "causal" } else { "full" })
    }
}

/// Whether the templates can be expanded for blocks of so many groups; `kernel` names what they are for.
pub(crate) fn check_groups(groups: usize, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
    require(
        (1..=1 << 30).contains(&groups),
        kernel,
        "groups of a block",
        groups,
        "1 to 2^30",
    )
}
