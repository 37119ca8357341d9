//! Which numbers of a walk its template can be expanded with.

use super::{Walk, WalkPattern};
use crate::config_error::{ConfigError, require};

impl Walk {
    pub(crate) fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        if let Self::NmSelect { n, .. } = self {
            require((1..=2).contains(&n), kernel, "n", n, "1 or 2")?;
        }
        if let Some(pattern) = self.pattern() {
            pattern.check(kernel)?;
        }
        if let Self::NmBranch { n, m, .. } = self {
            let few = Self::BRANCHES.contains(&(n, m));
            require(few, kernel, "m of a branch", m, "2:4, 1:4 and 1:2")?;
        }
        if let Some((br, bc)) = self.block() {
            require(br > 0, kernel, "block rows", br, "at least 1")?;
            require(bc > 0, kernel, "block columns", bc, "at least 1")?;
        }
        Ok(())
    }

    /// Whether tiles of `rows` rows can take this walk's weights.
    pub(crate) fn check_rows(
        self,
        kernel: &dyn Fn() -> String,
        rows: usize,
    ) -> Result<(), ConfigError> {
        let fours = !self.quads() || rows.is_multiple_of(4);
        require(
            fours,
            kernel,
            "rows",
            rows,
            "4, 8 or 16 where w is transposed",
        )?;
        require(
            rows <= self.most_rows(),
            kernel,
            "rows",
            rows,
            "at most 8 where rows branch, at most 4 of 1:4: compilers take minutes for more branches one after the other",
        )
    }
}

impl WalkPattern {
    fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let Self {
            n,
            m,
            v,
            index_bits,
        } = self;
        require((1..m).contains(&n), kernel, "n", n, "1 to m - 1")?;
        require((2..=32).contains(&m), kernel, "m", m, "2 to 32")?;
        require(v > 0, kernel, "v", v, "at least 1")?;
        let holds = matches!(index_bits, 1 | 2 | 4 | 8) && (m - 1) >> index_bits == 0;
        require(
            holds,
            kernel,
            "index_bits",
            index_bits as usize,
            "1, 2, 4 or 8, and m - 1 fits",
        )
    }
}
