{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/sampled_product.wgsl" as sampled -%}
// out[p][a][b] = alpha * sum_t dy[t, i * {{ br }} + a] * x[t, j * {{ bc }} + b] + beta * out[p][a][b], for the stored blocks p = (i, j) only.
//
// An invocation owns {{ rows }} rows by {{ 4 * quads }} columns of a block in registers; neighbours own neighbouring columns.

struct Params {
    first_group: u32,
    group_end: u32,
    first_block: u32,   // of this dispatch
    blocks_end: u32,    // one past its last
    y_stride: u32,      // elements from one row of a block to the next
    y_first: u32,       // element that the bound window of the result starts with
{{ sampled.params() }}
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{ sampled.bindings(storage, dy, x) }}
{{ epilogue.bindings(storage, output) }}
// Block row and block column of each stored block.
@group(0) @binding(4) var<storage, read> places: array<vec2<u32>>;

const BR = {{ br }}u;
const BC = {{ bc }}u;
const LANES = {{ lanes }}u;
const ROW_TILES = {{ row_tiles }}u;
// Invocations side by side that a block has columns for.
const ACROSS = {{ across }}u;

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ sampled.functions(dy, x) }}

// What is stored of the sums of four columns: elements of an edge block outside of the matrix, and the padding of its rows, are zero.
fn put_quad(first: u32, row_exists: bool, block_column: u32, quad: u32, sums: vec4<f32>) {
    let columns = 4u * quad + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = (columns < vec4<u32>(BC)) & (columns + block_column * BC < vec4<u32>(params.k_in)) & vec4<bool>(row_exists);
    let stored = select(vec4<f32>(0.0), sums, inside);
    {{ sampled.put("first + 4u * quad", output) }}
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if one_block %}
    // A workgroup lies within one row tile of one block: its rows of dy are the same for all invocations.
    let quad = (group % (ACROSS / LANES) * LANES + lane) * {{ quads }}u;
    let tile = group / (ACROSS / LANES);
{%- else %}
    let item = group * LANES + lane;
    let quad = item % ACROSS * {{ quads }}u;
    let tile = item / ACROSS;
{%- endif %}
    let block = params.first_block + tile / ROW_TILES;
    if (block >= params.blocks_end) { return; }
    let block_row = tile % ROW_TILES * {{ rows }}u;
    let place = places[block];
    let row = place.x * BR + block_row;
    let column = place.y * BC + 4u * quad;
{%- for v in range(quads) %}
    let read_{{ v }} = {{ sampled.neighbours("column + " ~ 4 * v ~ "u") }};
{%- endfor %}
{{ sampled.sums(rows, quads, lanes, x) }}
    let first = (block * BR + block_row) * params.y_stride;
{%- for r in range(rows) %}
    if (block_row + {{ r }}u < BR) {
{%- for q in range(quads) %}
        {% if not whole_quads %}if (quad + {{ q }}u < {{ bc4 }}u) {% endif %}{
            put_quad(first + {{ r }}u * params.y_stride, row + {{ r }}u < params.n_out, place.y, quad + {{ q }}u, acc_{{ r }}_{{ q }});
        }
{%- endfor %}
    }
{%- endfor %}
}
