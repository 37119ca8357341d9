//! The two definitions of scores and selection.

/// Which query and key tokens of two groups are paired in a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Antidiagonal: query token `S-1-s` with key token `s`. XAttention proper.
    #[default]
    Inverse,
    /// Diagonal: query token `s` with key token `s`. An ablation of the authors, clearly worse.
    Slash,
}

/// Options that only [`Mode::Reference`] has.
///
/// Of the public code's other options, `kdb > 1` (every second query group only), the random, double and triple pairings, and
/// top-k are left out: kdb is undocumented there and its behaviour on padded lengths is unverified, random depends on torch's generator, and top-k raises an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReferenceOptions {
    /// Both sequences are padded to a multiple of this many tokens, which changes the result. `None` is the rule of
    /// the public prefill wrapper, [`ReferenceOptions::usual_chunk`].
    pub chunk: Option<usize>,
    /// Selects all of query block row 0 (a row, not the sink column that the name promises).
    pub keep_sink: bool,
    /// Selects the diagonal block of every row, in non-causal attention too.
    pub keep_recent: bool,
    /// How tokens are paired.
    pub pooling: Pooling,
    /// `false` takes `exp` of the means without normalising a row. Overflows easily.
    pub softmax: bool,
}

impl Default for ReferenceOptions {
    /// The wrapper's chunk, nothing kept, antidiagonal, softmax.
    fn default() -> Self {
        Self {
            chunk: None,
            keep_sink: false,
            keep_recent: false,
            pooling: Pooling::Inverse,
            softmax: true,
        }
    }
}

impl ReferenceOptions {
    /// The chunk that the public prefill wrapper picks: with `P` the next power of two of `k_len`,
    /// `max(min(max(2048, P), 2^28 / P), 2048)`.
    ///
    /// ```
    /// use sparse_core::xattention::ReferenceOptions;
    /// let chunks = [1000, 4096, 8192, 16384, 32768, 65536, 131072, 262144].map(ReferenceOptions::usual_chunk);
    /// assert_eq!(chunks, [2048, 4096, 8192, 16384, 8192, 4096, 2048, 2048]);
    /// ```
    pub fn usual_chunk(k_len: usize) -> usize {
        let power = k_len.checked_next_power_of_two().unwrap_or(usize::MAX);
        power.max(2048).min((1 << 28) / power).max(2048)
    }
}

/// Definition of scores and selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Ours: real lengths, no chunks, padding without influence, the same minimal-set rule in every row.
    #[default]
    Exact,
    /// The authors' public code, fixed where its fallback path computes something else than its GPU path.
    Reference(ReferenceOptions),
}
