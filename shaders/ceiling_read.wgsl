{%- import "shared/storage.wgsl" as storage -%}
// How many bytes a device reads in a second, of a storage buffer or of workgroup memory: sums of words, each read equally often,
// so that the sum of all sums is known and tells that all of them were read.
// A yardstick for the bench, never chosen by a plan.

// A power of two of vec4.
{{ storage.f32x4_reader(0, "words") }}
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
{%- if workgroup %}

const TILE: u32 = {{ tile }}u;
{{ storage.f32x4_workgroup("tile", tile) }}
{%- endif %}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    {%- if workgroup %}
    for (var i = lane; i < TILE; i += {{ plain_lanes }}u) { store4_tile(i, load4_words(i)); }
    workgroupBarrier();
    {%- else %}
    let mask = arrayLength(&words) - 1u;
    {%- endif %}
    var sum = vec4<u32>();
    for (var round = 0u; round < {{ rounds }}u; round++) {
        {%- for step in range(steps) %}
        {%- set at = "round * " ~ steps ~ "u + " ~ step ~ "u" %}
        {%- if workgroup and order == "uniform" %}
        sum += bitcast<vec4<u32>>(load4_tile(({{ at }} + group.x) & (TILE - 1u)));
        {%- elif workgroup %}
        sum += bitcast<vec4<u32>>(load4_tile((({{ at }}) * {{ plain_lanes }}u + round + lane) & (TILE - 1u)));
        {%- elif order == "uniform" %}
        sum += bitcast<vec4<u32>>(load4_words((group.x * {{ rounds * steps }}u + {{ at }}) & mask));
        {%- elif order == "rows" %}
        sum += bitcast<vec4<u32>>(load4_words(((((id.x / 8u) * {{ steps }}u + {{ step }}u) * {{ rounds }}u + round) * 8u + lane % 8u) & mask));
        {%- elif order == "pieces" %}
        sum += bitcast<vec4<u32>>(load4_words((((id.x / 8u) * {{ rounds * steps }}u + {{ at }}) * 8u + lane % 8u) & mask));
        {%- else %}
        sum += bitcast<vec4<u32>>(load4_words((({{ at }}) * groups.x * {{ plain_lanes }}u + id.x) & mask));
        {%- endif %}
        {%- endfor %}
    }
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}
