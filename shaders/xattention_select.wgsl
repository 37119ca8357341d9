{%- import "shared/grid.wgsl" as grid -%}
{%- set unit = "top_exponent" if exact else "top_exponent, least" -%}
{%- if top_k %}
// Per block row, the key blocks to keep: those that are forced and, by score descending and index ascending, as many more as make a count.
{%- else %}
// Per block row, the key blocks to keep: those that are forced and, by score descending and index ascending, as few more as bring the
// kept mass to threshold * (mass of the row).{% if exact %} Exact mode.{% else %} Reference mode: the public code's rule, its extra block included.{% endif %}
{%- endif %} Rows of
// dense and of streaming heads get the blocks that their kind means; their scores are not read.
//
// Nothing is sorted. Non-negative floats order as their bits do: a bisection over the 31 bits finds the score of the last block taken, a
// second one over the bits of the index finds which of its equals is the last. {% if top_k %}Every block weighs 1.
// {% else %}Masses are added as integers, relative to the row's largest
// score and exact to 2^-31 of it: sums do not depend on their order, and no compiler can reassociate them. {% if not exact %}For a threshold of 1 no
// mass is too small to count. {% endif %}{% endif %}{% if row_lanes == 1 %}One invocation owns
// a row.{% else %}{{ row_lanes }} invocations own
// a row and add their parts through workgroup memory.{% endif %}

struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    first_row: u32,        // of this slice; rows are those of the mask, through batch and heads
    row_end: u32,          // one past its last
    heads: u32,
    q_blocks: u32,         // of a head that are selected from
    k_blocks: u32,
    mask_rows: u32,        // block rows of a head in the mask: more than q_blocks where it has room for longer sequences
    words_per_row: u32,
    score_rows: u32,       // block rows of a head in the scores, padding included
    score_blocks: u32,     // key blocks of a row of the scores, padding included
    index_bits: u32,       // score_blocks < 2^index_bits
    scores_first: u32,     // where the bound windows start, in elements
    mask_first: u32,
    block: u32,            // tokens
    q_len: u32,
    k_len: u32,
    sink_blocks: u32,
    recent_blocks: u32,
    block_offset: u32,     // Reference mode: key blocks before the one of query block 0
    blocks_per_chunk: u32,
    keep_sink: u32,
    keep_recent: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
// Per head: {% if top_k %}blocks of a row{% else %}floor(threshold * 2^32), at least 1 above 0, 0xffffffff for 1{% endif %}; its kind; blocks of sinks and recent blocks of a streaming one.
@group(0) @binding(2) var<storage, read> head_rules: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> mask_words: array<u32>;
{%- if forced_mask %}
// Blocks that are forced besides, laid out and bound as mask_words.
@group(0) @binding(4) var<storage, read> forced_words: array<u32>;
{%- endif %}

const NONE = 0xffffffffu;
// Kinds of heads.
const SPARSE = 0u;
const DENSE = 1u;
const ROW_LANES = {{ row_lanes }}u;

{{ grid.index() }}

// 64-bit integers: low word, high word.
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn less64(a: vec2<u32>, b: vec2<u32>) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
{%- if not top_k %}
fn product64(a: u32, b: u32) -> vec2<u32> {
    let middle = (a >> 16u) * (b & 0xffffu);
    let other = (a & 0xffffu) * (b >> 16u);
    let sum = add64(vec2<u32>((a & 0xffffu) * (b & 0xffffu), (a >> 16u) * (b >> 16u)), vec2<u32>(middle << 16u, middle >> 16u));
    return add64(sum, vec2<u32>(other << 16u, other >> 16u));
}
// mass * share / 2^32, rounded down.
fn share_of(mass: vec2<u32>, share: u32) -> vec2<u32> {
    return add64(product64(mass.y, share), vec2<u32>(product64(mass.x, share).y, 0u));
}
{%- endif %}

