//! What is wrong with a kernel description.

/// Numbers that a template cannot be expanded with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number lies outside of what the template supports.
    #[error("{kernel}: {what} is {value}, possible is {possible}")]
    OutOfRange {
        /// The kernel's name.
        kernel: String,
        /// Which number.
        what: &'static str,
        /// What was asked.
        value: usize,
        /// What is possible.
        possible: &'static str,
    },
}

/// `OutOfRange` unless `ok`.
pub(crate) fn require(
    ok: bool,
    kernel: &dyn Fn() -> String,
    what: &'static str,
    value: usize,
    possible: &'static str,
) -> Result<(), ConfigError> {
    if ok {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange {
            kernel: kernel(),
            what,
            value,
            possible,
        })
    }
}

/// `OutOfRange` unless a workgroup can have so many invocations.
pub(crate) fn require_lanes(
    kernel: &dyn Fn() -> String,
    what: &'static str,
    lanes: usize,
) -> Result<(), ConfigError> {
    let ok = lanes.is_power_of_two() && lanes <= 256;
    require(ok, kernel, what, lanes, "a power of two up to 256")
}
