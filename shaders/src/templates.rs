//! The template files, in the crate by inclusion so that a packaged crate carries them.

/// `(file, text)` of every template.
pub(crate) const TEMPLATES: &[(&str, &str)] = &[
    (
        "attention_row_order.wgsl",
        include_str!("../attention_row_order.wgsl"),
    ),
    (
        "attention_row_weights.wgsl",
        include_str!("../attention_row_weights.wgsl"),
    ),
    (
        "block_attention.wgsl",
        include_str!("../block_attention.wgsl"),
    ),
    (
        "block_attention_tiled.wgsl",
        include_str!("../block_attention_tiled.wgsl"),
    ),
    ("bsr_sddmm.wgsl", include_str!("../bsr_sddmm.wgsl")),
    ("ceiling_fma.wgsl", include_str!("../ceiling_fma.wgsl")),
    ("ceiling_read.wgsl", include_str!("../ceiling_read.wgsl")),
    ("convert.wgsl", include_str!("../convert.wgsl")),
    (
        "expand_weights.wgsl",
        include_str!("../expand_weights.wgsl"),
    ),
    ("matmul.wgsl", include_str!("../matmul.wgsl")),
    (
        "matmul_cooperative.wgsl",
        include_str!("../matmul_cooperative.wgsl"),
    ),
    ("matmul_finish.wgsl", include_str!("../matmul_finish.wgsl")),
    ("matvec.wgsl", include_str!("../matvec.wgsl")),
    ("naive.wgsl", include_str!("../naive.wgsl")),
    ("pack.wgsl", include_str!("../pack.wgsl")),
    ("pack_f16.wgsl", include_str!("../pack_f16.wgsl")),
    (
        "shared/attention.wgsl",
        include_str!("../shared/attention.wgsl"),
    ),
    (
        "shared/epilogue.wgsl",
        include_str!("../shared/epilogue.wgsl"),
    ),
    (
        "shared/few_tokens.wgsl",
        include_str!("../shared/few_tokens.wgsl"),
    ),
    (
        "shared/few_tokens_transposed.wgsl",
        include_str!("../shared/few_tokens_transposed.wgsl"),
    ),
    ("shared/grid.wgsl", include_str!("../shared/grid.wgsl")),
    (
        "shared/matmul_rows.wgsl",
        include_str!("../shared/matmul_rows.wgsl"),
    ),
    (
        "shared/nm_expand.wgsl",
        include_str!("../shared/nm_expand.wgsl"),
    ),
    (
        "shared/packing.wgsl",
        include_str!("../shared/packing.wgsl"),
    ),
    (
        "shared/pattern_branch.wgsl",
        include_str!("../shared/pattern_branch.wgsl"),
    ),
    (
        "shared/register_tile.wgsl",
        include_str!("../shared/register_tile.wgsl"),
    ),
    (
        "shared/storage.wgsl",
        include_str!("../shared/storage.wgsl"),
    ),
    ("shared/strips.wgsl", include_str!("../shared/strips.wgsl")),
    (
        "shared/xattention_groups.wgsl",
        include_str!("../shared/xattention_groups.wgsl"),
    ),
    (
        "walks/all_blocks.wgsl",
        include_str!("../walks/all_blocks.wgsl"),
    ),
    ("walks/bsr.wgsl", include_str!("../walks/bsr.wgsl")),
    (
        "walks/bsr_transposed.wgsl",
        include_str!("../walks/bsr_transposed.wgsl"),
    ),
    ("walks/dense.wgsl", include_str!("../walks/dense.wgsl")),
    (
        "walks/dense_transposed.wgsl",
        include_str!("../walks/dense_transposed.wgsl"),
    ),
    (
        "walks/nm_transposed.wgsl",
        include_str!("../walks/nm_transposed.wgsl"),
    ),
    (
        "walks/nm_gather.wgsl",
        include_str!("../walks/nm_gather.wgsl"),
    ),
    (
        "walks/nm_select.wgsl",
        include_str!("../walks/nm_select.wgsl"),
    ),
    (
        "walks/mask_blocks.wgsl",
        include_str!("../walks/mask_blocks.wgsl"),
    ),
    (
        "walks/mixed_blocks.wgsl",
        include_str!("../walks/mixed_blocks.wgsl"),
    ),
    ("walks/nm.wgsl", include_str!("../walks/nm.wgsl")),
    (
        "walks/nm_branch.wgsl",
        include_str!("../walks/nm_branch.wgsl"),
    ),
    (
        "walks/nm_expand.wgsl",
        include_str!("../walks/nm_expand.wgsl"),
    ),
    (
        "walks/streaming_blocks.wgsl",
        include_str!("../walks/streaming_blocks.wgsl"),
    ),
    (
        "xattention_count.wgsl",
        include_str!("../xattention_count.wgsl"),
    ),
    (
        "xattention_decide.wgsl",
        include_str!("../xattention_decide.wgsl"),
    ),
    (
        "xattention_pack.wgsl",
        include_str!("../xattention_pack.wgsl"),
    ),
    (
        "xattention_reduce.wgsl",
        include_str!("../xattention_reduce.wgsl"),
    ),
    (
        "xattention_score.wgsl",
        include_str!("../xattention_score.wgsl"),
    ),
    (
        "xattention_select.wgsl",
        include_str!("../xattention_select.wgsl"),
    ),
];
