{%- import "shared/strips.wgsl" as strips -%}
{%- import "shared/few_tokens.wgsl" as tokens -%}
{#- N:M where every row of a tile has a list of its own: the stored weights only, x gathered for each row. For few tokens, where the bytes
    of the weights count and x stays in the cache. -#}
{% macro bindings(storage, c) -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const INDEX_BITS = {{ c.index_bits }}u;

{{ strips.alike() }}

{{ strips.own_rows(c) }}

fn walk_row_x(x: u32, row: vec2<u32>, step: u32) -> vec4<u32> {
    let bit = step * (4u * INDEX_BITS);
    let word = indices[row.y + (bit >> 5u)] >> (bit & 31u);
    let shifts = vec4<u32>(0u, INDEX_BITS, 2u * INDEX_BITS, 3u * INDEX_BITS);
    let index = (vec4<u32>(word) >> shifts) & vec4<u32>((1u << INDEX_BITS) - 1u);
    let group = (4u * step + vec4<u32>(0u, 1u, 2u, 3u)) / {{ c.n }}u;
    return x + X_STRIDE * (group * {{ c.m }}u + index);
}

fn walk_weights(row: vec2<u32>, step: u32) -> vec4<f32> { return load4_w(row.x + step); }
{%- endmacro %}

{% macro own_step(rows, panel, vectors, c) -%}
{%- for r in range(rows) %}
        {
            let w_{{ r }} = walk_weights(row_{{ r }}, step);
            let k = walk_row_x(0u, row_{{ r }}, step);
{{- tokens.gather(panel, vectors) }}
{{- tokens.multiply(r, panel, vectors) }}
        }
{%- endfor %}
{%- endmacro %}
