{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- if panel %}
// packed[head][panel][k][i] = x[head, token, d] of query group panel * {{ panel }} + i, k = s * head_dim + d: the groups as columns of panels,
// {% if reversed %}token = group * stride + stride - 1 - s (the antidiagonal's order){% else %}token = group * stride + s{% endif %}. Zero where the token or the k does not exist.
//
// An invocation moves 4 groups by 4 k: four loads along k, a transposition in registers, four stores along groups.
{%- else %}
// packed[head][group][k] = x[head, token, d], k = s * head_dim + d, token = group * stride + s: the groups as rows that start at multiples
// of four floats, whatever the storage and the head dimension. Zero where the token or the k does not exist. An invocation moves 4 k.
{%- endif %}

struct Params {
    first_group: u32,
    group_end: u32,     // one past the last workgroup of this dispatch
    heads: u32,
    first_head: u32,    // heads are counted through all items
    len: u32,           // tokens of a head
    capacity: u32,      // tokens that a head has room for
    stride: u32,        // tokens of a group
    first_row: u32,     // the first token group to pack
    rows: u32,          // {% if panel %}panels of a head{% else %}token groups of a head to pack{% endif %}
    steps: u32,         // k of a row, in fours
    x_first: u32,       // where the bound window starts, in units of the binding
}

@group(0) @binding(0) var<uniform> params: Params;
{% if vectors -%}
{{ storage.vec4_reader(1, "x", input) }}
{%- else -%}
{{ storage.scalar_reader(1, "x", input) }}
{%- endif %}
{{ storage.f32x4_writer(2, "packed") }}

// Divisions by a constant: a device divides u32 vectors slowly.
const HEAD_DIM = {{ head_dim }}u;
{%- if token_heads > 1 %}
const TOKEN_HEADS = {{ token_heads }}u;    // heads that lie side by side in a token
{%- endif %}

{{ grid.index() }}

fn token_of(group: u32, s: u32) -> u32 {
{%- if reversed %}
    return group * params.stride + params.stride - 1u - s;
{%- else %}
    return group * params.stride + s;
{%- endif %}
}

// The number of an element of x. Heads are counted from the first that is packed.
fn element_of(head: u32, token: u32, d: u32) -> u32 {
    let place = params.first_head + head;
{%- if token_heads > 1 %}
    return ((place / TOKEN_HEADS * params.capacity + token) * TOKEN_HEADS + place % TOKEN_HEADS) * HEAD_DIM + d;
{%- else %}
    return (place * params.capacity + token) * HEAD_DIM + d;
{%- endif %}
}

{% if vectors -%}
// Four k of a group. Heads have a multiple of four elements: they belong to one token.
fn load_k(head: u32, group: u32, step: u32) -> vec4<f32> {
    let k = 4u * step;
    let token = token_of(group, k / HEAD_DIM);
    let exists = token < params.len;
    let element = element_of(head, select(0u, token, exists), k % HEAD_DIM);
    // The first token of a split head may lie outside of the window; the device clamps the index, and the value is not used.
    return select(vec4<f32>(0.0), load4_x(element / 4u - params.x_first), exists);
}
{%- else -%}
fn load_one(head: u32, group: u32, k: u32) -> f32 {
    let s = k / HEAD_DIM;
    let token = token_of(group, s);
    let exists = s < params.stride && token < params.len;
    let element = element_of(head, select(0u, token, exists), k % HEAD_DIM);
    return select(0.0, load_x(element - params.x_first), exists);
}

fn load_k(head: u32, group: u32, step: u32) -> vec4<f32> {
    let k = 4u * step;
    return vec4<f32>(load_one(head, group, k), load_one(head, group, k + 1u), load_one(head, group, k + 2u), load_one(head, group, k + 3u));
}
{%- endif %}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if panel %}
    // Which panel is the same for the workgroup; in it, quads of groups first.
    let groups_per_panel = (params.steps * {{ panel // 4 }}u + {{ plain_lanes - 1 }}u) / {{ plain_lanes }}u;
    let panel = group / groups_per_panel;
    let i = group % groups_per_panel * {{ plain_lanes }}u + lane;
    let quad = i % {{ panel // 4 }}u;
    let step = i / {{ panel // 4 }}u;
    if (step >= params.steps) { return; }
    let head = panel / params.rows;
    let first = params.first_row + panel % params.rows * {{ panel }}u + 4u * quad;
    let columns = transpose(mat4x4<f32>(
        load_k(head, first, step), load_k(head, first + 1u, step), load_k(head, first + 2u, step), load_k(head, first + 3u, step)));
    let at = (panel * params.steps + step) * {{ panel }}u + quad;
    store4_packed(at, columns[0]);
    store4_packed(at + {{ panel // 4 }}u, columns[1]);
    store4_packed(at + {{ 2 * panel // 4 }}u, columns[2]);
    store4_packed(at + {{ 3 * panel // 4 }}u, columns[3]);
{%- else %}
    let i = group * {{ plain_lanes }}u + lane;
    let step = i % params.steps;
    let row = i / params.steps % params.rows;
    let head = i / params.steps / params.rows;
    if (head >= params.heads) { return; }
    store4_packed((head * params.rows + row) * params.steps + step, load_k(head, params.first_row + row, step));
{%- endif %}
}
