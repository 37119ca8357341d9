{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
// y = act(alpha * (the parts of each sum, added in their order) + beta * c + bias), stored as {{ output.storage }}: the second pass where k was
// split, and where rows of y do not start at whole words, so that two invocations of the first pass would share one.
//
// The range of y is runs of `line` elements, params.line_stride apart. One invocation writes two neighbours.

struct Params {
    first_group: u32,
    group_end: u32,
    line: u32,          // elements of a line
    line_pairs: u32,    // pairs of a line
    pairs: u32,         // of all lines
    line_stride: u32,   // from one line of y to the next
    sums_stride: u32,   // from one line of the sums to the next
    sums_begin: u32,    // where the first line starts
    y_begin: u32,       // number of the first element
    shift: u32,         // 1 where lines start in the middle of a word
    parts: u32,
    part_stride: u32,   // from a part of the sums to the next
    n_out: u32,
    y_stride: u32,
    y_first: u32,
    residual_first: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
{{ epilogue.bindings(storage, output) }}
{%- if output.storage != "f32" and output.addend != "previous" %}
{{ storage.previous("y", output.storage, false) }}
{%- endif %}

{{ grid.index() }}

{{ epilogue.functions(output) }}

fn total(at: u32) -> f32 {
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) { sum += sums[part * params.part_stride + at]; }
    return sum;
}

fn row_of(i: u32) -> u32 { return i {{ "/" if output.transposed else "%" }} params.y_stride; }

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pair = group_index(group_id) * {{ plain_lanes }}u + lane;
    if (pair >= params.pairs) { return; }
    let number = pair / params.line_pairs;
{%- if output.storage == "f32" %}
    let column = 2u * (pair % params.line_pairs);
    let i = params.y_begin + number * params.line_stride + column;
    let at = params.sums_begin + number * params.sums_stride + column;
    put(i, row_of(i), total(at));
    if (column + 1u < params.line) { put(i + 1u, row_of(i + 1u), total(at + 1u)); }
{%- else %}
    // Wraps around to -1 where the first word of a line begins with an element of the line before.
    let column = 2u * (pair % params.line_pairs) - params.shift;
    let i = params.y_begin + number * params.line_stride + column;
    let at = params.sums_begin + number * params.sums_stride + column;
    let word = (i - params.y_first) / 2u;
    let c = addend2(i);
    // An element of the word that is not ours stays as it is.
    var values = previous2_y(word);
    if (column < params.line) { values.x = finish(total(at), row_of(i), c.x); }
    if (column + 1u < params.line) { values.y = finish(total(at + 1u), row_of(i + 1u), c.y); }
    store2_y(word, values);
{%- endif %}
}
