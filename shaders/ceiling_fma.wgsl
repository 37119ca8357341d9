// How many multiply-adds a device does in a second: independent chains in registers, nothing else in the loop.
// Factor, addend and starts are known at run time only, float sums may not be reordered, and the chains of every lane end in `sums`,
// so that nothing can be left out. For a factor and an addend of 1 the sums are exact and tell that all of it was done.
// A yardstick for the bench, never chosen by a plan.

@group(0) @binding(0) var<storage, read> operands: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let factor = vec4<f32>(operands[0].x);
    let addend = vec4<f32>(operands[0].y);
    // Different in every lane: what is the same in all of them could be computed once for all.
    let lane = vec4<f32>(f32(id.x % {{ plain_lanes }}u));
    {%- for chain in range(chains) %}
    var chain_{{ chain }} = operands[{{ chain + 1 }}] + lane;
    {%- endfor %}
    for (var round = 0u; round < {{ rounds }}u; round++) {
        {%- for step in range(steps) %}
        {%- for chain in range(chains) %}
        {%- if fused %}
        chain_{{ chain }} = fma(chain_{{ chain }}, factor, addend);
        {%- else %}
        chain_{{ chain }} = chain_{{ chain }} * factor + addend;
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    }
    sums[id.x] = {% for chain in range(chains) %}{{ " + " if chain }}chain_{{ chain }}{% endfor %};
}
