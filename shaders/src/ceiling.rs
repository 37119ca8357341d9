//! What the micro-kernels that measure a device at its best have in common: yardsticks of the bench, never chosen by a plan.

use crate::config_error::{ConfigError, require};
use crate::kernel::PLAIN_LANES;

/// Invocations of a workgroup of every ceiling kernel.
pub const CEILING_LANES: usize = PLAIN_LANES;

/// Some drivers end loops after 65 535 rounds, and a long body takes long to compile.
pub(crate) fn check_loop(
    name: &dyn Fn() -> String,
    rounds: usize,
    steps: usize,
) -> Result<(), ConfigError> {
    require(
        (1..=65_000).contains(&rounds),
        name,
        "rounds",
        rounds,
        "1 to 65000",
    )?;
    require((1..=64).contains(&steps), name, "steps", steps, "1 to 64")
}