{% if row_lanes == 1 -%}
fn row_sum(value: vec2<u32>, lane: u32) -> vec2<u32> { return value; }
fn row_max(value: u32, lane: u32) -> u32 { return value; }
fn row_min(value: u32, lane: u32) -> u32 { return value; }
{%- else -%}
var<workgroup> parts: array<vec2<u32>, {{ row_lanes }}>;

fn exchange(value: vec2<u32>, lane: u32) {
    workgroupBarrier();
    parts[lane] = value;
    workgroupBarrier();
}
fn row_sum(value: vec2<u32>, lane: u32) -> vec2<u32> {
    exchange(value, lane);
    var sum = vec2<u32>(0u);
    for (var i = 0u; i < ROW_LANES; i++) { sum = add64(sum, parts[i]); }
    return sum;
}
fn row_max(value: u32, lane: u32) -> u32 {
    exchange(vec2<u32>(value, 0u), lane);
    var largest = 0u;
    for (var i = 0u; i < ROW_LANES; i++) { largest = max(largest, parts[i].x); }
    return largest;
}
fn row_min(value: u32, lane: u32) -> u32 {
    exchange(vec2<u32>(value, 0u), lane);
    var least = NONE;
    for (var i = 0u; i < ROW_LANES; i++) { least = min(least, parts[i].x); }
    return least;
}
{%- endif %}

// Where a block row's queries stand among the key blocks.
struct Position {
    first: u32,         // the block of the first query; 0 where that stands before all keys
    end: u32,           // one past the block of the last query; 0 where that stands before all keys
    reachable: u32,     // blocks before this one have a key that a query may see
}

fn position_of(q_block: u32) -> Position {
    let before = i32(params.k_len) - i32(params.q_len);
    let first = i32(q_block * params.block) + before;
    let last = i32(min((q_block + 1u) * params.block, params.q_len)) - 1 + before;
    let end = select(u32(max(last, 0)) / params.block + 1u, 0u, last < 0);
    return Position(u32(max(first, 0)) / params.block, end, {% if causal %}end{% else %}params.k_blocks{% endif %});
}

// Whether block j is one of the first `sinks`, or of the `recent` ones that end where the row's last query stands.
fn is_sink_or_recent(position: Position, j: u32, sinks: u32, recent: u32) -> bool {
    return j < sinks || (j < position.end && position.end - j <= recent);
}

// What is fixed about a row before its scores are looked at.
struct Row {
    base: u32,          // of its scores
    words: u32,         // of its mask
    counted: u32,       // key blocks whose mass is the row's mass
    candidates: u32,    // key blocks that may be taken
{%- if exact %}
    position: Position,
{%- else %}
    diagonal: u32,
    in_first_chunk: bool,
{%- endif %}
}

fn row_of(number: u32) -> Row {
    let q_block = number % params.q_blocks;
    var row: Row;
    row.base = (number / params.q_blocks * params.score_rows + q_block) * params.score_blocks - params.scores_first;
    row.words = (number / params.q_blocks * params.mask_rows + q_block) * params.words_per_row - params.mask_first;
{%- if exact %}
    row.position = position_of(q_block);
    row.candidates = row.position.reachable;
    row.counted = row.candidates;
{%- else %}
    row.diagonal = params.block_offset + q_block;
    row.counted = params.score_blocks;
{%- if causal %}
    row.in_first_chunk = params.block_offset + q_block / params.blocks_per_chunk * params.blocks_per_chunk == 0u;
    row.candidates = row.diagonal + 1u;
{%- else %}
    row.in_first_chunk = false;
    row.candidates = params.score_blocks;
{%- endif %}
{%- endif %}
    return row;
}

fn is_forced(row: Row, j: u32) -> bool {
{%- if exact %}
{%- if forced_mask %}
    let given = ((forced_words[row.words + j / 32u] >> (j & 31u)) & 1u) == 1u;
{%- endif %}
    let forced = is_sink_or_recent(row.position, j, params.sink_blocks, params.recent_blocks){% if forced_mask %} || given{% endif %};
    return j < row.candidates && (forced{% if causal %} || j == 0u || j >= row.position.first{% endif %});
{%- elif causal %}
    return j == row.diagonal || (j == 0u && !row.in_first_chunk);
{%- else %}
    return false;
{%- endif %}
}

