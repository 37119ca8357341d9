{#- N:M where the rows of a tile do not share one pattern: k runs over every column as in the dense walk, and each row's stored
    weights are put back in their places by selects. Saves weight bytes, not multiplications. -#}
{% macro bindings(storage, c) -%}
{{ storage.scalar_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const INDEX_BITS = {{ c.index_bits }}u;
const NOWHERE = 0xffffffffu;

fn walk_steps(strip: u32) -> vec2<u32> { return vec2<u32>(0u, params.steps); }

fn walk_k(strip: u32, step: u32) -> vec4<u32> { return 4u * step + vec4<u32>(0u, 1u, 2u, 3u); }

fn walk_row(strip: u32, row: u32) -> u32 { return strip * STRIP_ROWS + row; }

// Stored weight j of the row, at the lane whose position in the group is the weight's index.
fn walk_stored(row: u32, j: u32, position: vec4<u32>) -> vec4<f32> {
    let bit = j * INDEX_BITS;
    let word = indices[(row / {{ c.v }}u) * params.words_per_strip + (bit >> 5u) - params.indices_first];
    let index = (word >> (bit & 31u)) & ((1u << INDEX_BITS) - 1u);
    let value = load_w(row * params.weight_stride * 4u + j - params.w_first);
    return select(vec4<f32>(0.0), vec4<f32>(value), position == vec4<u32>(index));
}

fn walk_weights(row: u32, step: u32) -> vec4<f32> {
    let columns = 4u * step + vec4<u32>(0u, 1u, 2u, 3u);
    var sum = vec4<f32>(0.0);
{%- for g in range(c.groups_per_step) %}
    {
        // The columns of a step may lie in several groups: each group is matched at the columns that are its own.
        let group = columns.x / {{ c.m }}u + {{ g }}u;
        let exists = group * {{ c.m }}u < params.k_in;
        let first = select(0u, group * {{ c.n }}u, exists);
        let position = select(vec4<u32>(NOWHERE), columns - group * {{ c.m }}u, exists);
{%- for i in range(c.n) %}
        sum += walk_stored(row, first + {{ i }}u, position);
{%- endfor %}
    }
{%- endfor %}
    return sum;
}
{%- endmacro %}
