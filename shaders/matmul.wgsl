{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/matmul_rows.wgsl" as shared -%}
{%- import "shared/register_tile.wgsl" as registers -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// y[t, o] = act(sum_k x[t, k] * w[o, k] + bias[o]), the sum over the k that the walk visits ({{ walk }}).
//
// x arrives packed (pack.wgsl): panels of {{ panel }} tokens, in each panel k-major, so that x[.., k] of a panel is one contiguous row.
// A workgroup owns one tile: {{ rows }} rows of w (the same for all its invocations: scalar loads) times one panel of tokens.
// An invocation owns those {{ rows }} rows times {{ cols }} tokens in registers. One step = 4 stored weights per row:
// {{ 4 * rows * cols }} fused multiply-adds for {{ rows }} weight loads and {{ cols }} loads of x, all of them vec4.
// Rows are grouped in strips that share one list of k; a tile never crosses a strip, rows past its end are computed twice, not stored.

{{ shared.params() }}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed_x: array<vec4<f32>>;
{{ storage.writer(2, "y", output, vector_output) }}
{{ walker.bindings(storage, config) }}
{%- if bias %}
{{ storage.scalar_reader(6, "bias", bias) }}
{%- endif %}

const STRIP_ROWS = {{ strip_rows }}u;
const TILES_PER_STRIP = {{ tiles_per_strip }}u;
const ROWS = {{ rows }}u;
const LANES = {{ lanes }}u;
const PANEL4 = {{ panel // 4 }}u;

{{ grid.index() }}

{{ epilogue.functions(activation) }}

{{ walker.functions(config) }}

fn finish(value: f32, row: u32) -> f32 {
{%- if bias %}
    return activate(value + load_bias(min(row, params.n_out - 1u)));
{%- else %}
    return activate(value);
{%- endif %}
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let tile = group % params.row_tiles;
    let panel = group / params.row_tiles;
    {{ shared.rows("tile", rows) }}
{{ registers.accumulators(rows, vectors) }}

    let panel_base = panel * params.packed_rows * PANEL4 + lane;
    let steps = walk_steps(strip);
    for (var step = steps.x; step < steps.y; step++) {
        let k = panel_base + walk_k(strip, step) * PANEL4;
{%- for r in range(rows) %}
        let w_{{ r }} = walk_weights(row_{{ r }}, step);
{%- endfor %}
{{ registers.multiply_add(rows, vectors, "packed_x") }}
    }

    let first_token = params.token_begin + panel * {{ panel }}u + 4u * lane;
{%- for v in range(vectors) %}{% for i in range(4) %}
    {
        let token = first_token + {{ v }}u * LANES * 4u + {{ i }}u;
        if (token < params.token_end) {
            let y_row = token * params.n_out + row_begin;
{%- if vector_output %}
{%- for g in range(rows // 4) %}
            if (row_begin + {{ 4 * g }}u < row_end) {
                store4_y((y_row + {{ 4 * g }}u - params.y_first) / 4u, vec4<f32>(
{%- for r in range(4 * g, 4 * g + 4) %}
                    finish(acc_{{ r }}_{{ v }}[{{ i }}], row_begin + {{ r }}u){% if not loop.last %},{% endif %}
{%- endfor %}));
            }
{%- endfor %}
{%- elif output == "f32" %}
{%- for r in range(rows) %}
            if (row_begin + {{ r }}u < row_end) {
                store_y(y_row + {{ r }}u - params.y_first, finish(acc_{{ r }}_{{ v }}[{{ i }}], row_begin + {{ r }}u));
            }
{%- endfor %}
{%- else %}
{%- for r in range(0, rows, 2) %}
            if (row_begin + {{ r }}u < row_end) {
                store2_y((y_row + {{ r }}u - params.y_first) / 2u, vec2<f32>(
                    finish(acc_{{ r }}_{{ v }}[{{ i }}], row_begin + {{ r }}u),
                    finish(acc_{{ r + 1 }}_{{ v }}[{{ i }}], row_begin + {{ r + 1 }}u)));
            }
{%- endfor %}
{%- endif %}
        }
    }
{%- endfor %}{% endfor %}
}