// The row of a head that is not sparse.
fn write_kind(row: Row, rule: vec4<u32>, q_block: u32, lane: u32) {
    let position = position_of(q_block);
    for (var word = lane; word < params.words_per_row; word += ROW_LANES) {
        var selected = 0u;
        let end = min(32u * (word + 1u), position.reachable);
        for (var j = 32u * word; j < end; j++) {
            if (rule.y == DENSE || is_sink_or_recent(position, j, rule.z, rule.w)) { selected |= 1u << (j & 31u); }
        }
        mask_words[row.words + word] = selected;
    }
}

// The score's bits, which order as the score does. A sum is never negative; -0 is made 0.
fn bits_of(row: Row, j: u32) -> u32 { return bitcast<u32>(max(scores[row.base + j], 0.0)) & 0x7fffffffu; }

{% if top_k -%}
// Every block counts the same.
fn mass_of(bits: u32, top_exponent: u32) -> vec2<u32> { return vec2<u32>(1u, 0u); }
{%- else -%}
// A score as a multiple of 2^-31 of the power of two at or below the row's largest, given by its exponent{% if not exact %}; at least `least` where
// there is any{% endif %}.
fn mass_of(bits: u32, top_exponent: u32{% if not exact %}, least: u32{% endif %}) -> vec2<u32> {
    let exponent = max(bits >> 23u, 1u);
    let digits = ((bits & 0x7fffffu) | select(0u, 0x800000u, bits >> 23u > 0u)) << 8u;
    let shift = top_exponent - exponent;
    let units = select(0u, digits >> min(shift, 31u), shift < 32u);
    return vec2<u32>({% if exact %}units{% else %}max(units, min(bits, least)){% endif %}, 0u);
}
{%- endif %}

