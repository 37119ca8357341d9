{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/packing.wgsl" as packing -%}
// packed[panel][k][t] = x[token_begin + panel * {{ panel }} + t, k], zero where the token or the k does not exist.
{%- if transposed %}
// x is stored [k_in, tokens].
{%- endif %}
//
// Turns {{ "k-by-tokens" if transposed else "tokens-by-k" }} activations of any storage type into panels of {{ panel }} tokens, k-major, f32, so that the matmul kernels read
// contiguous vec4s and need no edge tests.
{%- if panel % 4 == 0 %}
// An invocation turns a square of 4 tokens by 4 k in registers; the {{ plain_lanes }} of a workgroup lie {{ squares_t }} along tokens and {{ squares_k }} along k,
// so that both reads and writes of neighbours are neighbours.
{%- endif %}

{{ packing.params(tile_k) }}

@group(0) @binding(0) var<uniform> params: Params;
{% if vector_input -%}
{{ storage.vec4_reader(1, "x", input) }}
{%- else -%}
{{ storage.scalar_reader(1, "x", input) }}
{%- endif %}
{{ storage.writer(2, "packed", "f32", panel % 4 == 0) }}

const PANEL = {{ panel }}u;

{{ grid.index() }}

{% if transposed and vector_input -%}
// x[token .. token + 3, k]; token is a multiple of 4.
fn x4(token: u32, k: u32) -> vec4<f32> {
    let exists = token < params.token_end && k < params.k_in;
    let at = select(0u, (k * params.x_stride + token - params.x_first) / 4u, exists);
    return select(vec4<f32>(0.0), load4_x(at), exists);
}
{%- elif vector_input -%}
// x[token, k .. k + 3]; k is a multiple of 4.
fn x4(token: u32, k: u32) -> vec4<f32> {
    let exists = token < params.token_end && k < params.k_in;
    let at = select(0u, (token * params.x_stride + k - params.x_first) / 4u, exists);
    return select(vec4<f32>(0.0), load4_x(at), exists);
}
{%- else -%}
fn x1(token: u32, k: u32) -> f32 {
    let exists = token < params.token_end && k < params.k_in;
    let at = select(0u, {{ "k * params.x_stride + token" if transposed else "token * params.x_stride + k" }} - params.x_first, exists);
    return select(0.0, load_x(at), exists);
}

{% if transposed -%}
// x[token .. token + 3, k].
fn x4(token: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(x1(token, k), x1(token + 1u, k), x1(token + 2u, k), x1(token + 3u, k));
}
{%- else -%}
// x[token, k .. k + 3].
fn x4(token: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(x1(token, k), x1(token, k + 1u), x1(token, k + 2u), x1(token, k + 3u));
}
{%- endif %}
{%- endif %}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if panel % 4 == 0 %}
    {{ packing.square(tile_tokens, tile_k, squares_t) }}
{%- if transposed %}
    let turned = mat4x4<f32>(x4(token, k), x4(token, k + 1u), x4(token, k + 2u), x4(token, k + 3u));
{%- else %}
    let turned = transpose(mat4x4<f32>(x4(token, k), x4(token + 1u, k), x4(token + 2u, k), x4(token + 3u, k)));
{%- endif %}
    let at = {{ packing.line() }};
{%- for i in range(4) %}
    if (k + {{ i }}u < params.packed_rows) { store4_packed(at + {{ i }}u * (PANEL / 4u), turned[{{ i }}]); }
{%- endfor %}
{%- else %}
    let k = params.k_begin + group % params.k_tiles * {{ tile_k }}u + lane * 4u;
    let slot = group / params.k_tiles;
    let row = x4(params.token_begin + slot, k);
    let at = ((slot / PANEL) * params.packed_rows + k) * PANEL + slot % PANEL;
{%- for i in range(4) %}
    if (k + {{ i }}u < params.packed_rows) { store_packed(at + {{ i }}u * PANEL, row[{{ i }}]); }
{%- endfor %}
{%- endif %}
}
