//! Which heads are attended at once, and what rounds their rows.

use std::ops::Range;

use sparse_core::DType;
use sparse_core::attention::MaskHeads;
use sparse_shaders::{AttentionTile, BlockWalk, RowOrderKernel, RowWeightsKernel};

use super::check;
use super::convert::Convert;
use super::few::is_few;
use super::merge::Merge;
use super::order::{FEWEST_ROWS, RowOrder, RowSort};
use super::slices::HeadBytes;
use crate::counting::check_countable;
use crate::ops::block_attention::{BlockAttention, OPERATION};
use crate::window::{too_large_to_bind, window_bytes};
use crate::{Error, Gpu, TokenLayout};

/// Scratch memory for f32 outputs is kept below this where it can; more heads go in slices.
const MOST_SCRATCH_BYTES: u64 = 64 << 20;

impl BlockAttention {
    /// Checks the numbers, in the name of the operation that the caller asked for.
    pub(crate) fn check_numbers(&self, operation: &'static str) -> Result<(), Error> {
        let shape = self.shape;
        let (head_dim, q_heads) = (shape.head_dim(), shape.q_heads());
        let kinds = self.head_kinds.as_deref();
        let (block, masked) = (self.block, self.masked);
        check::numbers(operation, head_dim, block, kinds, q_heads, masked)?;
        check::capacity(operation, self.k_capacity, shape.k_len())?;
        let [q_shape, kv_shape] = self.tensor_shapes();
        check_countable(
            operation,
            &[
                ("q", &q_shape),
                ("k", &kv_shape),
                (
                    "words of the mask",
                    &check::mask_words(masked, self.mask_shape()),
                ),
            ],
        )
    }

    /// Query heads that follow one head of the mask, as kernels know it: 1 where they read no mask.
    pub(crate) fn mask_group(&self) -> usize {
        if self.masked {
            self.mask_heads.group_size(&self.shape)
        } else {
            1
        }
    }

    /// Whether rows of the output share words, so that they are computed in f32 and rounded afterwards.
    pub(crate) fn converts(&self) -> bool {
        self.types.out != DType::F32 && !self.shape.head_dim().is_multiple_of(2)
    }

    /// Bytes of one head, whose keys are divided into `parts`.
    pub(crate) fn head_bytes(&self, converts: bool, parts: usize) -> HeadBytes {
        let shape = self.shape;
        let [q_elements, k_elements] =
            [shape.q_len(), self.k_capacity()].map(|tokens| (tokens * shape.head_dim()) as u64);
        let out = if converts { 4 } else { self.types.out.bytes() };
        let [_, _, q_blocks, words] = check::mask_words(self.masked, self.mask_shape());
        let mask = 4 * (q_blocks * words) as u64;
        let [query_mask, key_mask] = match self.mask_heads {
            MaskHeads::Query => [mask, 0],
            MaskHeads::Key => [0, mask],
        };
        let query = [
            q_elements * self.types.q.bytes().max(out) as u64,
            4 * shape.q_len() as u64,
            query_mask,
            match parts {
                1 => 0,
                _ => (shape.q_len() * parts) as u64 * Merge::bytes_of_sums(shape.head_dim()),
            },
        ];
        HeadBytes {
            query: query.into_iter().max().unwrap_or(0),
            key: k_elements * self.types.k.bytes().max(self.types.v.bytes()) as u64,
            key_mask,
            heads_per_key_head: shape.q_heads() / shape.kv_heads(),
        }
    }

