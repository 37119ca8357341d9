{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/xattention_groups.wgsl" as groups -%}
// scores[I, J] = sum over the query groups i of block I of {% if softmax %}exp(m[i, J] - M_i) * l[i, J] / L_i, M_i = max_J m[i, J], L_i = sum_J exp(m[i, J] - M_i) * l[i, J]:
// the softmax mass of key block J, from the maximum m and the sum l of exp(A - m) that xattention_score.wgsl leaves per block.
{%- else %}exp(m[i, J]) * l[i, J]: the sum of exp(A), not normalised.{% endif %}
//
// A workgroup owns one block row, {{ width }} query groups at a time: first {{ parts }} invocations per query group share its key blocks, then each
// invocation adds up whole key blocks. Every sum has a fixed order.

struct Params {
    first_group: u32,
    group_end: u32,          // one past the last workgroup of this dispatch
    block_rows: u32,         // of one head in this strip
    first_block_row: u32,
    first_query_group: u32,  // of this strip
    query_groups: u32,       // of a head, those with a query
    score_rows: u32,         // block rows of a head
    first_head: u32,
    quads: u32,              // quads of query groups of a head in this strip
    blocks: u32,             // key blocks of a head
    scores_first: u32,       // where the bound window of scores starts, in elements
    q_len: u32,
    k_len: u32,
    stride: u32,
    k_groups: u32,
    group_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [head][key block][quad of query groups][m, l][4].
@group(0) @binding(1) var<storage, read> maxima_and_sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

const BLOCK_GROUPS = {{ groups_per_block }}u;
const WIDTH = {{ width }}u;
const PARTS = {{ parts }}u;

{{ grid.index() }}

{{ groups.constants() }}

{{ groups.allowed(exact, causal) }}

var<workgroup> part_max: array<f32, {{ plain_lanes }}>;
var<workgroup> part_sum: array<f32, {{ plain_lanes }}>;
// Per query group: M, 1 / L, and how many key blocks it may look at.
var<workgroup> row_max: array<f32, {{ width }}>;
var<workgroup> row_weight: array<f32, {{ width }}>;
var<workgroup> row_blocks: array<u32, {{ width }}>;

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let head = group / params.block_rows;
    let block_row = params.first_block_row + group % params.block_rows;
    let head_base = head * params.blocks * params.quads;
    let scores_base = ((params.first_head + head) * params.score_rows + block_row) * params.blocks - params.scores_first;

    for (var chunk = 0u; chunk < {{ chunks }}u; chunk++) {
        let offset = chunk * WIDTH + lane % WIDTH;
        let query_group = block_row * BLOCK_GROUPS + offset;
        let exists = offset < BLOCK_GROUPS && query_group < params.query_groups;
        let reachable = (allowed_key_groups(query_group) + BLOCK_GROUPS - 1u) / BLOCK_GROUPS;
        let blocks = select(0u, reachable, exists);
        let local = query_group - params.first_query_group;
        var top = LOWEST;
        var sum = 0.0;
        for (var block = lane / WIDTH; block < blocks; block += PARTS) {
            let at = 8u * (head_base + block * params.quads + local / 4u) + local % 4u;
            let m = maxima_and_sums[at];
            let higher = max(top, m);
            sum = sum * exp_below(top - higher) + maxima_and_sums[at + 4u] * exp_below(m - higher);
            top = higher;
        }
        part_max[lane] = top;
        part_sum[lane] = sum;
        workgroupBarrier();
        if (lane < WIDTH) {
            var all_top = LOWEST;
            for (var part = lane; part < {{ plain_lanes }}u; part += WIDTH) { all_top = max(all_top, part_max[part]); }
            var all_sum = 0.0;
            for (var part = lane; part < {{ plain_lanes }}u; part += WIDTH) { all_sum += part_sum[part] * exp_below(part_max[part] - all_top); }
{%- if softmax %}
            row_max[lane] = all_top;
            row_weight[lane] = select(0.0, 1.0 / all_sum, all_sum > 0.0);
{%- else %}
            row_max[lane] = 0.0;
            row_weight[lane] = 1.0;
{%- endif %}
            row_blocks[lane] = blocks;
        }
        workgroupBarrier();
        let first_local = block_row * BLOCK_GROUPS + chunk * WIDTH - params.first_query_group;
        for (var block = lane; block < params.blocks; block += {{ plain_lanes }}u) {
            var mass = 0.0;
            for (var i = 0u; i < WIDTH; i++) {
                if (block < row_blocks[i]) {
                    let other = first_local + i;
                    let at = 8u * (head_base + block * params.quads + other / 4u) + other % 4u;
                    mass += exp_below(maxima_and_sums[at] - row_max[i]) * maxima_and_sums[at + 4u] * row_weight[i];
                }
            }
{%- if chunks > 1 %}
            if (chunk > 0u) { mass += scores[scores_base + block]; }
{%- endif %}
            scores[scores_base + block] = mass;
        }
        workgroupBarrier();
    }
}
