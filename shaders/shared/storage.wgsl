{#- Reading and writing f32, f16 and bf16 through 32-bit words, so that half-width storage needs no device feature.
    Each macro declares one binding and the functions that touch it.
    Where `word_bits` is 64, four elements move as words of 64 bits: half as many loads and stores for drivers that take them word by word. -#}

{#- Two 32-bit words of one of 64 bits, the first in the low bits, and back. -#}
{% macro halves_of(word) -%}
u32({{ word }}), u32({{ word }} >> 32u)
{%- endmacro %}

{% macro word_of(low, high) -%}
u64({{ low }}) | (u64({{ high }}) << 32u)
{%- endmacro %}

{#- How four halves are declared. -#}
{% macro half4() -%}
{{ "u64" if word_bits == 64 else "vec2<u32>" }}
{%- endmacro %}

{#- How four f32 are declared, and the functions that read and write element i of an array of them. -#}
{% macro f32x4() -%}
{{ "vec2<u64>" if word_bits == 64 else "vec4<f32>" }}
{%- endmacro %}

{% macro f32x4_load(function, name) -%}
{% if word_bits == 64 -%}
fn {{ function }}(i: u32) -> vec4<f32> {
    let words = {{ name }}[i];
    return bitcast<vec4<f32>>(vec4<u32>({{ halves_of("words.x") }}, {{ halves_of("words.y") }}));
}
{%- else -%}
fn {{ function }}(i: u32) -> vec4<f32> { return {{ name }}[i]; }
{%- endif %}
{%- endmacro %}

{% macro f32x4_store(function, name) -%}
{% if word_bits == 64 -%}
fn {{ function }}(i: u32, value: vec4<f32>) {
    let bits = bitcast<vec4<u32>>(value);
    {{ name }}[i] = vec2<u64>({{ word_of("bits.x", "bits.y") }}, {{ word_of("bits.z", "bits.w") }});
}
{%- else -%}
fn {{ function }}(i: u32, value: vec4<f32>) { {{ name }}[i] = value; }
{%- endif %}
{%- endmacro %}

{#- A read-only array of four f32 an element: load4_NAME(i). -#}
{% macro f32x4_reader(binding, name) -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<{{ f32x4() }}>;
{{ f32x4_load("load4_" ~ name, name) }}
{%- endmacro %}

{#- An output array of four f32 an element: store4_NAME(i, value). -#}
{% macro f32x4_writer(binding, name) -%}
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<{{ f32x4() }}>;
{{ f32x4_store("store4_" ~ name, name) }}
{%- endmacro %}

{#- Workgroup memory of `count` times four f32: load4_NAME(i), store4_NAME(i, value). -#}
{% macro f32x4_workgroup(name, count) -%}
var<workgroup> {{ name }}: array<{{ f32x4() }}, {{ count }}>;
{{ f32x4_load("load4_" ~ name, name) }}
{{ f32x4_store("store4_" ~ name, name) }}
{%- endmacro %}

{#- A read-only array in units of four elements: load4_NAME(i) gives elements 4i .. 4i+3. -#}
{% macro vec4_reader(binding, name, storage) -%}
{% if storage == "f32" -%}
{{ f32x4_reader(binding, name) }}
{%- else -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<{{ half4() }}>;
fn load4_{{ name }}(i: u32) -> vec4<f32> {
{%- if word_bits == 64 %}
    let four = {{ name }}[i];
    let word = vec2<u32>({{ halves_of("four") }});
{%- else %}
    let word = {{ name }}[i];
{%- endif %}
{%- if storage == "f16" %}
    return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
{%- else %}
    return bitcast<vec4<f32>>(vec4<u32>(word.x << 16u, word.x & 0xffff0000u, word.y << 16u, word.y & 0xffff0000u));
{%- endif %}
}
{%- endif %}
{%- endmacro %}

{#- A read-only array in units of two elements: load2_NAME(i) gives elements 2i and 2i+1. -#}
{% macro vec2_reader(binding, name, storage) -%}
{% if storage == "f32" and word_bits == 64 -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<u64>;
fn load2_{{ name }}(i: u32) -> vec2<f32> {
    let word = {{ name }}[i];
    return bitcast<vec2<f32>>(vec2<u32>({{ halves_of("word") }}));
}
{%- elif storage == "f32" -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<vec2<f32>>;
fn load2_{{ name }}(i: u32) -> vec2<f32> { return {{ name }}[i]; }
{%- else -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<u32>;
fn load2_{{ name }}(i: u32) -> vec2<f32> {
    let word = {{ name }}[i];
{%- if storage == "f16" %}
    return unpack2x16float(word);
{%- else %}
    return bitcast<vec2<f32>>(vec2<u32>(word << 16u, word & 0xffff0000u));
{%- endif %}
}
{%- endif %}
{%- endmacro %}

{#- A read-only array in units of one element: load_NAME(i). -#}
{% macro scalar_reader(binding, name, storage) -%}
{% if storage == "f32" -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<f32>;
fn load_{{ name }}(i: u32) -> f32 { return {{ name }}[i]; }
{%- else -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<u32>;
fn load_{{ name }}(i: u32) -> f32 {
    let word = {{ name }}[i >> 1u] >> ((i & 1u) * 16u);
{%- if storage == "f16" %}
    return unpack2x16float(word & 0xffffu).x;
{%- else %}
    return bitcast<f32>(word << 16u);
{%- endif %}
}
{%- endif %}
{%- endmacro %}

{#- Halves as they are stored, each in the low bits of a word, for kernels that move them and do not compute: load_NAME(i), and load2_NAME(i) for
    elements 2i and 2i+1; store4_NAME(i, value) for elements 4i .. 4i+3. -#}
{% macro half_bits_reader(binding, name) -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<u32>;
fn load_{{ name }}(i: u32) -> u32 { return ({{ name }}[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu; }
fn load2_{{ name }}(i: u32) -> vec2<u32> { return vec2<u32>({{ name }}[i] & 0xffffu, {{ name }}[i] >> 16u); }
{%- endmacro %}

{% macro half_bits_writer(binding, name) -%}
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<{{ half4() }}>;
fn store4_{{ name }}(i: u32, value: vec4<u32>) {
    let low = value.x | (value.y << 16u);
    let high = value.z | (value.w << 16u);
    {{ name }}[i] = {% if word_bits == 64 %}{{ word_of("low", "high") }}{% else %}vec2<u32>(low, high){% endif %};
}
{%- endmacro %}

{#- A read-only array of f16 as numbers, which wants `enable f16`: for cooperative matrices. -#}
{% macro native_half_reader(binding, name, vectors) -%}
@group(0) @binding({{ binding }}) var<storage, read> {{ name }}: array<{{ "vec4<f16>" if vectors else "f16" }}>;
{%- endmacro %}

{#- An output array. f32: store_NAME(i, value) for one element, and store4_NAME(i, value) for elements 4i .. 4i+3 where
    `vectors`. Halves: store2_NAME(i, value) for elements 2i and 2i+1, because a word is never shared by two invocations. -#}
{% macro writer(binding, name, storage, vectors) -%}
{% if storage == "f32" and vectors -%}
{{ f32x4_writer(binding, name) }}
{%- elif storage == "f32" -%}
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<f32>;
fn store_{{ name }}(i: u32, value: f32) { {{ name }}[i] = value; }
{%- elif storage == "f16" -%}
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<u32>;
fn store2_{{ name }}(i: u32, value: vec2<f32>) { {{ name }}[i] = pack2x16float(value); }
{%- else -%}
@group(0) @binding({{ binding }}) var<storage, read_write> {{ name }}: array<u32>;
// Rounds to nearest, ties to even; a NaN keeps its sign and stays a NaN.
fn to_bf16(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return select(rounded, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}
fn store2_{{ name }}(i: u32, value: vec2<f32>) { {{ name }}[i] = to_bf16(value.x) | (to_bf16(value.y) << 16u); }
{%- endif %}
{%- endmacro %}

{#- What the `writer` of the same name and storage has in its elements: previous_NAME(i), previous4_NAME(i) where `vectors`,
    previous2_NAME(i) of halves. -#}
{% macro previous(name, storage, vectors) -%}
{% if storage == "f32" and vectors -%}
{{ f32x4_load("previous4_" ~ name, name) }}
{%- elif storage == "f32" -%}
fn previous_{{ name }}(i: u32) -> f32 { return {{ name }}[i]; }
{%- elif storage == "f16" -%}
fn previous2_{{ name }}(i: u32) -> vec2<f32> { return unpack2x16float({{ name }}[i]); }
{%- else -%}
fn previous2_{{ name }}(i: u32) -> vec2<f32> {
    let word = {{ name }}[i];
    return bitcast<vec2<f32>>(vec2<u32>(word << 16u, word & 0xffff0000u));
}
{%- endif %}
{%- endmacro %}
