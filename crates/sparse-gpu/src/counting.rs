//! Kernels count in 32 bits: which operands that allows, and sizes as they count them.

use crate::Error;

/// Refuses operands, given by name and shape, whose elements kernels cannot count. After that [`word`] and [`word_of_u64`] lose nothing of
/// their sizes and element numbers.
pub(crate) fn check_countable(
    operation: &'static str,
    operands: &[(&str, &[usize])],
) -> Result<(), Error> {
    for (name, shape) in operands {
        let elements = shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m));
        let longest = shape.iter().copied().max().unwrap_or(0);
        let fits = |n: usize| u32::try_from(n).is_ok();
        if !elements.is_some_and(fits) || !fits(longest) {
            let sizes: Vec<_> = shape.iter().map(ToString::to_string).collect();
            let reason = format!(
                "{name} is {}; an operand has at most 2^32 - 1 elements, split the problem",
                sizes.join(" x ")
            );
            return Err(Error::invalid(operation, reason));
        }
    }
    Ok(())
}

/// A size that [`check_countable`] has bounded, as kernels count it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "check_countable refuses operands of 2^32 elements or more"
)]
pub(crate) const fn word(n: usize) -> u32 {
    n as u32
}

/// As [`word`], of the number of an element.
#[expect(
    clippy::cast_possible_truncation,
    reason = "check_countable refuses operands of 2^32 elements or more"
)]
pub(crate) const fn word_of_u64(n: u64) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operand_has_fewer_than_2_to_the_32_elements() {
        let check = |shape: &[usize]| check_countable("an operation", &[("x", shape)]);
        assert_eq!(check(&[65_536, 65_535]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        let error = check(&[65_536, 65_536]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an operation: x is 65536 x 65536; an operand has at most 2^32 - 1 elements, split the problem"
        );
    }

    #[test]
    fn every_size_of_an_empty_operand_fits_too() {
        let check = |shape: &[usize]| check_countable("an operation", &[("x", shape)]);
        assert_eq!(check(&[0, 65_536, 65_536]), Ok(()));
        assert!(check(&[0, 1 << 32]).is_err());
        assert!(check(&[1 << 62, 1 << 62]).is_err());
    }
}
