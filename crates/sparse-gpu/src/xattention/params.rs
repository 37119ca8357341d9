//! The uniform structs of the XAttention kernels; a test compares them with the WGSL.

use crate::dispatch::{Params, params};

params! {
    /// Of `xattention_pack.wgsl`.
    PackGroupsParams {
        heads,
        first_head,
        len,
        capacity,
        stride,
        first_row,
        /// Rows of a head, or panels.
        rows,
        steps,
        x_first,
    }
}

params! {
    /// Of `xattention_score.wgsl`.
    ScoreParams {
        units,
        first_unit,
        panels,
        first_query_group,
        query_group_end,
        heads_per_key_head,
        first_shared,
        steps,
        first_key_group,
        key_group_end,
        real_key_groups,
        key_lead,
        key_head_stride,
        blocks,
        scale_bits,
        q_len,
        k_len,
        stride,
        k_groups,
        group_offset,
    }
}

params! {
    /// Of `xattention_reduce.wgsl`.
    ReduceParams {
        block_rows,
        first_block_row,
        first_query_group,
        query_groups,
        score_rows,
        first_head,
        quads,
        blocks,
        scores_first,
        q_len,
        k_len,
        stride,
        k_groups,
        group_offset,
    }
}

params! {
    /// Of `xattention_select.wgsl`.
    SelectParams {
        first_row,
        row_end,
        heads,
        q_blocks,
        k_blocks,
        mask_rows,
        words_per_row,
        score_rows,
        score_blocks,
        index_bits,
        scores_first,
        mask_first,
        block,
        q_len,
        k_len,
        sink_blocks,
        recent_blocks,
        block_offset,
        blocks_per_chunk,
        keep_sink,
        keep_recent,
    }
}

params! {
    /// Of `xattention_sum_heads.wgsl`.
    SumHeadsParams {
        /// Of the slice, numbered through the batch.
        first_mask_head,
        mask_heads,
        first_element,
        elements,
        head_elements,
        group_size,
        first_member,
        member_end,
        q_heads,
        scores_first,
        sums_first,
    }
}

params! {
    /// Of `xattention_count.wgsl`.
    CountParams {
        /// Of the slice, numbered through the batch.
        first_head,
        q_blocks,
        k_blocks,
        words_per_row,
        mask_first,
        block,
        q_len,
        k_len,
    }
}

params! {
    /// Of `xattention_decide.wgsl`.
    DecideParams {
        /// Heads whose selection decides.
        heads,
        limit,
        dispatches,
    }
}
