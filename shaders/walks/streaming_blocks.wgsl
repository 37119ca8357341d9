{#- Attention over a window and sinks: for each query head, the first key blocks and the most recent ones. Dense heads have all blocks as
    sinks. -#}
{% macro bindings(binding) -%}
// For each query head of an item: how many first key blocks it sees, and how many ending where the last query of a row stands.
@group(0) @binding({{ binding + 1 }}) var<storage, read> kinds: array<vec2<u32>>;
{%- endmacro %}

{% macro row_functions() -%}
// Key blocks before sink_end, and from recent_first to recent_end.
struct Window {
    sink_end: u32,
    recent_first: u32,
    recent_end: u32,
}

fn window_row(work: Work, kind: vec2<u32>) -> Window {
    let row_end = min((work.first_query / BLOCK + 1u) * BLOCK, work.q_len);
    let recent_end = (keys_until(work, row_end - 1u) + BLOCK - 1u) / BLOCK;
    return Window(kind.x, recent_end - min(kind.y, recent_end), recent_end);
}

fn window_next(row: Window, block: u32, end: u32) -> u32 {
    if (block < row.sink_end) { return block; }
    let next = max(block, row.recent_first);
    return select(end, next, next < row.recent_end);
}
{%- endmacro %}

{% macro functions(c) -%}
{{ row_functions() }}

fn walk_row(work: Work) -> Window { return window_row(work, kinds[work.head % params.q_heads]); }

// The first block of the row from `block` on; end, or anything after it, where there is none before end.
fn walk_next(row: Window, block: u32, end: u32) -> u32 { return window_next(row, block, end); }
{%- endmacro %}
