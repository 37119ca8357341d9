{%- import "shared/grid.wgsl" as grid -%}
// The order in which an attention takes its rows of blocks: heaviest first, equals in their own order, so that no long row is left for the
// end. A workgroup sorts rows_together neighbouring rows by counting: how many rows have each weight, where the rows of a weight begin, and
// then {{ lanes }} rows at a time to their places.
//
// Where each thread of a driver takes its share of the workgroups beforehand, the sorted rows are dealt out to as many parts, back and
// forth, so that every part has as much work; a part then takes its rows by position, which keeps the keys of a head in the cache.

struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    rows: u32,
    rows_together: u32,
    shift: u32,            // weights are compared without their last bits
    parts: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> weights: array<u32>;      // later the parts of the rows
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

// The part to which the row of a rank is dealt.
fn part_of(rank: u32) -> u32 {
    let place = rank % params.parts;
    return select(place, params.parts - 1u - place, rank / params.parts % 2u == 1u);
}

// Where a part of `count` rows begins: parts have as many rows as there are whole turns, and those of the last turn one more.
fn part_begin(part: u32, count: u32) -> u32 {
    let turns = count / params.parts;
    let left = count % params.parts;
    let longer_before = select(min(part, left), max(part + left, params.parts) - params.parts, turns % 2u == 1u);
    return part * turns + longer_before;
}

// The place of the row of an invocation among those of its bin: behind all before it, of earlier rounds and of this one. Every invocation
// of the workgroup calls it; NONE has no place.
fn take_place(bin: u32, lane: u32) -> u32 {
    placed[lane] = bin;
    workgroupBarrier();
    var before = 0u;
    for (var i = 0u; i < LANES; i += 8u) {
{%- for j in range(8) %}
        before += select(0u, select(0u, 1u, i + {{ j }}u < lane), placed[i + {{ j }}u] == bin);
{%- endfor %}
    }
    var place = 0u;
    if (bin != NONE) { place = atomicLoad(&places[bin]) + before; }
    workgroupBarrier();
    if (bin != NONE) { atomicAdd(&places[bin], 1u); }
    workgroupBarrier();
    return place;
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
        let rank = take_place(bin, lane);
        if (row < count && params.parts == 1u) { work_list[first + rank] = first + row; }
        // This row's weight has been read, by this invocation only.
        if (row < count && params.parts > 1u) { weights[first + row] = part_of(rank); }
    }
    if (params.parts == 1u) { return; }

    for (var part = lane; part < min(params.parts, BINS); part += LANES) { atomicStore(&places[part], part_begin(part, count)); }
    workgroupBarrier();
    for (var begin = 0u; begin < count; begin += LANES) {
        let row = begin + lane;
        var part = NONE;
        if (row < count) { part = weights[first + row]; }
        let place = take_place(part, lane);
        if (row < count) { work_list[first + place] = first + row; }
    }
}
