//! How scoring divides a problem: ranges of heads, strips of block rows, slices of keys, each within a bound on scratch memory.

use std::ops::Range;

use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::XAttentionScoreKernel;

use super::source::Source;

/// What each of the three scratch buffers (packed queries, packed keys, maxima and sums) is kept below where the caller does not say, and
/// where a single panel of queries, or a single unit of key blocks, does not need more. Beyond it the problem goes in parts.
pub(crate) const MOST_BYTES: u64 = 32 << 20;

/// Sizes of a scoring problem in the units of its kernels.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) layout: XAttentionLayout,
    pub(crate) kernel: XAttentionScoreKernel,
    pub(crate) queries: Source,
    pub(crate) keys: Source,
    /// k of a group, in fours.
    pub(crate) steps: usize,
    /// Key groups with at least one key.
    pub(crate) real_key_groups: usize,
    /// Heads of all items.
    pub(crate) heads: usize,
    /// Query heads of a key head.
    pub(crate) shared: usize,
    /// Block rows and key blocks of a head, padding included.
    pub(crate) rows: usize,
    pub(crate) blocks: usize,
}

impl Sizes {
    pub(crate) fn new(
        layout: XAttentionLayout,
        kernel: XAttentionScoreKernel,
        [queries, keys]: [Source; 2],
    ) -> Self {
        let shape = layout.shape();
        let [batch, q_heads, rows, blocks] = layout.score_shape();
        let stride = layout.options().stride;
        Self {
            steps: (stride.saturating_mul(shape.head_dim())).div_ceil(4),
            real_key_groups: shape.k_len().div_ceil(stride),
            heads: batch * q_heads,
            shared: q_heads / shape.kv_heads(),
            rows,
            blocks,
            layout,
            kernel,
            queries,
            keys,
        }
    }

    /// The query groups with a query in some block rows.
    pub(crate) fn query_groups(&self, rows: &Range<usize>) -> Range<usize> {
        let (per_block, all) = (self.layout.groups_per_block(), self.layout.q_groups());
        let edge = |row: usize| row.saturating_mul(per_block).min(all);
        edge(rows.start)..edge(rows.end)
    }

    /// Panels of one head in some block rows.
    pub(crate) fn panels(&self, rows: &Range<usize>) -> usize {
        self.query_groups(rows)
            .len()
            .div_ceil(self.kernel.tile.panel())
    }

    /// The key heads that some query heads use.
    pub(crate) fn key_heads(&self, heads: &Range<usize>) -> Range<usize> {
        heads.start / self.shared..heads.end.div_ceil(self.shared)
    }

    /// Key units of a head.
    pub(crate) fn units(&self) -> usize {
        self.blocks.div_ceil(self.kernel.unit_blocks())
    }

    /// The key groups with a key in some units.
    pub(crate) fn key_groups(&self, units: &Range<usize>) -> Range<usize> {
        let groups = self.kernel.unit_blocks() * self.kernel.groups_per_block;
        let edge = |unit: usize| unit.saturating_mul(groups).min(self.real_key_groups);
        edge(units.start)..edge(units.end)
    }

    pub(crate) fn query_bytes(&self, heads: usize, rows: &Range<usize>) -> u64 {
        let groups = self.panels(rows) as u64 * self.kernel.tile.panel() as u64;
        product(&[heads as u64, groups, self.steps as u64, 16])
    }

    pub(crate) fn maxima_bytes(&self, heads: usize, rows: &Range<usize>) -> u64 {
        let groups = self.panels(rows) as u64 * self.kernel.tile.panel() as u64;
        product(&[heads as u64, self.blocks as u64, groups, 8])
    }

    pub(crate) fn key_bytes(&self, key_heads: usize, units: &Range<usize>) -> u64 {
        let groups = self.key_groups(units).len() as u64;
        product(&[key_heads as u64, groups, self.steps as u64, 16])
    }

    fn sums_bytes(&self, heads: usize, rows: &Range<usize>) -> u64 {
        product(&[heads as u64, rows.len() as u64, self.blocks as u64, 4])
    }

    /// The queries of some block rows.
    pub(crate) fn query_tokens(&self, rows: &Range<usize>) -> Range<usize> {
        self.tokens(&self.query_groups(rows), self.queries.len)
    }

    /// The keys of some units.
    pub(crate) fn key_tokens(&self, units: &Range<usize>) -> Range<usize> {
        self.tokens(&self.key_groups(units), self.keys.len)
    }

    /// The tokens of some groups, of `len` in all.
    pub(crate) fn tokens(&self, groups: &Range<usize>, len: usize) -> Range<usize> {
        let edge = |group: usize| group.saturating_mul(self.layout.options().stride).min(len);
        edge(groups.start)..edge(groups.end)
    }

