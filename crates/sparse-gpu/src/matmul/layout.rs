//! How weights and packed activations lie in memory, as the walk wants them.

use sparse_core::DType;
use sparse_shaders::Walk;

/// Stored weights of a row whose indices, of two bits each, fill a word: a step of [`Walk::NmSelect`].
pub(super) const WORD_WEIGHTS: usize = 16;

/// Columns of a step of [`Walk::NmSelect`], `n` of every four of which are stored.
pub(super) const fn select_columns(n: usize) -> usize {
    WORD_WEIGHTS / n * 4
}

/// Stored weights of a row of `columns` columns, `n` of every `m`.
const fn stored_weights(columns: usize, n: usize, m: usize) -> usize {
    columns.div_ceil(m) * n
}

/// Rows of so many that share a pattern, as kernels count them: a strip longer than w is the only one, and no more of it is computed than there is.
pub(super) fn rows_of_a_pattern(v: usize, rows: usize) -> usize {
    v.min(rows.next_multiple_of(8).max(8))
}

/// Elements of what the walk loads weights in.
pub(super) fn weight_unit(walk: Walk) -> usize {
    match walk {
        Walk::Dense {
            vector_weights: false,
        }
        | Walk::DenseTransposed {
            vector_weights: false,
            ..
        } => 1,
        Walk::NmExpand { n, m, .. } | Walk::NmTransposed { n, m, .. } => {
            if (n, m) == (2, 4) {
                2
            } else {
                1
            }
        }
        _ => 4,
    }
}

/// Elements from one row of values to the next, of w as it is stored.
pub(super) fn weight_row_len(walk: Walk, n_out: usize, k_in: usize) -> usize {
    let kept = |columns, n, m| stored_weights(columns, n, m).next_multiple_of(4);
    match walk {
        Walk::Dense {
            vector_weights: true,
        } => k_in.next_multiple_of(4),
        Walk::Dense { .. } => k_in,
        Walk::DenseTransposed {
            vector_weights: true,
            ..
        } => n_out.next_multiple_of(4),
        Walk::DenseTransposed { .. } => n_out,
        Walk::Nm { n, m, .. }
        | Walk::NmExpand { n, m, .. }
        | Walk::NmBranch { n, m, .. }
        | Walk::NmGather { n, m, .. } => kept(k_in, n, m),
        Walk::NmSelect { n, .. } => kept(k_in, n, 4),
        Walk::NmTransposed { n, m, .. } => kept(n_out, n, m),
        Walk::Bsr { bc, .. } | Walk::BsrTransposed { bc, .. } => bc.next_multiple_of(4),
    }
}

/// Rows of a panel of packed activations: every k that the walk can visit, those past the last column zero.
/// `step` stored weights of a row are read at once.
pub(super) fn packed_rows(walk: Walk, k_in: usize, step: usize) -> usize {
    match walk {
        Walk::Dense { .. } => k_in.next_multiple_of(step),
        // A last step that reaches behind the list reads the zeros of a row of its own.
        Walk::Nm { n, m, .. }
            if !stored_weights(k_in, n, m)
                .next_multiple_of(4)
                .is_multiple_of(step) =>
        {
            packed_rows(walk, k_in, 4) + 1
        }
        Walk::NmExpand { .. } | Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {
            k_in.next_multiple_of(4)
        }
        Walk::Nm { n, m, .. } | Walk::NmBranch { n, m, .. } | Walk::NmGather { n, m, .. } => {
            let kept = stored_weights(k_in, n, m).next_multiple_of(4);
            kept.div_ceil(n) * m
        }
        Walk::NmSelect { n, .. } => k_in.next_multiple_of(select_columns(n)),
        Walk::Bsr { bc: block, .. } | Walk::BsrTransposed { br: block, .. } => {
            k_in.next_multiple_of(block) + usize::from(block % 4 != 0)
        }
    }
}

/// Steps of a strip; of block-sparse matrices an upper bound, as for a strip of which no block is missing.
pub(super) fn steps(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. }
        | Walk::NmExpand { .. }
        | Walk::DenseTransposed { .. }
        | Walk::NmTransposed { .. } => k_in.div_ceil(4),
        Walk::Nm { n, m, .. } | Walk::NmBranch { n, m, .. } | Walk::NmGather { n, m, .. } => {
            stored_weights(k_in, n, m).div_ceil(4)
        }
        Walk::NmSelect { n, .. } => k_in.div_ceil(select_columns(n)),
        Walk::Bsr { bc: block, .. } | Walk::BsrTransposed { br: block, .. } => {
            k_in.div_ceil(block) * block.div_ceil(4)
        }
    }
}

/// Bytes of so many rows of N:M weights that have been expanded, each padded to a multiple of four elements.
pub(super) fn dense_bytes(rows: usize, columns: usize, dtype: DType) -> u64 {
    let row = columns.next_multiple_of(4).saturating_mul(dtype.bytes()) as u64;
    row.saturating_mul(rows as u64)
}
