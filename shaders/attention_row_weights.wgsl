{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// How much work the rows of blocks of an attention have: the key blocks that each visits (walk {{ walk }}). An invocation counts one row.

{{ attention.params() }}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weights: array<u32>;
{{ walker.bindings(6) }}

{{ grid.index() }}

{{ attention.work(config) }}

{{ walker.functions(config) }}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let number = group * {{ plain_lanes }}u + lane;
    if (number >= params.heads * params.query_blocks) { return; }
    let first_query = number % params.query_blocks * BLOCK;
    let work = Work(params.first_head + number / params.query_blocks, first_query, params.q_len, params.k_len, 0u, 0u, 0u, 0u, 0u);
    let keys_end = keys_seen(work, min(first_query + BLOCK, work.q_len) - 1u);
    let blocks_end = (keys_end + BLOCK - 1u) / BLOCK;
    let row = walk_row(work);
    var visited = 0u;
    for (var block = walk_next(row, 0u, blocks_end); block < blocks_end; block = walk_next(row, block + 1u, blocks_end)) {
        visited++;
    }
    weights[number] = visited;
}