    fn fits_keys(&self, key_heads: usize, units: &Range<usize>, limit: u64, window: u64) -> bool {
        self.key_bytes(key_heads, units) <= limit
            && self.keys.bytes(key_heads, self.key_tokens(units).len()) <= window
    }

    fn fits(&self, heads: usize, rows: &Range<usize>, limit: u64, window: u64) -> bool {
        self.queries.bytes(heads, self.query_tokens(rows).len()) <= window
            && self.query_bytes(heads, rows) <= limit
            && self.maxima_bytes(heads, rows) <= limit
            && self.sums_bytes(heads, rows) <= window
    }
}

/// A product that stays at the largest number instead of overflowing: nothing of that size fits anywhere.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |p: u64, &n| p.saturating_mul(n))
}

/// What is scored at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Ranges of query heads, numbered through the batch; of several key heads, where all are scored, only whole ones.
    pub(crate) heads: Vec<Range<usize>>,
    /// Block rows at a time, of each of those heads.
    pub(crate) strips: Vec<Range<usize>>,
    /// Key units at a time.
    pub(crate) slices: Vec<Range<usize>>,
}

impl Parts {
    /// The longest parts that keep each scratch buffer below `most_bytes`, `window` being the largest binding. None where not even the
    /// smallest can be bound.
    pub(crate) fn new(
        sizes: &Sizes,
        keys_in_place: bool,
        most_bytes: u64,
        window: u64,
    ) -> Option<Self> {
        let limit = most_bytes.min(window);
        let key_limit = if keys_in_place { window } else { limit };
        let (all_rows, all_units) = (0..sizes.rows, 0..sizes.units());
        let shared = sizes.shared;
        let fits_heads = |heads: usize| {
            sizes.fits(heads, &all_rows, limit, window)
                && sizes.fits_keys(heads.div_ceil(shared), &all_units, key_limit, window)
        };
        let most = most(sizes.heads, fits_heads);
        if most >= shared {
            return Some(Self {
                heads: ranges(sizes.heads, most / shared * shared),
                strips: vec![all_rows],
                slices: vec![all_units],
            });
        }
        // The query heads of one key head at most.
        let heads = (0..sizes.heads / shared)
            .flat_map(|key_head| {
                ranges(shared, most.max(1)).into_iter().map(move |range| {
                    key_head * shared + range.start..key_head * shared + range.end
                })
            })
            .collect();
        let strips = if most > 0 {
            vec![all_rows]
        } else {
            let fits = |limit: u64| move |rows: usize| sizes.fits(1, &(0..rows), limit, window);
            let rows = self::most(sizes.rows, fits(limit));
            // The block rows of one panel may take what can be bound.
            let of_panel = sizes.kernel.tile.panel() / sizes.kernel.groups_per_block;
            let most_of_panel = || self::most(of_panel.max(1), fits(window));
            ranges(sizes.rows, if rows > 0 { rows } else { most_of_panel() })
        };
        let fits_units =
            |limit: u64| move |units: usize| sizes.fits_keys(1, &(0..units), limit, window);
        let units = self::most(sizes.units(), fits_units(key_limit));
        let units = if units > 0 {
            units
        } else {
            self::most(1, fits_units(window))
        };
        let parts = Self {
            heads,
            strips,
            slices: ranges(sizes.units(), units),
        };
        (!parts.strips.is_empty() && !parts.slices.is_empty()).then_some(parts)
    }

    /// The same parts without the heads that are not `wanted`.
    pub(crate) fn of_heads(mut self, wanted: impl Fn(usize) -> bool) -> Self {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for part in &self.heads {
            let first = runs.len();
            for head in part.clone().filter(|&head| wanted(head)) {
                match runs[first..].last_mut().filter(|run| run.end == head) {
                    Some(run) => run.end += 1,
                    None => runs.push(head..head + 1),
                }
            }
        }
        self.heads = runs;
        self
    }

    /// The largest of what `bytes` says of each range.
    pub(crate) fn largest(ranges: &[Range<usize>], bytes: impl Fn(&Range<usize>) -> u64) -> u64 {
        ranges.iter().map(bytes).max().unwrap_or(0)
    }
}

/// The largest number up to `end` that fits; whatever fits, less fits too.
fn most(end: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut most, mut too_many) = (0, end + 1);
    while too_many - most > 1 {
        let middle = most + (too_many - most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}

/// `0..end` in ranges of `step`; none where `step` is 0.
fn ranges(end: usize, step: usize) -> Vec<Range<usize>> {
    if step == 0 {
        return Vec::new();
    }
    (0..end)
        .step_by(step)
        .map(|begin| begin..(begin + step).min(end))
        .collect()
}

#[cfg(test)]
mod tests;
