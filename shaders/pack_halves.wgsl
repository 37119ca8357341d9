{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/packing.wgsl" as packing -%}
// packed[panel][k][t] = x[token_begin + panel * {{ panel }} + t, k], zero where the token or the k does not exist; all of it halves, f16 or bf16.
{%- if transposed %}
// x is stored [k_in, tokens].
{%- endif %}
//
// What pack.wgsl does, for kernels that read packed halves: they change their places and nothing of their bits, so that no conversion can
// flush or round them. An invocation turns a square of 4 tokens by 4 k; the {{ plain_lanes }} of a workgroup lie {{ squares_t }} along tokens and {{ squares_k }} along k.

{{ packing.params(tile_k) }}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<{{ storage.half4() if vector_input else "u32" }}>;
@group(0) @binding(2) var<storage, read_write> packed: array<{{ storage.half4() }}>;

const PANEL = {{ panel }}u;

{{ grid.index() }}

{% set row, column = ("k", "token") if transposed else ("token", "k") -%}
{% if vector_input -%}
// Four neighbours of a row of x, from {{ column }} on, a multiple of 4: two halves a word.
fn x4(token: u32, k: u32) -> vec2<u32> {
    let exists = token < params.token_end && k < params.k_in;
    let at = select(0u, ({{ row }} * params.x_stride + {{ column }} - params.x_first) / 4u, exists);
{%- if word_bits == 64 %}
    let four = select(u64(0u), x[at], exists);
    return vec2<u32>({{ storage.halves_of("four") }});
{%- else %}
    return select(vec2<u32>(0u), x[at], exists);
{%- endif %}
}
{%- else -%}
fn x1(token: u32, k: u32) -> u32 {
    let exists = token < params.token_end && k < params.k_in;
    let at = select(0u, {{ row }} * params.x_stride + {{ column }} - params.x_first, exists);
    return select(0u, (x[at >> 1u] >> ((at & 1u) * 16u)) & 0xffffu, exists);
}

// Four neighbours of a row of x, from {{ column }} on: two halves a word.
fn x4(token: u32, k: u32) -> vec2<u32> {
{%- if transposed %}
    return vec2<u32>(x1(token, k) | (x1(token + 1u, k) << 16u), x1(token + 2u, k) | (x1(token + 3u, k) << 16u));
{%- else %}
    return vec2<u32>(x1(token, k) | (x1(token, k + 1u) << 16u), x1(token, k + 2u) | (x1(token, k + 3u) << 16u));
{%- endif %}
}
{%- endif %}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    {{ packing.square(tile_tokens, tile_k, squares_t) }}
    let at = {{ packing.line() }};
{%- for i in range(4) %}
    let line_{{ i }} = {{ "x4(token, k + " ~ i ~ "u)" if transposed else "x4(token + " ~ i ~ "u, k)" }};
{%- endfor %}
{%- for i in range(4) %}
{%- set word = "xy"[i // 2] %}
{%- if transposed %}
    let turned_{{ i }} = line_{{ i }};
{%- elif i % 2 == 0 %}
    let turned_{{ i }} = vec2<u32>((line_0.{{ word }} & 0xffffu) | (line_1.{{ word }} << 16u), (line_2.{{ word }} & 0xffffu) | (line_3.{{ word }} << 16u));
{%- else %}
    let turned_{{ i }} = vec2<u32>((line_0.{{ word }} >> 16u) | (line_1.{{ word }} & 0xffff0000u), (line_2.{{ word }} >> 16u) | (line_3.{{ word }} & 0xffff0000u));
{%- endif %}
    if (k + {{ i }}u < params.packed_rows) { packed[at + {{ i }}u * (PANEL / 4u)] = {% if word_bits == 64 %}{{ storage.word_of("turned_" ~ i ~ ".x", "turned_" ~ i ~ ".y") }}{% else %}turned_{{ i }}{% endif %}; }
{%- endfor %}
}
