{%- import "shared/grid.wgsl" as grid -%}
// sums[g, i] = sum over the sparse query heads h of group g of scores[h, i], in head order: what a mask that the heads of a group share is selected from.
//
// An invocation owns one sum. Groups whose scores cannot be bound at once take several dispatches, each of which adds some heads to what is there.

struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    first_mask_head: u32,  // of this slice, numbered through the batch
    mask_heads: u32,       // of this slice
    first_element: u32,    // of each head in this slice
    elements: u32,         // of each head in this slice
    head_elements: u32,    // of a whole head
    group_size: u32,       // query heads of a group
    first_member: u32,     // query heads of each group in this slice
    member_end: u32,
    q_heads: u32,
    scores_first: u32,     // where the bound windows start, in elements
    sums_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
// Per query head of an item, 1 where it is sparse.
@group(0) @binding(2) var<storage, read> is_sparse: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

{{ grid.index() }}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let index = group * {{ lanes }}u + lane;
    if (index >= params.mask_heads * params.elements) { return; }
    let mask_head = params.first_mask_head + index / params.elements;
    let element = params.first_element + index % params.elements;
    let at = mask_head * params.head_elements + element - params.sums_first;
    var sum = 0.0;
    if (params.first_member > 0u) { sum = sums[at]; }
    for (var member = params.first_member; member < params.member_end; member++) {
        let head = mask_head * params.group_size + member;
        // The scores of other heads are never written.
        if (is_sparse[head % params.q_heads] == 1u) { sum += scores[head * params.head_elements + element - params.scores_first]; }
    }
    sums[at] = sum;
}
