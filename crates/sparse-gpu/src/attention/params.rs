//! The uniform struct of the attention kernels.

use crate::dispatch::{Params, params};

params! {
    /// Of `block_attention.wgsl`, `block_attention_tiled.wgsl`, `block_attention_few.wgsl` and `attention_row_weights.wgsl`.
    AttentionParams {
        heads,
        heads_together,
        first_head,
        q_heads,
        heads_per_key_head,
        q_len,
        k_len,
        k_capacity,
        q_tiles,
        scale_bits,
        cap_bits,
        q_first,
        k_first,
        v_first,
        out_first,
        lse_first,
        mask_first,
        query_blocks,
        words_per_row,
        list_first,
        alternate,
        parts,
    }
}

params! {
    /// Of `attention_row_order.wgsl`.
    RowOrderParams {
        rows,
        rows_together,
        shift,
        parts,
    }
}

params! {
    /// Of `attention_merge.wgsl`.
    MergeParams {
        rows,
        parts,
        tokens,
        first_token,
        first_head,
        q_heads,
        q_len,
        out_first,
        lse_first,
    }
}

params! {
    /// Of `convert.wgsl`.
    ConvertParams { len, y_first }
}
