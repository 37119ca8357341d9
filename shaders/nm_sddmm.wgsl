{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/sampled_product.wgsl" as sampled -%}
// out[i][s] = alpha * sum_t dy[t, i] * x[t, column of slot s] + beta * out[i][s], for the slots of {{ v }}:{{ n }}:{{ m }} weights: {{ n }} of every
// {{ m }} columns of a row, the same for all rows of a strip.
//
// An invocation owns {{ rows }} rows by {{ 4 * quads }} slots in registers; neighbours own neighbouring slots, and a workgroup lies within one tile of rows,
{%- if selected %}
// whatever strips they are of. It sums over all {{ 4 * vectors }} columns that its slots choose from, and each row picks its own in the end.
{%- else %}
// which are of one strip: its slots are the same columns for all of them.
{%- endif %}

struct Params {
    first_group: u32,
    group_end: u32,
    first_tile: u32,      // of rows, of this dispatch
    tiles: u32,           // side by side
    words_per_strip: u32, // of packed indices
    indices_first: u32,   // where the bound window of them starts
    y_stride: u32,        // elements from one row of the result to the next
    y_first: u32,         // element that the bound window of the result starts with
    kept: u32,            // slots of a row
{{ sampled.params() }}
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{ sampled.bindings(storage, dy, x) }}
{{ epilogue.bindings(storage, output) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;

const V = {{ v }}u;
const N = {{ n }}u;
const M = {{ m }}u;
const INDEX_BITS = {{ index_bits }}u;
const LANES = {{ lanes }}u;
const ROWS = {{ rows }}u;
const QUADS = {{ quads }}u;
{%- if not selected %}
const ROW_TILES = {{ row_tiles }}u;
{%- endif %}

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ sampled.functions(dy, x) }}

// Where in their groups the four slots of a quad lie. Four positions never straddle two words.
fn positions(strip: u32, quad: u32) -> vec4<u32> {
    let bit = 4u * quad * INDEX_BITS;
    let word = indices[strip * params.words_per_strip + (bit >> 5u) - params.indices_first] >> (bit & 31u);
    return (vec4<u32>(word) >> vec4<u32>(0u, INDEX_BITS, 2u * INDEX_BITS, 3u * INDEX_BITS)) & vec4<u32>((1u << INDEX_BITS) - 1u);
}

fn slots(quad: u32) -> vec4<u32> { return 4u * quad + vec4<u32>(0u, 1u, 2u, 3u); }

fn columns(quad: u32, position: vec4<u32>) -> vec4<u32> { return slots(quad) / N * M + position; }

// What is stored of the sums of a quad: slots that stand for no column, and the padding of a row, are zero.
fn put_quad(row: u32, quad: u32, column: vec4<u32>, sums: vec4<f32>) {
    let inside = (slots(quad) < vec4<u32>(params.kept)) & (column < vec4<u32>(params.k_in));
    let stored = select(vec4<f32>(0.0), sums, inside);
    {{ sampled.put("row * params.y_stride + 4u * quad", output) }}
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    // Workgroups that follow each other share columns of x.
    let tile = params.first_tile + group % params.tiles;
    let quad = (group / params.tiles * LANES + lane) * QUADS;
    let quads = params.y_stride / 4u;
    if (quad >= quads) { return; }
{%- if selected %}
    let row = tile * ROWS;
    let row_end = params.n_out;
    let first_column = quad * {{ 4 * vectors // quads }}u;
{%- for v in range(vectors) %}
    let read_{{ v }} = {{ sampled.neighbours("first_column + " ~ 4 * v ~ "u") }};
{%- endfor %}
{%- else %}
    let strip = tile / ROW_TILES;
    let row = strip * V + tile % ROW_TILES * ROWS;
    let row_end = min(strip * V + V, params.n_out);
{%- for q in range(quads) %}
    // Of a quad behind the last, and of a column that does not exist, anything is read.
    let column_{{ q }} = columns(quad + {{ q }}u, positions(strip, min(quad + {{ q }}u, quads - 1u)));
    let read_{{ q }} = min(column_{{ q }}, vec4<u32>(params.k_in - 1u));
{%- endfor %}
{%- endif %}
{{ sampled.sums(rows, vectors, lanes, x) }}
{%- for r in range(rows) %}
    if (row + {{ r }}u < row_end) {
{%- for q in range(quads) %}
        {% if q > 0 %}if (quad + {{ q }}u < quads) {% endif %}{
{%- if selected %}
            let position = positions((row + {{ r }}u) / V, quad + {{ q }}u);
            var sums = vec4<f32>(0.0);
{%- for s in range(4) %}{% for c in range(m) %}
{%- set at = q * (4 * vectors // quads) + s // n * m + c %}
            sums[{{ s }}] = select(sums[{{ s }}], acc_{{ r }}_{{ at // 4 }}[{{ at % 4 }}], position[{{ s }}] == {{ c }}u);
{%- endfor %}{% endfor %}
            put_quad(row + {{ r }}u, quad + {{ q }}u, columns(quad + {{ q }}u, position), sums);
{%- else %}
            put_quad(row + {{ r }}u, quad + {{ q }}u, column_{{ q }}, acc_{{ r }}_{{ q }});
{%- endif %}
        }
{%- endfor %}
    }
{%- endfor %}
}
