{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/matmul_rows.wgsl" as shared -%}
{%- import "shared/register_tile.wgsl" as registers -%}
{%- import "shared/pattern_branch.wgsl" as pattern_branch -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o]), the sum over the k that the walk visits ({{ walk }}).
//
// x arrives packed ({{ "pack" if packed == "f32" else "pack_halves" }}.wgsl): panels of {{ panel }} tokens, in each panel k-major, so that x[.., k] of a panel is one contiguous row.
// A workgroup owns one tile: {{ rows }} rows of w (the same for all its invocations: scalar loads) times one panel of tokens.
// An invocation owns those {{ rows }} rows times {{ cols }} tokens in registers. One step = 4 stored weights per row:
// {{ 4 * rows * cols }} fused multiply-adds for {{ rows }} weight loads and {{ cols }} loads of x, all of them vec4.
{%- if branches %}
// Here each row branches on the patterns of its own weights: a step covers {{ 4 * config.quad.per_step }} columns and loads x for all of them.
{%- endif %}
// Rows are grouped in strips that share one list of k; a tile never crosses a strip, rows past its end are computed twice, not stored.

{{ shared.params() }}

@group(0) @binding(0) var<uniform> params: Params;
{{ storage.vec4_reader(1, "packed_x", packed) }}
{{ epilogue.bindings(storage, output) }}
{{ walker.bindings(storage, config) }}

const STRIP_ROWS = {{ strip_rows }}u;
const ROWS = {{ rows }}u;
const LANES = {{ lanes }}u;
{{ shared.x_stride(config) }}

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ walker.functions(config) }}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let tile = group % params.row_tiles;
    let panel = group / params.row_tiles % params.panels;
    {{ shared.rows(rows, quads) }}
{{ registers.accumulators(rows, vectors) }}

    let panel_base = panel * params.packed_rows * X_STRIDE + lane;
    {{ shared.steps(split, "group / params.row_tiles / params.panels") }}
{%- if not branches %}
    let list = walk_list(strip);
{%- if config.reads_ahead %}
    var word = walk_word(list, steps.x);
{%- endif %}{% endif %}
    for (var step = steps.x; step < steps.y; step++) {
{%- if branches %}
{{- pattern_branch.multiply_add(rows, vectors, config, "packed_x") }}
{%- else %}
{%- if not config.reads_ahead %}
        let word = walk_word(list, step);
{%- endif %}
{%- if config.weights_first %}
{{- shared.weights(rows, quads) }}
        let k = walk_x(panel_base, word, step);
{%- else %}
        let k = walk_x(panel_base, word, step);
{{- shared.weights(rows, quads) }}
{%- endif %}
{%- if config.reads_ahead %}
        // Behind the last step lies another strip's word, or none: it is not used.
        let next_word = walk_word(list, step + 1u);
{%- endif %}
{{ registers.multiply_add(rows, vectors, lanes, "packed_x") }}
{%- if config.reads_ahead %}
        word = next_word;
{%- endif %}
{%- endif %}
    }

    let first_token = params.token_begin + panel * {{ panel }}u + 4u * lane;
{%- if output.transposed %}
{%- for r in range(rows) %}
    if (row_begin + {{ r }}u < row_end) {
{%- for v in range(vectors) %}
{%- if output.vectors %}
        if (first_token + {{ v }}u * LANES * 4u < params.token_end) {
            put4({{ shared.y_index("first_token + " ~ v ~ "u * LANES * 4u", "row_begin + " ~ r ~ "u", split) }}, row_begin + {{ r }}u, acc_{{ r }}_{{ v }});
        }
{%- elif output.storage == "f32" %}
{%- for i in range(4) %}
        if (first_token + {{ v }}u * LANES * 4u + {{ i }}u < params.token_end) {
            put({{ shared.y_index("first_token + " ~ v ~ "u * LANES * 4u + " ~ i ~ "u", "row_begin + " ~ r ~ "u", split) }}, row_begin + {{ r }}u, acc_{{ r }}_{{ v }}[{{ i }}]);
        }
{%- endfor %}
{%- else %}
{%- for i in [0, 2] %}
        if (first_token + {{ v }}u * LANES * 4u + {{ i }}u < params.token_end) {
            put2({{ shared.y_index("first_token + " ~ v ~ "u * LANES * 4u + " ~ i ~ "u", "row_begin + " ~ r ~ "u", split) }}, row_begin + {{ r }}u,
                vec2<f32>(acc_{{ r }}_{{ v }}[{{ i }}], acc_{{ r }}_{{ v }}[{{ i + 1 }}]));
        }
{%- endfor %}
{%- endif %}
{%- endfor %}
    }
{%- endfor %}
{%- else %}
{%- for v in range(vectors) %}{% for i in range(4) %}
    {
        let token = first_token + {{ v }}u * LANES * 4u + {{ i }}u;
        if (token < params.token_end) {
            let first = {{ shared.y_index("token", "row_begin", split) }};
{%- if output.vectors %}
{%- for g in range(0, rows, 4) %}
            if (row_begin + {{ g }}u < row_end) {
                put4(first + {{ g }}u, row_begin + {{ g }}u, vec4<f32>(
                    {%- for r in range(g, g + 4) %}acc_{{ r }}_{{ v }}[{{ i }}]{% if not loop.last %}, {% endif %}{% endfor %}));
            }
{%- endfor %}
{%- elif output.storage == "f32" %}
{%- for r in range(rows) %}
            if (row_begin + {{ r }}u < row_end) {
                put(first + {{ r }}u, row_begin + {{ r }}u, acc_{{ r }}_{{ v }}[{{ i }}]);
            }
{%- endfor %}
{%- else %}
{%- for r in range(0, rows, 2) %}
            if (row_begin + {{ r }}u < row_end) {
                put2(first + {{ r }}u, row_begin + {{ r }}u, vec2<f32>(acc_{{ r }}_{{ v }}[{{ i }}], acc_{{ r + 1 }}_{{ v }}[{{ i }}]));
            }
{%- endfor %}
{%- endif %}
        }
    }
{%- endfor %}{% endfor %}
{%- endif %}
}
