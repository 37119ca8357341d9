//! Counting with the numbers of descriptions that nobody has checked yet.

/// How often `step` things are taken until `count` are: more often than can be counted where none are taken at a time.
pub(crate) const fn times(count: usize, step: usize) -> usize {
    match step {
        0 => usize::MAX,
        _ => count.div_ceil(step),
    }
}

/// Rounds that a loop inside of another is charged each time it is entered, besides its own: llvmpipe counts them together and leaves all loops after
/// 65 535, and of its versions some count the way out too (Mesa 22.3 about one and a half rounds, 26.1 none).
pub const LOOP_ENTRY: usize = 2;
