{%- import "shared/grid.wgsl" as grid -%}
// counts[head] = key blocks that the block mask selects for the queries of a head and that {% if causal %}a query of their row may see{% else %}exist{% endif %}.
//
// A workgroup owns a head: its {{ lanes }} invocations share the words of the mask.

struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    first_head: u32,       // of this slice, numbered through the batch
    q_blocks: u32,
    k_blocks: u32,
    words_per_row: u32,
    mask_first: u32,       // where the bound window of the mask starts, in words
    block: u32,            // tokens
    q_len: u32,
    k_len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

const LANES = {{ lanes }}u;

var<workgroup> parts: array<u32, {{ lanes }}>;

{{ grid.index() }}

// Key blocks before this one hold a key that a query of the row may see.
fn reachable(q_block: u32) -> u32 {
{%- if causal %}
    let last = min((q_block + 1u) * params.block, params.q_len) - 1u;
    let keys = clamp(i32(last) + 1 + i32(params.k_len) - i32(params.q_len), 0, i32(params.k_len));
    return (u32(keys) + params.block - 1u) / params.block;
{%- else %}
    return params.k_blocks;
{%- endif %}
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let head = params.first_head + group;
    let words = params.q_blocks * params.words_per_row;
    let first = head * words - params.mask_first;
    var count = 0u;
    for (var i = lane; i < words; i += LANES) {
        let before = 32u * (i % params.words_per_row);
        let end = max(reachable(i / params.words_per_row), before) - before;
        let seen = select((1u << (end & 31u)) - 1u, 0xffffffffu, end >= 32u);
        count += countOneBits(mask_words[first + i] & seen);
    }
    parts[lane] = count;
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0u;
        for (var i = 0u; i < LANES; i++) { total += parts[i]; }
        counts[head] = total;
    }
}
