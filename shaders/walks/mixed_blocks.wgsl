{#- Attention whose query heads are of several kinds: some follow the block mask, the others a window and sinks. -#}
{%- import "walks/mask_blocks.wgsl" as mask_walk -%}
{%- import "walks/streaming_blocks.wgsl" as streaming_walk -%}
{% macro bindings(binding) -%}
{{ mask_walk.bindings(binding) }}
{{ streaming_walk.bindings(binding) }}
{%- endmacro %}

{% macro functions(c) -%}
{{ mask_walk.row_functions(c) }}

{{ streaming_walk.row_functions() }}

// What both counts of a head are that follows the mask.
const MASKED = 0xffffffffu;

struct Row {
    masked: bool,
    first_word: u32,
    window: Window,
}

fn walk_row(work: Work) -> Row {
    let kind = kinds[work.head % params.q_heads];
    return Row(kind.y == MASKED, mask_row(work), window_row(work, kind));
}

// The first block of the row from `block` on; end, or anything after it, where there is none before end.
fn walk_next(row: Row, block: u32, end: u32) -> u32 {
    if (row.masked) { return mask_next(row.first_word, block, end); }
    return window_next(row.window, block, end);
}
{%- endmacro %}
