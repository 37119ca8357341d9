{%- import "shared/grid.wgsl" as grid -%}
// The order in which an attention takes its rows of blocks: heaviest first, equals in their own order, so that no long row is left for the
// end. A workgroup sorts rows_together neighbouring rows by counting: how many rows have each weight, where the rows of a weight begin, and
// then {{ lanes }} rows at a time to their places.
//
// Where each thread of a driver takes its share of the workgroups beforehand, the sorted rows are dealt out to as many parts, back and
// forth, so that every part has as much work.

struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    rows: u32,
    rows_together: u32,
    shift: u32,            // weights are compared without their last bits
    parts: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read_write> work_list: array<u32>;

const LANES = {{ lanes }}u;
const BINS = {{ bins }}u;            // of weight, heaviest first
const NONE = 0xffffffffu;

{{ grid.index() }}

// Rows of a bin of weights, then the place of its next row.
var<workgroup> places: array<atomic<u32>, {{ bins }}>;
var<workgroup> totals: array<u32, {{ lanes }}>;
// Bins of the rows that are placed together.
var<workgroup> placed: array<u32, {{ lanes }}>;

fn bin_of(row: u32) -> u32 { return BINS - 1u - min(weights[row] >> params.shift, BINS - 1u); }

// Where the row of a rank goes: itself with one part.
fn dealt(rank: u32, count: u32) -> u32 {
    let turn = rank / params.parts;
    let left = count % params.parts;
    let backwards = turn % 2u == 1u;
    let part = select(rank % params.parts, params.parts - 1u - rank % params.parts, backwards);
    // Parts have as many rows as there are whole turns, and the last turn's parts one more.
    let turns = count / params.parts;
    let longer_before = select(min(part, left), max(part + left, params.parts) - params.parts, turns % 2u == 1u);
    return part * turns + longer_before + turn;
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let first = group * params.rows_together;
    let count = min(params.rows_together, params.rows - first);

    for (var bin = lane; bin < BINS; bin += LANES) { atomicStore(&places[bin], 0u); }
    workgroupBarrier();
    for (var row = lane; row < count; row += LANES) { atomicAdd(&places[bin_of(first + row)], 1u); }
    workgroupBarrier();
    var total = 0u;
    for (var i = 0u; i < {{ bins // lanes }}u; i++) { total += atomicLoad(&places[lane * {{ bins // lanes }}u + i]); }
    totals[lane] = total;
    workgroupBarrier();
    var place = 0u;
    for (var i = 0u; i < lane; i++) { place += totals[i]; }
    for (var i = 0u; i < {{ bins // lanes }}u; i++) {
        let bin = lane * {{ bins // lanes }}u + i;
        let members = atomicLoad(&places[bin]);
        atomicStore(&places[bin], place);
        place += members;
    }
    workgroupBarrier();

    for (var begin = 0u; begin < count; begin += LANES) {
        let row = begin + lane;
        var bin = NONE;
        if (row < count) { bin = bin_of(first + row); }
        placed[lane] = bin;
        workgroupBarrier();
        // Rows of the same bin that come before mine, of those placed now.
        var before = 0u;
{%- for i in range(lanes) %}
        before += select(0u, 1u, placed[{{ i }}] == bin && {{ i }}u < lane);
{%- endfor %}
        if (row < count) {
            work_list[first + dealt(atomicLoad(&places[bin]) + before, count)] = first + row;
        }
        workgroupBarrier();
        if (row < count) { atomicAdd(&places[bin], 1u); }
        workgroupBarrier();
    }
}
