{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
// y[i] = x[i], f32 to {{ output }}. One invocation writes one word, two elements: the step after a kernel whose rows of y do not start
// at whole words (an odd number of columns), where two invocations would otherwise share a word.

struct Params {
    first_group: u32,
    group_end: u32,
    len: u32,           // elements
    y_first: u32,       // elements before the first in the bound window of y, even
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
{{ storage.writer(2, "y", output, false) }}

{{ grid.index() }}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = 2u * (group_index(group_id) * {{ plain_lanes }}u + lane);
    if (i < params.len) {
        let second = select(0.0, x[min(i + 1u, params.len - 1u)], i + 1u < params.len);
        store2_y((params.y_first + i) / 2u, vec2<f32>(x[i], second));
    }
}