@compute @workgroup_size({{ row_lanes * rows }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if row_lanes == 1 %}
    let lane = 0u;
    let number = params.first_row + group * {{ rows }}u + invocation;
    if (number >= params.row_end) { return; }
{%- else %}
    let lane = invocation;
    let number = params.first_row + group;
{%- endif %}
    let row = row_of(number);
    let q_block = number % params.q_blocks;
    let rule = head_rules[number / params.q_blocks % params.heads];
    if (rule.y != SPARSE) {
        write_kind(row, rule, q_block, lane);
        return;
    }

    var top = 0u;
    for (var j = lane; j < row.counted; j += ROW_LANES) { top = max(top, bits_of(row, j)); }
    top = row_max(top, lane);
    let top_exponent = max(top >> 23u, 1u);
{%- if not exact %}
    // All blocks that have mass, however little, make the whole of it.
    let least = select(0u, 1u, rule.x == NONE);
{%- endif %}

    var total = vec2<u32>(0u);
    var forced_part = vec2<u32>(0u);
    var any_forced = 0u;
    for (var j = lane; j < row.counted; j += ROW_LANES) {
        let mass = mass_of(bits_of(row, j), {{ unit }});
        total = add64(total, mass);
        if (is_forced(row, j)) {
            forced_part = add64(forced_part, mass);
            any_forced = 1u;
        }
    }
    total = row_sum(total, lane);
    let forced = row_sum(forced_part, lane);
    any_forced = row_max(any_forced, lane);

{% if top_k %}
    let wanted = vec2<u32>(rule.x, 0u);
{%- else %}
    let threshold = rule.x;
    var wanted = share_of(total, threshold);
    if (threshold == NONE) { wanted = total; }
{%- if not exact %}
    // A share above 0 of any mass is more than nothing, which is what the next block hangs on.
    if (threshold > 0u && top > 0u && wanted.x == 0u && wanted.y == 0u) { wanted.x = 1u; }
{%- endif %}
{%- endif %}

    // The largest score such that the blocks of at least this score, with the forced ones, hold enough. Above all scores where nothing is
    // needed, 0 where all blocks together are not enough.
    var cut = 0u;
    for (var bit = 0x40000000u; bit > 0u; bit >>= 1u) {
        let candidate = cut | bit;
        var part = vec2<u32>(0u);
        for (var j = lane; j < row.candidates; j += ROW_LANES) {
            let bits = bits_of(row, j);
            if (bits >= candidate && !is_forced(row, j)) { part = add64(part, mass_of(bits, {{ unit }})); }
        }
        let mass = add64(forced, row_sum(part, lane));
        if (!less64(mass, wanted)) { cut = candidate; }
    }
    var above = vec2<u32>(0u);
    for (var j = lane; j < row.candidates; j += ROW_LANES) {
        let bits = bits_of(row, j);
        if (bits > cut && !is_forced(row, j)) { above = add64(above, mass_of(bits, {{ unit }})); }
    }
    above = add64(forced, row_sum(above, lane));

    // Of the blocks of exactly that score, the index of the last that is needed.
    var last_equal = 0u;
    for (var bit = params.index_bits; bit > 0u; bit--) {
        let candidate = last_equal | (1u << (bit - 1u));
        var part = vec2<u32>(0u);
        for (var j = lane; j < min(candidate, row.candidates); j += ROW_LANES) {
            let bits = bits_of(row, j);
            if (bits == cut && !is_forced(row, j)) { part = add64(part, mass_of(bits, {{ unit }})); }
        }
        if (less64(add64(above, row_sum(part, lane)), wanted)) { last_equal = candidate; }
    }

{%- if not top_k %}
    // The next block in order after those: {% if exact %}for a row that would have none.{% else %}the rows of the first chunk take it too.{% endif %}
    var next_equal = NONE;
    var below = 0u;
    for (var j = lane; j < row.candidates; j += ROW_LANES) {
        let bits = bits_of(row, j);
        if (!is_forced(row, j)) {
            if (bits == cut && j > last_equal) { next_equal = min(next_equal, j); }
            if (bits < cut) { below = max(below, bits + 1u); }
        }
    }
    next_equal = row_min(next_equal, lane);
    below = row_max(below, lane);
    var next_below = NONE;
    for (var j = lane; j < row.candidates; j += ROW_LANES) {
        if (!is_forced(row, j) && bits_of(row, j) + 1u == below) { next_below = min(next_below, j); }
    }
    next_below = row_min(next_below, lane);
    let next = select(next_equal, next_below, next_equal == NONE);
{%- if exact %}
    let takes_next = any_forced == 0u && wanted.x == 0u && wanted.y == 0u;
    let takes_all = threshold == NONE || top == 0u;
{%- else %}
    let takes_next = row.in_first_chunk && (wanted.x > 0u || wanted.y > 0u);
    let takes_all = params.keep_sink != 0u && q_block == 0u;
    let kept = select(NONE, params.score_blocks - params.score_rows + q_block, params.keep_recent != 0u);
{%- endif %}
{%- endif %}

    for (var word = lane; word < params.words_per_row; word += ROW_LANES) {
        var selected = 0u;
        let end = min(32u * (word + 1u), params.k_blocks);
        for (var j = 32u * word; j < end; j++) {
            let bits = bits_of(row, j);
            let free = j < row.candidates && !is_forced(row, j);
            let taken = free && (bits > cut || (bits == cut && j <= last_equal){% if not top_k %} || (takes_next && j == next){% endif %});
{%- if top_k %}
            if (taken || is_forced(row, j)) {
{%- elif exact %}
            let all = takes_all && j < row.candidates;
            if (taken || all || is_forced(row, j)) {
{%- else %}
            // Block 0: the public code writes rejected ranks to index 0.
            if (taken || takes_all || is_forced(row, j) || j == 0u || j == kept) {
{%- endif %}
                selected |= 1u << (j & 31u);
            }
        }
{%- if forced_mask and not exact %}
        selected |= forced_words[row.words + word];
{%- endif %}
        mask_words[row.words + word] = selected;
    }
}
