{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// What block_attention.wgsl computes, where queries are few: the token that is generated next, or a handful that are verified. D = {{ head_dim }}, walk {{ walk }}.
//
// A workgroup owns {{ queries }} {{ "rows, a row being a query of one of " ~ config.heads ~ " heads that share their keys," if config.heads > 1 else "queries of one head" }} and goes over {{ keys }} keys at a time. Scores:
// an invocation owns four neighbouring keys, and all rows for them; q is in workgroup memory. Weights go through workgroup memory. Output: an
// invocation owns all rows by every {{ columns }}th vec4 of the dimensions{% if shares > 1 %} and every {{ shares }}th group of four keys{% endif %}; neighbours read neighbouring vec4s of v. So a key and
// a value are read once for all rows, where the kernels for many queries would compute {{ "most of" if queries < 8 else "much of" }} a tile in vain.
{%- if config.in_parts %}
// The keys are divided into params.parts parts of a workgroup each, for the device would wait for a few workgroups otherwise; each writes its sums,
// which attention_merge.wgsl puts together. (Dao et al., Flash-Decoding for long-context inference, 2023.)
{%- endif %}

{{ attention.params() }}

{{ attention.bindings(storage, config) }}
{{ walker.bindings(6) }}

const LANES = {{ lanes }}u;
const TILE = {{ queries }}u;
const STEP = {{ keys }}u;
const ROW4 = {{ row4 }}u;
const COLUMNS = {{ columns }}u;    // invocations side by side along the dimensions
const SHARES = {{ shares }}u;     // of the keys of a step, where the dimensions leave invocations over
{%- if config.heads > 1 %}
const HEADS = {{ config.heads }}u;
{%- endif %}

{{ grid.index() }}

{{ attention.functions(config) }}

{{ walker.functions(config) }}

{{ attention.row_functions(config, true) }}

// queries[row * ROW4 + d]: four dimensions, scaled.
{{ storage.f32x4_workgroup("queries", queries * row4) }}
// weights[row * LANES + i]: of keys 4i .. 4i+3 of the step; in the end sums of the output.
{{ storage.f32x4_workgroup("weights", queries * lanes) }}
// partial[row * LANES + lane]: maxima, and in the end sums, over the keys of an invocation.
var<workgroup> partial: array<f32, {{ queries * lanes }}>;

// Where a row of the workgroup stands.
struct Place {
    query: u32,     // of its head
    q: u32,         // where the row of q, and of out, begins behind that of the first head's first query, in units
    lse: u32,       // likewise of the log-sum-exps
}
{% if config.heads > 1 %}
fn place_of(work: Work, row: u32) -> Place {
    let head = row / work.q_len;
    let query = row % work.q_len;
    return Place(query, head * {{ "ROW" if config.q_heads else "params.q_len * ROW" }} + query * Q_STEP, head * params.q_len + query);
}

fn row_count(work: Work) -> u32 { return HEADS * work.q_len; }
{% else %}
fn place_of(work: Work, row: u32) -> Place { return Place(row, row * Q_STEP, row); }

fn row_count(work: Work) -> u32 { return work.q_len; }
{% endif %}
fn highest_of(score: vec4<f32>) -> f32 { return max(max(score.x, score.y), max(score.z, score.w)); }

fn sum_of(p: vec4<f32>) -> f32 { return (p.x + p.y) + (p.z + p.w); }

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
{%- if config.in_parts %}
    let part = group % params.parts;
    let work = work_of(group / params.parts);
{%- else %}
    let work = work_of(group);
{%- endif %}
{%- if config.order == "rows" %}
    if (work.first_query >= work.q_len) { return; }
{%- endif %}
    let first_row = work.first_query;
    let last_row = row_count(work) - 1u;
{#- Rows past the last one compute what the last one does, and are not stored. #}
{%- for r in range(queries) %}
    let place_{{ r }} = place_of(work, min(first_row + {{ r }}u, last_row));
    let seen_{{ r }} = keys_seen(work, place_{{ r }}.query);
    var highest_{{ r }} = UNSEEN;
    var sum_{{ r }} = 0.0;
{%- for n in range(outs) %}
    var out_{{ r }}_{{ n }} = vec4<f32>(0.0);
{%- endfor %}
{%- endfor %}

    let scale = bitcast<f32>(params.scale_bits);
    for (var i = lane; i < TILE * ROW4; i += LANES) {
        let row = min(first_row + i / ROW4, last_row);
        store4_queries(i, scale * row_q(work.q + place_of(work, row).q, i % ROW4));
    }
    workgroupBarrier();

    // Keys from keys_end on are seen by no row.
    let keys_end = {% for r in range(queries - 1) %}max(seen_{{ r }}, {% endfor %}seen_{{ queries - 1 }}{{ ")" * (queries - 1) }};
    let last_key = max(keys_end, 1u) - 1u;
    let column = lane % COLUMNS;
    let share = lane / COLUMNS;

{%- if config.in_parts %}

    let blocks_of_part = ((work.k_len + BLOCK - 1u) / BLOCK + params.parts - 1u) / params.parts;
    let blocks_begin = part * blocks_of_part;
    let blocks_end = min(blocks_begin + blocks_of_part, (keys_end + BLOCK - 1u) / BLOCK);
{%- else %}
    let blocks_begin = 0u;
    let blocks_end = (keys_end + BLOCK - 1u) / BLOCK;
{%- endif %}
    let row = walk_row(work);
    for (var block = walk_next(row, blocks_begin, blocks_end); block < blocks_end; block = walk_next(row, block + 1u, blocks_end)) {
        let block_end = min((block + 1u) * BLOCK, keys_end);
        for (var step_begin = block * BLOCK; step_begin < block_end; step_begin += STEP) {
            let step_end = min(step_begin + STEP, block_end);

            // Scores of my four keys, in powers of two.
            let key = step_begin + 4u * lane;
{%- for r in range(queries) %}
            var score_{{ r }} = vec4<f32>(0.0);
{%- endfor %}
            if (key < step_end) {
{%- for j in range(4) %}
                let k_row_{{ j }} = work.k + min(key + {{ j }}u, last_key) * K_STEP;
{%- endfor %}
                for (var d = 0u; d < ROW4; d += {{ unroll }}u) {
{%- for u in range(unroll) %}
                    {
{%- for j in range(4) %}
                        let k_{{ j }} = row_k(k_row_{{ j }}, d + {{ u }}u);
{%- endfor %}
{%- for r in range(queries) %}
                        let q_{{ r }} = load4_queries({{ r }}u * ROW4 + d + {{ u }}u);
{%- for c in ["x", "y", "z", "w"] %}
                        score_{{ r }} = fma(vec4<f32>(q_{{ r }}.{{ c }}), vec4<f32>(k_0.{{ c }}, k_1.{{ c }}, k_2.{{ c }}, k_3.{{ c }}), score_{{ r }});
{%- endfor %}
{%- endfor %}
                    }
{%- endfor %}
                }
            }
            let keys = key + vec4<u32>(0u, 1u, 2u, 3u);
{%- for r in range(queries) %}
{%- if config.soft_cap %}
            score_{{ r }} = capped(score_{{ r }});
{%- endif %}
            score_{{ r }} = select(vec4<f32>(UNSEEN), score_{{ r }}, keys < vec4<u32>(min(seen_{{ r }}, step_end)));
            partial[{{ r * lanes }}u + lane] = highest_of(score_{{ r }});
{%- endfor %}
            workgroupBarrier();
{%- for r in range(queries) %}
            var new_highest_{{ r }} = highest_{{ r }};
{%- endfor %}
            for (var i = 0u; i < LANES; i += {{ neighbours }}u) {
{%- for r in range(queries) %}{% for n in range(neighbours) %}
                new_highest_{{ r }} = max(new_highest_{{ r }}, partial[{{ r * lanes + n }}u + i]);
{%- endfor %}{% endfor %}
            }
{%- for r in range(queries) %}
            let fade_{{ r }} = exp2(highest_{{ r }} - new_highest_{{ r }});
            highest_{{ r }} = new_highest_{{ r }};
            // Where no key has been seen yet, an unseen one scores as high as the highest: it must weigh nothing all the same.
            let p_{{ r }} = select(exp2(score_{{ r }} - vec4<f32>(highest_{{ r }})), vec4<f32>(0.0), score_{{ r }} == vec4<f32>(UNSEEN));
            sum_{{ r }} = fma(sum_{{ r }}, fade_{{ r }}, sum_of(p_{{ r }}));
            store4_weights({{ r * lanes }}u + lane, p_{{ r }});
{%- for n in range(outs) %}
            out_{{ r }}_{{ n }} *= fade_{{ r }};
{%- endfor %}
{%- endfor %}
            workgroupBarrier();

            // Keys of the step that nobody sees weigh 0; the row that stands for theirs is one that somebody sees.
            let fours = (step_end - step_begin + 3u) / 4u;
            for (var four = share; four < fours; four += SHARES) {
{%- for r in range(queries) %}
                let weight_{{ r }} = load4_weights({{ r * lanes }}u + four);
{%- endfor %}
{%- for j in range(4) %}
                let v_row_{{ j }} = work.v + min(step_begin + 4u * four + {{ j }}u, last_key) * K_STEP;
{%- endfor %}
{%- for n in range(outs) %}{% for j in range(4) %}
                let v_{{ n }}_{{ j }} = {{ "row_v" if (n + 1) * columns <= row4 else "tail_v" }}(v_row_{{ j }}, column + {{ n * columns }}u);
{%- for r in range(queries) %}
                out_{{ r }}_{{ n }} = fma(vec4<f32>(weight_{{ r }}[{{ j }}]), v_{{ n }}_{{ j }}, out_{{ r }}_{{ n }});
{%- endfor %}
{%- endfor %}{% endfor %}
            }
        }
    }

    workgroupBarrier();
{%- for r in range(queries) %}
    partial[{{ r * lanes }}u + lane] = sum_{{ r }};
{%- if shares > 1 %}
    store4_weights({{ r * lanes }}u + lane, out_{{ r }}_0);
{%- endif %}
{%- endfor %}
    workgroupBarrier();
    if (share != 0u) { return; }
{%- for r in range(queries) %}
    if (first_row + {{ r }}u <= last_row) {
        var total = 0.0;
        for (var i = 0u; i < LANES; i++) { total += partial[{{ r * lanes }}u + i]; }
{%- if shares > 1 %}
        for (var i = 1u; i < SHARES; i++) { out_{{ r }}_0 += load4_weights({{ r * lanes }}u + i * COLUMNS + column); }
{%- endif %}
{%- if config.in_parts %}
        let at = (work.lse + place_{{ r }}.lse) * params.parts + part;
{%- for n in range(outs) %}
        {{ "store_row" if (n + 1) * columns <= row4 else "store_tail" }}(at * ROW, column + {{ n * columns }}u, out_{{ r }}_{{ n }});
{%- endfor %}
        if (lane == 0u) {
            lse[2u * at] = bitcast<u32>(highest_{{ r }});
            lse[2u * at + 1u] = bitcast<u32>(total);
        }
{%- else %}
        // The key with the highest score weighs 1: the sum is 0 only without keys.
        let empty = total == 0.0;
        let divisor = select(total, 1.0, empty);
{%- for n in range(outs) %}
        {{ "store_row" if (n + 1) * columns <= row4 else "store_tail" }}(work.out + place_{{ r }}.q, column + {{ n * columns }}u, out_{{ r }}_{{ n }} / divisor);
{%- endfor %}
        if (lane == 0u) { store_lse(work.lse + place_{{ r }}.lse, highest_{{ r }}, divisor, empty); }
{%- endif %}
    }
{%- endfor %}
}
