//! Whether what was given belongs to the problem.

use super::CheckError;

/// Whether `numbers` are as many as `shape` has.
pub(super) fn expect_size(
    what: &'static str,
    numbers: &[f32],
    shape: &[usize],
) -> Result<(), CheckError> {
    if numbers.len() == shape.iter().product() {
        return Ok(());
    }
    Err(CheckError::ResultSize {
        what,
        numbers: numbers.len(),
        shape: shape.to_vec(),
    })
}

/// Whether `given` is `shape`.
pub(super) fn expect_shape(
    what: &'static str,
    given: &[usize],
    shape: [usize; 4],
) -> Result<(), CheckError> {
    if given == shape {
        return Ok(());
    }
    Err(CheckError::OtherProblem {
        what,
        given: given.to_vec(),
        shape: shape.to_vec(),
    })
}
