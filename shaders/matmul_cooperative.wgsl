{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/epilogue.wgsl" as epilogue -%}
{%- import "shared/matmul_rows.wgsl" as shared -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o]), the sum over the k that the walk visits ({{ walk }}),
// by cooperative matrices of {{ size }} x {{ size }}: f16 times f16, added up in f32.
//
// x arrives packed (pack_halves.wgsl): panels of {{ panel }} tokens, in each panel k-major.
// A workgroup owns one tile: {{ row_matrices * size }} rows of w times one panel of tokens. Its subgroups divide the panel: one takes {{ row_matrices }} x {{ token_matrices }}
// matrices of sums at a time, {{ token_matrices * size }} tokens, and however many subgroups the driver makes of {{ lanes }} invocations, all take equally many.
// One step = {{ size }} stored weights per row: {{ row_matrices * token_matrices }} products of matrices for {{ row_matrices }} + {{ token_matrices }} loads.
//
// Both operands of a step pass through workgroup memory, where the k of a row of w, and those of a token, are neighbours, four of them an array
// of their own: such rows are what registers of matrices hold, and fours are what memory moves at a time. Wherever the k of the step lie in x,
// it is there that they meet.
{%- if padded %}
// What lies outside of w, or behind the last of the walk's steps, is zero there.
{%- endif %}

{{ shared.params() }}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed_x: array<vec4<f16>>;
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

// One matrix of sums for each subgroup, on its way to y.
var<workgroup> sums: array<array<f32, 4>, {{ panel // token_matrices * size // 4 }}>;
// The k of the step, by tokens and by rows of w. Indices known before are indices of their own, because checks of the others stay in the code.
var<workgroup> tokens: array<array<array<array<f16, 4>, STEP>, 4>, {{ panel // 4 }}>;
var<workgroup> weights: array<array<array<f16, 4>, STEP>, ROWS>;

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
    let panel_base = panel * params.packed_rows * X_STRIDE;
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
{%- for r in range(row_matrices) %}{% for c in range(token_matrices) %}
        var acc_{{ r }}_{{ c }} = MatrixC();
{%- endfor %}{% endfor %}

        for (var step = steps.x; step < steps.y; step += STEP) {
            // What the last step left is used up.
            workgroupBarrier();
{%- for turn in range((panel * size // 16 + lanes - 1) // lanes) %}
            if (lane + {{ turn }}u * LANES < subgroups * (SHARE / 4u) * STEP) {
                let i = lane + {{ turn }}u * LANES;
                // A square of four tokens and four k.
                let four = i / STEP;
                let quad = step + i % STEP;
{%- if padded %}
                let listed = min(quad, steps.y - 1u);
                let zero = vec4<u32>(panel_base + params.zero_row * X_STRIDE);
                let k = select(zero, walk_x(panel_base, walk_word(list, listed), listed), quad < steps.y) + share * (SHARE / 4u) + four;
{%- else %}
                let k = walk_x(panel_base, walk_word(list, quad), quad) + share * (SHARE / 4u) + four;
{%- endif %}
{%- for j in range(4) %}
                let x_{{ j }} = packed_x[k[{{ j }}]];
{%- endfor %}
{%- for t in range(4) %}
                tokens[four][{{ t }}][i % STEP] = array<f16, 4>(x_0[{{ t }}], x_1[{{ t }}], x_2[{{ t }}], x_3[{{ t }}]);
{%- endfor %}
            }
{%- endfor %}
{%- for turn in range((row_matrices * size * size // 4 + lanes - 1) // lanes) %}
            {% if (turn + 1) * lanes > row_matrices * size * size // 4 %}if (lane + {{ turn }}u * LANES < ROWS * STEP) {% endif %}{
                let i = lane + {{ turn }}u * LANES;
                let row = i / STEP;
                let quad = step + i % STEP;
{%- if not padded %}
                let four = w[walk_at(walk_row(strip, min(tile_row + row, last_row)), quad)];
{%- else %}
                let exists = tile_row + row <= last_row && quad < steps.y;
                let at = walk_at(walk_row(strip, min(tile_row + row, last_row)), min(quad, steps.y - 1u));
{%- if config.vector_weights %}
                let four = select(vec4<f16>(), w[at], exists);
{%- else %}
                let exists_k = vec4<bool>(exists) & (4u * quad + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.k_in));
                let at_k = select(vec4<u32>(0u), at + vec4<u32>(0u, 1u, 2u, 3u), exists_k);
                let four = select(vec4<f16>(), vec4<f16>(w[at_k.x], w[at_k.y], w[at_k.z], w[at_k.w]), exists_k);
{%- endif %}
{%- endif %}
                weights[row][i % STEP] = array<f16, 4>(four.x, four.y, four.z, four.w);
            }
{%- endfor %}
            workgroupBarrier();
{%- for c in range(token_matrices) %}
            let b_{{ c }} = coopLoad<MatrixB>(&tokens[(subgroup * SHARE + {{ c * size }}u) / 4u][0][0][0], SIZE);
{%- endfor %}
{%- for r in range(row_matrices) %}
            let a_{{ r }} = coopLoadT<MatrixA>(&weights[{{ r * size }}][0][0], SIZE);
{%- for c in range(token_matrices) %}
            acc_{{ r }}_{{ c }} = coopMultiplyAdd(a_{{ r }}, b_{{ c }}, acc_{{ r }}_{{ c }});
{%- endfor %}
{%- endfor %}
        }

        let first_token = params.token_begin + panel * PANEL + share * SHARE;
{%- for r in range(row_matrices) %}{% for c in range(token_matrices) %}
{%- set across = "token" if output.transposed else "row" %}
        workgroupBarrier();
        {{ "coopStoreT" if output.transposed else "coopStore" }}(acc_{{ r }}_{{ c }}, &sums[subgroup * (SIZE * STEP)][0], SIZE);
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
                put4(at, row, vec4<f32>(sums[i][0], sums[i][1], sums[i][2], sums[i][3]));
{%- elif output.storage == "f32" %}
{%- for i in range(4) %}
                if ({{ across }} + {{ i }}u < {{ "params.token_end" if output.transposed else "row_end" }}) {
                    put(at + {{ i }}u, row{% if not output.transposed %} + {{ i }}u{% endif %}, sums[i][{{ i }}]);
                }
{%- endfor %}
{%- else %}
{%- for i in [0, 2] %}
                if ({{ across }} + {{ i }}u < {{ "params.token_end" if output.transposed else "row_end" }}) {
                    put2(at + {{ i }}u, row{% if not output.transposed %} + {{ i }}u{% endif %}, vec2<f32>(sums[i][{{ i }}], sums[i][{{ i + 1 }}]));
                }
{%- endfor %}
{%- endif %}
            }
        }
{%- endfor %}{% endfor %}
    }
}
