{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/sampled_product.wgsl" as sampled -%}
// out[p][a][b] = alpha * sum_t dy[t, i * {{ br }} + a] * x[t, j * {{ bc }} + b] + beta * out[p][a][b], for the stored blocks p = (i, j) only.
//
// An invocation owns {{ rows }} rows by four columns of a block in registers; one token = {{ rows // 4 }} vec4 of dy and one of x. Neighbours own
// neighbouring columns. Both operands lie as they are: for one token, the elements of a block are neighbours in memory.

struct Params {
    first_group: u32,
    group_end: u32,
    first_block: u32,   // of this dispatch
    blocks_end: u32,    // one past its last
    tokens: u32,
    n_out: u32,         // columns of dy
    k_in: u32,          // columns of x
    y_stride: u32,      // elements from one row of a block to the next
    y_first: u32,       // element that the bound window of the result starts with
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{ sampled.reader(storage, 1, "dy", dy, vector_dy) }}
{{ epilogue.bindings(storage, output) }}
{{ sampled.reader(storage, 3, "x", x, vector_x) }}
// Block row and block column of each stored block.
@group(0) @binding(4) var<storage, read> places: array<vec2<u32>>;

const BR = {{ br }}u;
const BC = {{ bc }}u;
const BC4 = {{ bc4 }}u;
const LANES = {{ lanes }}u;
const ROW_TILES = {{ row_tiles }}u;

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ sampled.four("dy", "n_out", vector_dy) }}

{{ sampled.four("x", "k_in", vector_x) }}
{% macro multiply_add(token) %}
        let x_{{ token }} = x4(token + {{ token }}u, column);
{%- for g in range(rows // 4) %}
        let dy_{{ token }}_{{ g }} = dy4(token + {{ token }}u, row + {{ 4 * g }}u);
{%- for r in range(4) %}
        acc_{{ 4 * g + r }} = fma(vec4<f32>(dy_{{ token }}_{{ g }}[{{ r }}]), x_{{ token }}, acc_{{ 4 * g + r }});
{%- endfor %}{% endfor %}
{%- endmacro %}
@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if one_block %}
    // A workgroup lies within one row tile of one block: its rows of dy are the same for all invocations.
    let quad = group % (BC4 / LANES) * LANES + lane;
    let tile = group / (BC4 / LANES);
{%- else %}
    let item = group * LANES + lane;
    let quad = item % BC4;
    let tile = item / BC4;
{%- endif %}
    let block = params.first_block + tile / ROW_TILES;
    if (block >= params.blocks_end) { return; }
    let block_row = tile % ROW_TILES * {{ rows }}u;
    let place = places[block];
    let row = place.x * BR + block_row;
    let column = place.y * BC + 4u * quad;
{%- for r in range(rows) %}
    var acc_{{ r }} = vec4<f32>(0.0);
{%- endfor %}
    var token = 0u;
    for (; token + 4u <= params.tokens; token += 4u) {
{%- for t in range(4) %}{{ multiply_add(t) }}{% endfor %}
    }
    for (; token < params.tokens; token++) {
{{- multiply_add(0) }}
    }
    // Elements of an edge block outside of the matrix, and the padding of its rows, are zero.
    let columns = 4u * quad + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = (columns < vec4<u32>(BC)) & (columns + place.y * BC < vec4<u32>(params.k_in));
    let first = (block * BR + block_row) * params.y_stride + 4u * quad;
{%- for r in range(rows) %}
    if (block_row + {{ r }}u < BR) {
        let i = first + {{ r }}u * params.y_stride;
        let sums = select(vec4<f32>(0.0), acc_{{ r }}, inside & vec4<bool>(row + {{ r }}u < params.n_out));
{%- if output.storage == "f32" %}
        put4(i, 0u, sums);
{%- else %}
        put2(i, 0u, sums.xy);
        put2(i + 2u, 0u, sums.zw);
{%- endif %}
    }
{%- endfor %}
}
