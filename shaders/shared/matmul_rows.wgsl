{#- What matmul.wgsl, matvec.wgsl and matmul_cooperative.wgsl share: their uniform struct, and which rows of w and which k a workgroup owns. -#}
{% macro params() -%}
struct Params {
    first_group: u32,     // of this dispatch, in the grid of row tiles x panels x parts of k
    group_end: u32,       // one past the last workgroup of this dispatch
    row_tiles: u32,       // of this slice
    strips: u32,          // of this slice
    first_strip: u32,     // of this slice
    order_first: u32,     // where the order of strips starts
    panels: u32,          // of this chunk of tokens
    token_begin: u32,     // first token of the packed chunk
    token_end: u32,       // one past its last
    n_out: u32,           // rows of w = columns of y
    k_in: u32,            // columns of w and x
    packed_rows: u32,     // rows of one panel of the packed x: k_in and zero rows after it
    zero_row: u32,        // one of those
    steps: u32,           // of a strip, where all are alike
    parts: u32,           // into which the steps of a strip are split
    first_part: u32,      // of this dispatch
    part_stride: u32,     // from a part of the sums to the next
    weight_stride: u32,   // from one row of w to the next, in units of four elements (one element: unaligned dense rows)
    words_per_strip: u32, // of packed indices
    y_stride: u32,        // from one row of y to the next
    w_first: u32,         // where the bound windows start, in units of their elements
    indices_first: u32,
    y_first: u32,
    residual_first: u32,
    alpha: f32,
    beta: f32,
}
{%- endmacro %}

{#- How packed x is walked: from one k to the next, in elements of `packed_x`. -#}
{% macro x_stride(config) -%}
const X_STRIDE = {{ config.x_stride }}u;

// Four k that follow each other, the first of which lies at `first`.
fn x_of_four(first: u32) -> vec4<u32> { return first + vec4<u32>(0u, X_STRIDE, 2u * X_STRIDE, 3u * X_STRIDE); }
{%- endmacro %}

{#- The rows of the workgroup's tile: row_begin .. row_end of y.
    Neighbouring workgroups take different strips, so that a long strip is shared out by drivers that give a thread neighbours. -#}
{% macro tile_rows() -%}
    let strip = walk_strip(params.first_strip + tile % params.strips);
    let tile_row = tile / params.strips * ROWS;
    let row_begin = strip * STRIP_ROWS + tile_row;
    let row_end = min(min(row_begin + ROWS, (strip + 1u) * STRIP_ROWS), params.n_out);
{%- endmacro %}

{#- Besides those, row_R where the walk finds each of them, or quad_G each four of them.
    Rows past the end of the strip are the last ones again: computed twice, not stored. -#}
{% macro rows(rows, quads) -%}
    {{ tile_rows() }}
    if (row_begin >= row_end) { return; }
    let last_row = row_end - 1u - strip * STRIP_ROWS;
{%- if quads %}
{%- for g in range(rows // 4) %}
    let quad_{{ g }} = walk_quad(strip, min(tile_row / 4u + {{ g }}u, last_row / 4u));
{%- endfor %}
{%- else %}
{%- for r in range(rows) %}
    let row_{{ r }} = walk_row(strip, min(tile_row + {{ r }}u, last_row));
{%- endfor %}
{%- endif %}
{%- endmacro %}

{#- w_R: the weights of row R at the four k of the step. -#}
{% macro weights(rows, quads) -%}
{%- if quads %}
        let place = walk_place(strip, step);
{%- for g in range(rows // 4) %}{% for c in range(4) %}
        let four_{{ g }}_{{ c }} = walk_outputs(quad_{{ g }}, place, {{ c }}u);
{%- endfor %}{% endfor %}
{%- for r in range(rows) %}
        let w_{{ r }} = vec4<f32>({% for c in range(4) %}four_{{ r // 4 }}_{{ c }}[{{ r % 4 }}]{% if not loop.last %}, {% endif %}{% endfor %});
{%- endfor %}
{%- else %}
{%- for r in range(rows) %}
        let w_{{ r }} = walk_weights(row_{{ r }}, step);
{%- endfor %}
{%- endif %}
{%- endmacro %}

{#- The steps of the workgroup: all of the strip's, or the part that is its own. -#}
{% macro steps(split, part) -%}
{%- if split %}
    let all_steps = walk_steps(strip);
    let part = params.first_part + {{ part }};
    let part_steps = (all_steps.y - all_steps.x + params.parts - 1u) / params.parts;
    let part_begin = min(all_steps.x + part * part_steps, all_steps.y);
    let steps = vec2<u32>(part_begin, min(part_begin + part_steps, all_steps.y));
{%- else %}
    let steps = walk_steps(strip);
{%- endif %}
{%- endmacro %}

{#- The number of an element of y, or of the part's sums. -#}
{% macro y_index(token, row, split) -%}
y_index({{ token }}, {{ row }}){% if split %} + part * params.part_stride{% endif %}
{%- endmacro %}
