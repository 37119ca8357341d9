{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/matmul_rows.wgsl" as shared -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o]), the sum over the k that the walk visits ({{ walk }}),
// by cooperative matrices of {{ size }} x {{ size }}: f16 times f16, added up in f32.
//
// x arrives packed (pack_f16.wgsl): panels of {{ panel }} tokens, in each panel k-major, so that {{ size }} neighbouring k are a row-major matrix B.
// A workgroup owns one tile: {{ row_matrices * size }} rows of w times one panel of tokens. Its subgroups divide the panel: one takes {{ row_matrices }} x {{ token_matrices }}
// matrices of sums at a time, {{ token_matrices * size }} tokens, and however many subgroups the driver makes of {{ lanes }} invocations, all take equally many.
// One step = {{ size }} stored weights per row, {{ size }} x {{ size }} of them a row-major matrix A: {{ row_matrices * token_matrices }} products of matrices for {{ row_matrices }} + {{ token_matrices }} loads.
{%- if gathers %}
// The {{ size }} k of a step lie anywhere: their rows of x are gathered in workgroup memory first, which all subgroups share.
{%- endif %}
{%- if staged %}
// Weights pass through workgroup memory, where what lies outside of w is zero: rows of w do not start where matrices can be loaded, or do not
// fill them.
{%- endif %}

{{ shared.params() }}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed_x: array<{{ "vec4<f16>" if gathers else "f16" }}>;
{{ epilogue.bindings(storage, output) }}
{{ walker.bindings(storage, config) }}

alias MatrixA = coop_mat{{ size }}x{{ size }}<f16, A>;
alias MatrixB = coop_mat{{ size }}x{{ size }}<f16, B>;
alias MatrixC = coop_mat{{ size }}x{{ size }}<f32, C>;

const SIZE = {{ size }}u;
const STRIP_ROWS = {{ strip_rows }}u;
const ROWS = {{ row_matrices * size }}u;
const LANES = {{ lanes }}u;
const PANEL = {{ panel }}u;
const SHARE = {{ token_matrices * size }}u;   // tokens that a subgroup takes at a time
const STEP = {{ size // 4 }}u;                // a step of matrices, in the walk's steps of four
const UNIT = {{ 4 if config.vector_weights else 1 }}u;                // elements of w that the walk counts as one

// One matrix of sums for each subgroup, on its way to y.
var<workgroup> sums: array<f32, {{ panel // token_matrices * size }}>;
{%- if gathers %}
var<workgroup> gathered: array<f16, {{ size * panel }}>;
{%- endif %}
{%- if staged %}
var<workgroup> weights: array<f16, {{ row_matrices * size * size }}>;
{%- endif %}

{{ shared.x_stride(config) }}

{{ grid.index() }}

{{ epilogue.functions(output) }}

{{ walker.functions(config) }}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let group = group_index(group_id);
    let tile = group % params.row_tiles;
    let panel = group / params.row_tiles % params.panels;
    {{ shared.tile_rows() }}
    let last_row = row_end - 1u - strip * STRIP_ROWS;
{%- if not staged %}
{%- for r in range(row_matrices) %}
    let row_{{ r }} = walk_row(strip, min(tile_row + {{ r * size }}u, last_row / SIZE * SIZE));
{%- endfor %}
{%- endif %}
    let panel_base = panel * params.packed_rows * PANEL;
{%- if split %}
    let all_steps = walk_steps(strip);
    let part = params.first_part + group / params.row_tiles / params.panels;
    let whole_steps = (all_steps.y - all_steps.x + STEP - 1u) / STEP;
    let part_steps = (whole_steps + params.parts - 1u) / params.parts * STEP;
    let part_begin = min(all_steps.x + part * part_steps, all_steps.y);
    let steps = vec2<u32>(part_begin, min(part_begin + part_steps, all_steps.y));
{%- else %}
    let steps = walk_steps(strip);
{%- endif %}

    let list = walk_list(strip);

    // Matrices want uniform control flow, and a workgroup without work must not return early: it has no share.
    let works = group < params.group_end && row_begin < row_end;
    for (var share = select(PANEL / SHARE, 0u, works); share < PANEL / SHARE; share += subgroups) {
        let share_token = (share + subgroup) * SHARE;
{%- for r in range(row_matrices) %}{% for c in range(token_matrices) %}
        var acc_{{ r }}_{{ c }} = MatrixC();
{%- endfor %}{% endfor %}

        for (var step = steps.x; step < steps.y; step += STEP) {
{%- if gathers or staged %}
            // What the last step left is used up.
            workgroupBarrier();
{%- endif %}
{%- if gathers %}
            for (var i = lane; i < STEP * (PANEL / 4u); i += LANES) {
                let quad = i / (PANEL / 4u);
                let four = i % (PANEL / 4u);
                // The last step may reach behind the list: there are zeros of x for that.
                let exists = step + quad < steps.y;
                let listed = min(step + quad, steps.y - 1u);
                let zero = vec4<u32>(panel_base + params.zero_row * PANEL);
                let k = select(zero, walk_x(panel_base, walk_word(list, listed), listed), exists);
                let first = 4u * quad * PANEL + 4u * four;
{%- for j in range(4) %}
                let x_{{ j }} = packed_x[k[{{ j }}] / 4u + four];
{%- endfor %}
{%- for j in range(4) %}{% for i in range(4) %}
                gathered[first + {{ j }}u * PANEL + {{ i }}u] = x_{{ j }}[{{ i }}];
{%- endfor %}{% endfor %}
            }
{%- endif %}
{%- if staged %}
            for (var i = lane; i < ROWS * STEP; i += LANES) {
                let row = i / STEP;
                let quad = step + i % STEP;
                let exists = tile_row + row <= last_row && quad < steps.y;
                let at = UNIT * walk_at(walk_row(strip, min(tile_row + row, last_row)), min(quad, steps.y - 1u));
{%- for i in range(4) %}
{%- if config.vector_weights %}
                weights[4u * i + {{ i }}u] = select(f16(0.0), w[at + {{ i }}u], exists);
{%- else %}
                let exists_{{ i }} = exists && 4u * quad + {{ i }}u < params.k_in;
                weights[4u * i + {{ i }}u] = select(f16(0.0), w[select(0u, at + {{ i }}u, exists_{{ i }})], exists_{{ i }});
{%- endif %}
{%- endfor %}
            }
{%- endif %}
{%- if gathers or staged %}
            workgroupBarrier();
{%- endif %}
{%- if not gathers %}
            let k = walk_x(panel_base, walk_word(list, step), step).x + share_token;
{%- endif %}
{%- for c in range(token_matrices) %}
{%- if gathers %}
            let b_{{ c }} = coopLoadT<MatrixB>(&gathered[share_token + {{ c * size }}u], PANEL);
{%- else %}
            let b_{{ c }} = coopLoadT<MatrixB>(&packed_x[k + {{ c * size }}u], PANEL);
{%- endif %}
{%- endfor %}
{%- for r in range(row_matrices) %}
{%- if staged %}
            let a_{{ r }} = coopLoadT<MatrixA>(&weights[{{ r * size * size }}], SIZE);
{%- else %}
            let a_{{ r }} = coopLoadT<MatrixA>(&w[UNIT * walk_at(row_{{ r }}, step)], {{ config.bc ~ "u" if config.bc > 0 else "4u * params.weight_stride" }});
{%- endif %}
{%- for c in range(token_matrices) %}
            acc_{{ r }}_{{ c }} = coopMultiplyAdd(a_{{ r }}, b_{{ c }}, acc_{{ r }}_{{ c }});
{%- endfor %}
{%- endfor %}
        }

        let first_token = params.token_begin + panel * PANEL + share * SHARE;
{%- for r in range(row_matrices) %}{% for c in range(token_matrices) %}
{%- set across = "token" if output.transposed else "row" %}
        workgroupBarrier();
        {{ "coopStoreT" if output.transposed else "coopStore" }}(acc_{{ r }}_{{ c }}, &sums[subgroup * SIZE * SIZE], SIZE);
        workgroupBarrier();
        for (var i = lane; i < subgroups * SIZE * STEP; i += LANES) {
            // Four {{ across }}s of a matrix of sums, neighbours in y.
            let line = i / STEP % SIZE;
            let four = 4u * (i % STEP);
            let token = first_token + i / (SIZE * STEP) * SHARE + {{ c * size }}u + {{ "four" if output.transposed else "line" }};
            let row = row_begin + {{ r * size }}u + {{ "line" if output.transposed else "four" }};
            if (token < params.token_end && row < row_end) {
                let at = {{ shared.y_index("token", "row", split) }};
{%- if output.vectors %}
                put4(at, row, vec4<f32>(sums[4u * i], sums[4u * i + 1u], sums[4u * i + 2u], sums[4u * i + 3u]));
{%- elif output.storage == "f32" %}
{%- for i in range(4) %}
                if ({{ across }} + {{ i }}u < {{ "params.token_end" if output.transposed else "row_end" }}) {
                    put(at + {{ i }}u, row{% if not output.transposed %} + {{ i }}u{% endif %}, sums[4u * i + {{ i }}u]);
                }
{%- endfor %}
{%- else %}
{%- for i in [0, 2] %}
                if ({{ across }} + {{ i }}u < {{ "params.token_end" if output.transposed else "row_end" }}) {
                    put2(at + {{ i }}u, row{% if not output.transposed %} + {{ i }}u{% endif %}, vec2<f32>(sums[4u * i + {{ i }}u], sums[4u * i + {{ i + 1 }}u]));
                }
{%- endfor %}
{%- endif %}
            }
        }
{%- endfor %}{% endfor %}
    }
}
