{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/nm_expand.wgsl" as expand -%}
// dense[row - row_begin, column] = w[row, column], zero where no weight is stored: N:M weights put back in their places once, for a product with so many
// tokens that the dense kernel earns the way back. Rows of `dense` start at multiples of four; zeros lie behind their last column.

struct Params {
    first_group: u32,
    group_end: u32,
    groups_per_row: u32,  // of {{ plain_lanes }} times four columns
    fours: u32,           // of a row of dense
    row_begin: u32,       // of w: the first that is expanded
    columns: u32,         // of w
    weight_stride: u32,   // from one row of w to the next, in units of four elements
    words_per_strip: u32, // of packed indices
    w_first: u32,         // where the bound windows start, in units of their elements
    indices_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{% set bits = config.weight != "f32" -%}
{% if bits -%}
{{ storage.half_bits_writer(1, "dense") }}
{%- else -%}
{{ storage.f32x4_writer(1, "dense") }}
{%- endif %}
{{ expand.bindings(storage, config, bits) }}

{{ grid.index() }}

{{ expand.functions(config, "columns", bits) }}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let row = group / params.groups_per_row;
    let four = group % params.groups_per_row * {{ plain_lanes }}u + lane;
    if (four >= params.fours) { return; }
    store4_dense(row * params.fours + four, expand_four(params.row_begin + row, four));
}
