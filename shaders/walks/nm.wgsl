{%- import "shared/strips.wgsl" as strips -%}
{#- N:M, one pattern for the V rows of a strip: step s holds stored weights 4s .. 4s+3 of a row; stored weight j belongs to group
    j / N and lies at one of its M columns. Indices are packed, INDEX_BITS each, every strip from a new word; a step never straddles
    a word. Padding (a tail group, the last step) has zero weights and points at zero rows of the packed x. -#}
{#- X_STRIDE times index i of the four in `word`. Where the stride is a power of two, the shift that takes the index out puts it in its place. -#}
{% macro index(c, i) -%}
{%- if c.x_shift is none -%}
((word >> {{ i * c.index_bits }}u) & {{ 2 ** c.index_bits - 1 }}u) * X_STRIDE
{%- elif i * c.index_bits >= c.x_shift -%}
((word >> {{ i * c.index_bits - c.x_shift }}u) & {{ (2 ** c.index_bits - 1) * 2 ** c.x_shift }}u)
{%- else -%}
((word << {{ c.x_shift - i * c.index_bits }}u) & {{ (2 ** c.index_bits - 1) * 2 ** c.x_shift }}u)
{%- endif -%}
{%- endmacro %}

{% macro bindings(storage, c) -%}
{% if c.native -%}
{{ storage.native_half_reader(3, "w", c.vector_weights) }}
{%- else -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
{%- endif %}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const INDEX_BITS = {{ c.index_bits }}u;
const STEPS_OF_WORD = {{ 8 // c.index_bits }}u;

{{ strips.alike() }}

// Its first word.
fn walk_list(strip: u32) -> u32 { return strip * params.words_per_strip - params.indices_first; }

fn walk_word(list: u32, step: u32) -> u32 { return indices[list + step / STEPS_OF_WORD]; }

fn walk_x(x: u32, four_steps: u32, step: u32) -> vec4<u32> {
    let word = four_steps >> (step % STEPS_OF_WORD * (4u * INDEX_BITS));
{%- if 4 % c.n == 0 %}
    // A step holds whole groups: their first columns lie at constant distances.
    let first = x + {{ 4 // c.n * c.m }}u * X_STRIDE * step;
    return vec4<u32>(
{%- for i in range(4) %}
        first + {{ index(c, i) }}{% if i >= c.n %} + {{ i // c.n * c.m }}u * X_STRIDE{% endif %}{% if not loop.last %},{% else %});{% endif %}
{%- endfor %}
{%- else %}
    let index = (vec4<u32>(word) >> vec4<u32>(0u, INDEX_BITS, 2u * INDEX_BITS, 3u * INDEX_BITS)) & vec4<u32>((1u << INDEX_BITS) - 1u);
    let group = (4u * step + vec4<u32>(0u, 1u, 2u, 3u)) / {{ c.n }}u;
    return x + X_STRIDE * (group * {{ c.m }}u + index);
{%- endif %}
}

fn walk_row(strip: u32, row: u32) -> u32 { return (strip * STRIP_ROWS + row) * params.weight_stride - params.w_first; }

fn walk_at(row: u32, step: u32) -> u32 { return row + step; }
{%- if not c.native %}

fn walk_weights(row: u32, step: u32) -> vec4<f32> { return load4_w(walk_at(row, step)); }
{%- endif %}
{%- endmacro %}
