//! Numbers of a result that are NaN or infinite, sampled or not: what a kernel left unwritten, where outputs are filled with NaN before.

use std::fmt::{Display, Formatter};

use sparse_core::Element;

/// A number that is not finite, although all that it is computed from is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NotFinite {
    /// Name of the result.
    pub(super) what: &'static str,
    /// Its indices; the first `dimensions` of them.
    pub(super) place: [usize; 4],
    pub(super) dimensions: usize,
    pub(super) value: f32,
}

impl Display for NotFinite {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let place = self.place.get(..self.dimensions).unwrap_or(&self.place);
        let (what, value) = (self.what, self.value);
        write!(
            f,
            "{what}{place:?} is {value}, although all that it is computed from is finite"
        )
    }
}

/// Whether all of `numbers` are finite.
pub(super) fn are_finite<T: Element>(numbers: &[T]) -> bool {
    numbers.iter().all(|x| x.to_f32().is_finite())
}

/// The indices of flat index `at` of a tensor of `shape`, the last varying fastest.
pub(super) fn place_of(at: usize, shape: [usize; 4]) -> [usize; 4] {
    let mut place = [0; 4];
    let mut rest = at;
    for (index, size) in place.iter_mut().zip(shape).rev() {
        *index = rest % size.max(1);
        rest /= size.max(1);
    }
    place
}
