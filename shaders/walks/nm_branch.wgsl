{%- import "shared/strips.wgsl" as strips -%}
{#- N:M where every row of a tile has a pattern of its own, and branches on it. There is no list of k for the tile: a step holds stored
    weights 4s .. 4s+3 of a row as in the walk nm, and covers the same whole quads of neighbouring columns for all rows;
    shared/pattern_branch.wgsl multiplies them. Padding has zero weights and meets zero rows of the packed x. -#}
{% macro bindings(storage, c) -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const STEP_BITS = {{ 4 * c.index_bits }}u;
const STEP_COLUMNS = {{ 4 * c.quad.per_step }}u;

{{ strips.alike() }}

// Where the weights of a row begin, and its packed indices.
fn walk_row(strip: u32, row: u32) -> vec2<u32> {
    let number = strip * STRIP_ROWS + row;
    return vec2<u32>(number * params.weight_stride - params.w_first, number / {{ c.v }}u * params.words_per_strip - params.indices_first);
}

fn walk_weights(row: vec2<u32>, step: u32) -> vec4<f32> { return load4_w(row.x + step); }

// The packed indices of the step's four weights in the low STEP_BITS; those of later steps above them.
fn walk_indices(row: vec2<u32>, step: u32) -> u32 {
    let bit = step * STEP_BITS;
    return indices[row.y + (bit >> 5u)] >> (bit & 31u);
}
{%- endmacro %}
