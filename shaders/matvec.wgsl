{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/matmul_rows.wgsl" as shared -%}
{%- import "shared/few_tokens.wgsl" as tokens -%}
{%- import "shared/few_tokens_transposed.wgsl" as transposed -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o]) for at most {{ panel }} tokens, the sum over the k that the walk visits ({{ walk }}).
//
// Few tokens are bound by the bytes of w, so the invocations of a workgroup read neighbouring weights, each once. The partial sums meet in workgroup
// memory, added in a fixed order: the result is deterministic.
{%- if quads %}
// Here neighbours in memory are outputs: {{ across }} invocations side by side own {{ owned }} times four of the workgroup's {{ rows }} outputs each, and the steps
// of four k are shared out to {{ slices }} of such groups.
{%- else %}
// A workgroup owns {{ rows }} rows, invocation l the steps l, l + {{ slices }}, ... of each. One step = one vec4 of weights per row and the x of its four k,
// which all rows share (where they share a list of k; nm_select: four vec4 of weights, and all x that they may meet).
{%- endif %}

{{ shared.params() }}

@group(0) @binding(0) var<uniform> params: Params;
{% if panel == 1 and not fours -%}
@group(0) @binding(1) var<storage, read> packed_x: array<f32>;
{%- else -%}
{{ storage.f32x4_reader(1, "packed_x") }}
{%- endif %}
{{ epilogue.bindings(storage, output) }}
{{ walker.bindings(storage, config) }}

const STRIP_ROWS = {{ strip_rows }}u;
const ROWS = {{ rows }}u;
const LANES = {{ lanes }}u;
const PANEL = {{ panel }}u;
// Invocations that share out the steps of a row.
const SLICES = {{ slices }}u;
const SUMS_STRIDE = {{ sums_stride }}u;
{{ shared.x_stride(config) }}

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ walker.functions(config) }}

// partial[(row * PANEL + token) * SUMS_STRIDE + slice].
var<workgroup> partial: array<f32, {{ rows * panel * sums_stride }}>;

fn total(row: u32, slot: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < SLICES; i++) { sum += partial[(row * PANEL + slot) * SUMS_STRIDE + i]; }
    return sum;
}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let tile = group % params.row_tiles;
{%- if quads %}
    {{ transposed.owned_quads(shared, panel, owned, across) }}
{%- else %}
    {{ shared.rows(rows, false) }}
    let slice = lane;
{%- for r in range(rows) %}
{%- if panel == 1 %}
    var acc_{{ r }} = 0.0;
{%- else %}{% for v in range(vectors) %}
    var acc_{{ r }}_{{ v }} = vec4<f32>(0.0);
{%- endfor %}{% endif %}
{%- endfor %}
{%- endif %}

    {{ shared.steps(split, "group / params.row_tiles") }}
{%- if not own_lists and not fours %}
    let list = walk_list(strip);
{%- endif %}
    for (var step = steps.x + slice; step < steps.y; step += SLICES) {
{%- if own_lists %}
{{- walker.own_step(rows, panel, vectors, config) }}
{%- else %}
{%- if not quads %}
{{- shared.weights(rows, false) }}
{%- endif %}
{%- if fours %}
        let x = load4_packed_x(step);
{%- else %}
        let k = walk_x(0u, walk_word(list, step), step);
{{- tokens.gather(panel, vectors) }}
{%- endif %}
{%- if quads %}
{{- transposed.multiply_add(panel, owned) }}
{%- else %}
{%- for r in range(rows) %}
{{- tokens.multiply(r, panel, vectors) }}
{%- endfor %}
{%- endif %}
{%- endif %}
    }
{%- if quads %}
{{- transposed.partial_sums(panel, owned, across) }}
{%- else %}
{%- for r in range(rows) %}
{%- if panel == 1 %}
    partial[{{ r }}u * SUMS_STRIDE + slice] = acc_{{ r }};
{%- else %}{% for v in range(vectors) %}{% for i in range(4) %}
    partial[({{ r }}u * PANEL + {{ 4 * v + i }}u) * SUMS_STRIDE + slice] = acc_{{ r }}_{{ v }}[{{ i }}];
{%- endfor %}{% endfor %}{% endif %}
{%- endfor %}
{%- endif %}
    workgroupBarrier();

{%- if output.storage == "f32" %}
    for (var i = lane; i < ROWS * PANEL; i += LANES) {
        let row = i % ROWS;
        let slot = i / ROWS;
        let token = params.token_begin + slot;
        if (row_begin + row < row_end && token < params.token_end) {
            put({{ shared.y_index("token", "row_begin + row", split) }}, row_begin + row, total(row, slot));
        }
    }
{%- elif output.transposed %}
    for (var i = lane; i < ROWS * PANEL / 2u; i += LANES) {
        let row = i % ROWS;
        let slot = 2u * (i / ROWS);
        let token = params.token_begin + slot;
        if (row_begin + row < row_end && token < params.token_end) {
            put2({{ shared.y_index("token", "row_begin + row", split) }}, row_begin + row, vec2<f32>(total(row, slot), total(row, slot + 1u)));
        }
    }
{%- else %}
    for (var i = lane; i < ROWS / 2u * PANEL; i += LANES) {
        let row = 2u * (i % (ROWS / 2u));
        let slot = i / (ROWS / 2u);
        let token = params.token_begin + slot;
        if (row_begin + row < row_end && token < params.token_end) {
            put2({{ shared.y_index("token", "row_begin + row", split) }}, row_begin + row, vec2<f32>(total(row, slot), total(row + 1u, slot)));
        }
    }
{%- endif %}
}
