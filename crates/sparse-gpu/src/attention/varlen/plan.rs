//! Numbers checked, and items cut into ranges that can be bound.

use std::ops::Range;

use super::slices::{ItemBytes, tokens};
use crate::attention::check;
use crate::attention::merge::Merge;
use crate::counting::check_countable;
use crate::ops::varlen_attention::{OPERATION, VarlenAttention};
use crate::window::{too_large_to_bind, window_bytes};
use crate::{BlockAttention, Error, Gpu};

const INSTEAD: &str = "split the items over several plans";

impl VarlenAttention {
    /// The problem of the longest item.
    pub(crate) fn longest(&self) -> BlockAttention {
        BlockAttention {
            block: self.block,
            causal: self.causal,
            types: self.types,
            head_kinds: self.head_kinds.clone(),
            masked: self.masked,
            mask_heads: self.mask_heads,
            tile: self.tile,
            ..BlockAttention::new(self.shape.longest())
        }
    }

    /// Checks the numbers.
    pub(crate) fn check_numbers(&self, operation: &'static str) -> Result<(), Error> {
        let shape = &self.shape;
        let (kinds, masked) = (self.head_kinds.as_deref(), self.masked);
        let (head_dim, heads) = (shape.head_dim(), shape.q_heads());
        check::numbers(operation, head_dim, self.block, kinds, heads, masked)?;
        check_countable(
            operation,
            &[
                ("q", &shape.q_shape()),
                ("k", &shape.kv_shape()),
                (
                    "words of the mask",
                    &check::mask_words(masked, self.mask_shape()),
                ),
            ],
        )
    }

    /// Refuses more rows of sums, of all parts of all queries, than can be bound.
    pub(crate) fn check_sums(&self, gpu: &Gpu, rows: usize) -> Result<(), Error> {
        let bytes = (rows as u64).saturating_mul(Merge::bytes_of_sums(self.shape.head_dim()));
        if bytes <= window_bytes(gpu) {
            return Ok(());
        }
        let what = format!(
            "sums of {OPERATION} with {} queries in all, whose keys are divided,",
            self.shape.q().total()
        );
        Err(too_large_to_bind(gpu, what, bytes, INSTEAD))
    }

    /// Ranges of items that can be bound at once.
    pub(crate) fn slices(&self, gpu: &Gpu, converts: bool) -> Result<Vec<Range<usize>>, Error> {
        let shape = &self.shape;
        let out = if converts { 4 } else { self.types.out.bytes() };
        let token = shape.q_heads() * shape.head_dim();
        let [_, heads, q_blocks, words] = check::mask_words(self.masked, self.mask_shape());
        let bytes = ItemBytes {
            query: (token * self.types.q.bytes().max(out)) as u64,
            key: (shape.kv_heads() * shape.head_dim()) as u64
                * self.types.k.bytes().max(self.types.v.bytes()) as u64,
            mask: 4 * (heads * q_blocks * words) as u64,
            step: if converts && !token.is_multiple_of(2) {
                2
            } else {
                1
            },
        };
        let limit = window_bytes(gpu);
        let lse = 4 * (shape.q_heads() * shape.q().total()) as u64;
        if lse > limit {
            let what = format!(
                "lse of {OPERATION} with {} queries in all",
                shape.q().total()
            );
            return Err(too_large_to_bind(gpu, what, lse, INSTEAD));
        }
        bytes.slices(shape, limit).map_err(|item| {
            let one = item..item + 1;
            let [q_len, k_len] =
                [shape.q(), shape.k()].map(|packing| tokens(packing.offsets(), &one).len());
            let what =
                format!("{OPERATION} with item {item} of q_len = {q_len} and k_len = {k_len}");
            let needs = (q_len as u64 * bytes.query)
                .max(k_len as u64 * bytes.key)
                .max(bytes.mask);
            too_large_to_bind(gpu, what, needs, INSTEAD)
        })
    }
}
