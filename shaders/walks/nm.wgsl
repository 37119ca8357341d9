{#- N:M, one pattern for the V rows of a strip: step s holds stored weights 4s .. 4s+3 of a row; stored weight j belongs to group
    j / N and lies at one of its M columns. Indices are packed, INDEX_BITS each, every strip from a new word; a step never straddles
    a word. Padding (a tail group, the last step) has zero weights and points at zero rows of the packed x. -#}
{% macro bindings(storage, c) -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const INDEX_BITS = {{ c.index_bits }}u;

fn walk_strip(number: u32) -> u32 { return number; }

fn walk_steps(strip: u32) -> vec2<u32> { return vec2<u32>(0u, params.steps); }

fn walk_k(strip: u32, step: u32) -> vec4<u32> {
    let bit = step * (4u * INDEX_BITS);
    let word = indices[strip * params.words_per_strip + (bit >> 5u) - params.indices_first] >> (bit & 31u);
    let shifts = vec4<u32>(0u, INDEX_BITS, 2u * INDEX_BITS, 3u * INDEX_BITS);
    let index = (vec4<u32>(word) >> shifts) & vec4<u32>((1u << INDEX_BITS) - 1u);
{%- if 4 % c.n == 0 %}
    // A step holds whole groups: their first columns lie at constant distances.
    return {{ 4 // c.n * c.m }}u * step + vec4<u32>({% for i in range(4) %}{{ i // c.n * c.m }}u{% if not loop.last %}, {% endif %}{% endfor %}) + index;
{%- else %}
    let group = (4u * step + vec4<u32>(0u, 1u, 2u, 3u)) / {{ c.n }}u;
    return group * {{ c.m }}u + index;
{%- endif %}
}

fn walk_row(strip: u32, row: u32) -> u32 { return (strip * STRIP_ROWS + row) * params.weight_stride - params.w_first; }

fn walk_weights(row: u32, step: u32) -> vec4<f32> { return load4_w(row + step); }
{%- endmacro %}
