{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
// y[t, o] = sum_k x[t, k] * w[o, k], one invocation per output and nothing reused: what a first shader looks like.
// A yardstick for the bench, never chosen by a plan.

struct Params {
    first_group: u32,
    group_end: u32,
    tokens: u32,
    n_out: u32,
    k_in: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{ storage.scalar_reader(1, "x", input) }}
{{ storage.scalar_reader(2, "w", weight) }}
{{ storage.writer(3, "y", "f32", false) }}

{{ grid.index() }}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group_index(group_id) * {{ plain_lanes }}u + lane;
    if (i >= params.tokens * params.n_out) { return; }
    let token = i / params.n_out;
    let row = i % params.n_out;
    var sum = 0.0;
    for (var k = 0u; k < params.k_in; k++) {
        sum += load_x(token * params.k_in + k) * load_w(row * params.k_in + k);
    }
    store_y(i, sum);
}
