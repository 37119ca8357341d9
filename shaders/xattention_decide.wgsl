// Which of two attention kernels runs: the grids of the dispatches of the one that does, and of no workgroup for the other.
//
// Sparse attention pays where fewer than `limit` blocks are selected. One workgroup.

struct Params {
    first_group: u32,
    group_end: u32,
    heads: u32,            // entries of counted_heads
    limit: u32,            // selected blocks from which on dense attention is as fast
    dispatches: u32,       // of both kernels
}

@group(0) @binding(0) var<uniform> params: Params;
// Selected blocks per head.
@group(0) @binding(1) var<storage, read> counts: array<u32>;
// The heads whose selection decides.
@group(0) @binding(2) var<storage, read> counted_heads: array<u32>;
// Per dispatch, its grid, and 1 where it belongs to the dense kernel, 0 for the sparse one.
@group(0) @binding(3) var<storage, read> planned: array<vec4<u32>>;
// Per dispatch, the grid to run.
@group(0) @binding(4) var<storage, read_write> grids: array<u32>;
// Selected blocks of the counted heads, and 1 where the dense kernel runs.
@group(0) @binding(5) var<storage, read_write> decision: array<u32>;

const LANES = {{ lanes }}u;

var<workgroup> parts: array<u32, {{ lanes }}>;

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(local_invocation_index) lane: u32) {
    var part = 0u;
    for (var i = lane; i < params.heads; i += LANES) { part += counts[counted_heads[i]]; }
    parts[lane] = part;
    workgroupBarrier();
    var selected = 0u;
    for (var i = 0u; i < LANES; i++) { selected += parts[i]; }
    let dense = select(0u, 1u, selected >= params.limit);
    for (var i = lane; i < params.dispatches; i += LANES) {
        let runs = planned[i].w == dense;
        grids[3u * i] = select(0u, planned[i].x, runs);
        grids[3u * i + 1u] = select(0u, planned[i].y, runs);
        grids[3u * i + 2u] = select(0u, planned[i].z, runs);
    }
    if (lane == 0u) {
        decision[0] = selected;
        decision[1] = dense;
    }
}
