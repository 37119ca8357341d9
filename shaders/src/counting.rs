//! Counting with the numbers of descriptions that nobody has checked yet.

/// How often `step` things are taken until `count` are: more often than can be counted where none are taken at a time.
pub(crate) const fn times(count: usize, step: usize) -> usize {
    match step {
        0 => usize::MAX,
        _ => count.div_ceil(step),
    }
}
