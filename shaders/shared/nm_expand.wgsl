{#- Four neighbouring elements of a row of N:M weights, stored ones in their places and zeros between them. Elements are numbers, or the bits of halves
    where they are only moved (`bits`): no conversion there that a device may flush or clamp in. -#}
{% macro bindings(storage, c, bits=false) -%}
{% if bits -%}
{{ storage.half_bits_reader(3, "w") }}
{%- elif c.n == 2 and c.m == 4 -%}
{{ storage.vec2_reader(3, "w", c.weight) }}
{%- else -%}
{{ storage.scalar_reader(3, "w", c.weight) }}
{%- endif %}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{#- expand_four(row, four): elements 4 * four .. 4 * four + 3 of a row of params.WIDTH elements. -#}
{% macro functions(c, width, bits=false) -%}
{%- set element = "u32" if bits else "f32" -%}
{%- set zero = "0u" if bits else "0.0" -%}
const INDEX_BITS = {{ c.index_bits }}u;
{%- if c.n == 2 and c.m == 4 %}

// The four are one group: its two weights, and four bits that say where they belong. The first lies before the second.
fn expand_four(row: u32, four: u32) -> vec4<{{ element }}> {
    let word = indices[(row / {{ c.v }}u) * params.words_per_strip + (four >> 3u) - params.indices_first];
    let code = word >> ((four & 7u) * 4u);
    let kept = load2_w(row * params.weight_stride * 2u + four - params.w_first);
    let first = code & 3u;
    let second = code & 12u;
    return vec4<{{ element }}>(
        select({{ zero }}, kept.x, first == 0u),
        select(select({{ zero }}, kept.y, second == 4u), kept.x, first == 1u),
        select(select({{ zero }}, kept.y, second == 8u), kept.x, first == 2u),
        select({{ zero }}, kept.y, second == 12u));
}
{%- else %}
const NOWHERE = 0xffffffffu;

// Stored weight j of the row, at the lane whose position in the group is the weight's index.
fn expand_stored(row: u32, j: u32, position: vec4<u32>) -> vec4<{{ element }}> {
    let bit = j * INDEX_BITS;
    let word = indices[(row / {{ c.v }}u) * params.words_per_strip + (bit >> 5u) - params.indices_first];
    let index = (word >> (bit & 31u)) & ((1u << INDEX_BITS) - 1u);
    let value = load_w(row * params.weight_stride * 4u + j - params.w_first);
    return select(vec4<{{ element }}>({{ zero }}), vec4<{{ element }}>(value), position == vec4<u32>(index));
}

fn expand_four(row: u32, four: u32) -> vec4<{{ element }}> {
    let columns = 4u * four + vec4<u32>(0u, 1u, 2u, 3u);
    var sum = vec4<{{ element }}>({{ zero }});
{%- for g in range(c.groups_per_step) %}
    {
        // The columns of a step may lie in several groups: each group is matched at the columns that are its own.
        let group = columns.x / {{ c.m }}u + {{ g }}u;
        let exists = group * {{ c.m }}u < params.{{ width }};
        let first = select(0u, group * {{ c.n }}u, exists);
        let position = select(vec4<u32>(NOWHERE), columns - group * {{ c.m }}u, exists);
{%- for i in range(c.n) %}
        sum += expand_stored(row, first + {{ i }}u, position);
{%- endfor %}
    }
{%- endfor %}
    return sum;
}
{%- endif %}
{%- endmacro %}