    /// Ranges of heads that can be bound at once, of whole groups of `together`.
    pub(crate) fn slices(
        &self,
        gpu: &Gpu,
        bytes: &HeadBytes,
        together: usize,
    ) -> Result<Vec<Range<usize>>, Error> {
        let shape = self.shape;
        let (q_heads, q_len) = (shape.q_heads(), shape.q_len());
        let heads = shape.batch() * q_heads;
        // Token-major slices are whole items.
        let (converts, step) = (
            self.converts(),
            match self.layout {
                TokenLayout::HeadMajor => together,
                TokenLayout::TokenMajor => q_heads,
            },
        );
        // Rounded slices start at whole words.
        let halves = converts && !(step * q_len).is_multiple_of(2);
        let step = if halves { 2 * step } else { step };
        let limit = window_bytes(gpu);
        let scratch = if converts {
            limit.min(MOST_SCRATCH_BYTES.max(step as u64 * bytes.query))
        } else {
            limit
        };
        bytes
            .slices(heads, step, scratch)
            .or_else(|| bytes.slices(heads, step, limit))
            .ok_or_else(|| {
                let what = format!(
                    "{OPERATION} of {step} head(s) with q_len = {q_len}, k_len = {}, head_dim = {}",
                    shape.k_len(),
                    shape.head_dim()
                );
                let key_heads = step.div_ceil(bytes.heads_per_key_head.max(1)) as u64;
                let needs =
                    (step as u64 * bytes.query).max(key_heads * bytes.key.max(bytes.key_mask));
                let instead = match self.layout {
                    TokenLayout::HeadMajor => {
                        "split the queries over several plans, or the keys: outputs of their parts are weighted by exp(lse), in a kernel of the program's own"
                    }
                    TokenLayout::TokenMajor => {
                        "take TokenLayout::HeadMajor, of which single heads are bound where token-major items are bound whole"
                    }
                };
                too_large_to_bind(gpu, what, needs, instead)
            })
    }

    /// The order asked for, or one by what rows may differ in.
    pub(crate) fn choose_order(
        &self,
        gpu: &Gpu,
        (walk, tile, together): (BlockWalk, AttentionTile, usize),
        slices: &[Range<usize>],
        notes: &mut Vec<String>,
    ) -> Result<RowOrder, Error> {
        let (rows, k_blocks) = self.sorted_rows(slices);
        let possible = || {
            let sort = format!("{OPERATION} with {rows} rows of blocks by weight");
            gpu.check_loops(sort, RowOrderKernel::DEFAULT.loop_rounds(rows))?;
            let tiles = rows.checked_mul(self.block / tile.queries());
            match tiles.map(u32::try_from) {
                Some(Ok(_)) => Ok(()),
                _ => Err(Error::invalid(
                    OPERATION,
                    format!(
                        "{rows} rows of blocks of {} tokens by weight are more tiles than can be numbered; take shorter blocks",
                        self.block
                    ),
                )),
            }
        };
        match self.order {
            // Its workgroups count blocks of their own, or take several heads, which a list of rows would leave out.
            Some(RowOrder::ByWeight)
                if is_few(tile) && (walk == BlockWalk::All || together > 1) =>
            {
                notes.push("rows of blocks start by position: few queries whose heads share a workgroup are not sorted".to_owned());
                return Ok(RowOrder::ByPosition);
            }
            Some(RowOrder::ByWeight) => return possible().map(|()| RowOrder::ByWeight),
            Some(RowOrder::ByPosition) => return Ok(RowOrder::ByPosition),
            None => {}
        }
        // Of few queries the keys are divided, so that no row is long.
        if walk == BlockWalk::All || rows < FEWEST_ROWS || k_blocks < 2 || is_few(tile) {
            return Ok(RowOrder::ByPosition);
        }
        if let Err(error) = possible() {
            notes.push(format!("rows of blocks start by position: {error}"));
            return Ok(RowOrder::ByPosition);
        }
        notes.push(format!(
            "rows of blocks start by weight, up to {rows} at a time: the longest rows of a mask must not come last"
        ));
        Ok(RowOrder::ByWeight)
    }

    /// Rows of the longest slice, and their key blocks.
    fn sorted_rows(&self, slices: &[Range<usize>]) -> (usize, usize) {
        let heads = slices.iter().map(Range::len).max().unwrap_or(0);
        let [_, _, q_blocks, k_blocks] = self.mask_shape();
        (heads * q_blocks, k_blocks)
    }

    pub(crate) async fn plan_sort(
        &self,
        gpu: &Gpu,
        walk: BlockWalk,
        slices: &[Range<usize>],
    ) -> Result<RowSort, Error> {
        let (rows, k_blocks) = self.sorted_rows(slices);
        let weigh = RowWeightsKernel {
            walk,
            block: self.block,
            causal: self.causal,
            mask_group: self.mask_group(),
        };
        RowSort::plan(gpu, &weigh, rows, k_blocks).await
    }

    pub(crate) async fn plan_convert(
        &self,
        gpu: &Gpu,
        slices: &[Range<usize>],
    ) -> Result<Convert, Error> {
        let heads = slices.iter().map(Range::len).max().unwrap_or(0);
        let elements = heads * self.shape.q_len() * self.shape.head_dim();
        Convert::plan(gpu, self.types.out, elements).await
    }
}
