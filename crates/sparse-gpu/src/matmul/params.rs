//! The uniform structs of the matmul kernels; a test compares them with the WGSL.

use crate::dispatch::{Params, params};

params! {
    /// Of `expand_weights.wgsl`.
    ExpandParams {
        groups_per_row,
        fours,
        row_begin,
        columns,
        weight_stride,
        words_per_strip,
        w_first,
        indices_first,
    }
}

params! {
    /// Of `matmul.wgsl`, `matvec.wgsl` and `matmul_cooperative.wgsl`.
    MatmulParams {
        row_tiles,
        strips,
        first_strip,
        order_first,
        panels,
        token_begin,
        token_end,
        n_out,
        k_in,
        packed_rows,
        zero_row,
        steps,
        parts,
        first_part,
        part_stride,
        weight_stride,
        words_per_strip,
        y_stride,
        w_first,
        indices_first,
        y_first,
        residual_first,
        /// The bits of an f32.
        alpha,
        /// The bits of an f32.
        beta,
    }
}

params! {
    /// Of `pack.wgsl` and `pack_halves.wgsl`.
    PackParams { k_tiles, k_begin, token_begin, token_end, k_in, x_stride, packed_rows, x_first }
}

params! {
    /// Of `matmul_finish.wgsl`.
    FinishParams {
        line,
        line_pairs,
        pairs,
        line_stride,
        sums_stride,
        sums_begin,
        y_begin,
        shift,
        parts,
        part_stride,
        n_out,
        y_stride,
        y_first,
        residual_first,
        /// The bits of an f32.
        alpha,
        /// The bits of an f32.
        beta,
    }
}

params! {
    /// Of `bsr_sddmm.wgsl`.
    SddmmParams {
        first_block,
        blocks_end,
        y_stride,
        y_first,
        tokens,
        n_out,
        k_in,
        dy_first,
        x_first,
        packed_rows,
        /// The bits of an f32.
        alpha,
        /// The bits of an f32.
        beta,
    }
}

params! {
    /// Of `nm_sddmm.wgsl`.
    NmSddmmParams {
        first_tile,
        tiles,
        words_per_strip,
        indices_first,
        y_stride,
        y_first,
        kept,
        tokens,
        n_out,
        k_in,
        dy_first,
        x_first,
        packed_rows,
        /// The bits of an f32.
        alpha,
        /// The bits of an f32.
        beta,
    }
}

params! {
    /// Of `naive.wgsl`.
    NaiveParams { tokens, n_out, k_in }
}
