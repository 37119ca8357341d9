{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// out[t] = sum_j p_j v[j], p = softmax over j of scale <q[t], k[j]>{% if config.soft_cap %} under a soft cap{% endif %}, j in the key blocks that the walk visits ({{ walk }})
// {%- if causal %} and not after query t{% endif %}; lse[t] = ln(sum_j exp(..)). D = {{ head_dim }}.
//
// An invocation owns {{ queries }} queries: q and the output in registers. A workgroup owns {{ lanes * queries }} neighbouring queries of one
// head, inside one block of the mask, so the keys and values it reads are the same for all its invocations: scalar loads, no staging.
// It goes over {{ step }} keys at a time, {{ keys }} together: first all scores, into workgroup memory, then the output is rescaled once (online
// softmax), then the weighted values are added. {{ keys }} keys cost {{ 2 * queries * keys * head_dim }} multiply-adds and {{ queries * keys }} exponentials for {{ 2 * keys }} rows of k and v.
// Scores and output are loops of their own{% if pieces | length > 1 %}, {{ pieces | length }} each for parts of the dimensions{% endif %}: a processor decodes a loop over and over once it
// outgrows what it keeps decoded, 1000 to 4000 instructions, and then runs at half the speed or less. Registers: about {{ 2 * queries * head_dim }}, which processors keep
// in their first-level cache and graphics processors spill from D = 128 on: for those there is block_attention_tiled.wgsl.
//
// A row without keys gives out = 0 and lse = minus infinity.

{{ attention.params() }}

{{ attention.bindings(storage, config) }}
{{ walker.bindings(6) }}

const LANES = {{ lanes }}u;
const TILE = {{ lanes * queries }}u;
const KEYS = {{ keys }}u;
const STEP = {{ step }}u;

{{ grid.index() }}

{{ attention.functions(config) }}

{{ walker.functions(config) }}

// scores[(key / 4 * queries + q) * LANES + lane], of four keys of the step. Every invocation reads what it wrote itself: no barriers.
{{ storage.f32x4_workgroup("scores", step // 4 * queries * lanes) }}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let work = work_of(group);
{%- if config.order == "rows" %}
    if (work.first_query >= work.q_len) { return; }
{%- endif %}
    let first_query = work.first_query;
    let scale = bitcast<f32>(params.scale_bits);

    // Keys that the first query of the workgroup sees are seen by all of them, those from keys_end on by none.
    let seen_by_all = keys_seen(work, first_query);
    let keys_end = keys_seen(work, min(first_query + TILE, work.q_len) - 1u);
    let last_key = max(keys_end, 1u) - 1u;

{%- for q in range(queries) %}
    // Queries past the last one compute what the last one does, and are not stored.
    let query_{{ q }} = min(first_query + {{ q }}u * LANES + lane, work.q_len - 1u);
    let seen_{{ q }} = keys_seen(work, query_{{ q }});
    let q_base_{{ q }} = work.q + query_{{ q }} * Q_STEP;
{%- for d in range(row4) %}
    let q_{{ q }}_{{ d }} = scale * {{ attention.load("q", "q_base_" ~ q, d, config) }};
    var out_{{ q }}_{{ d }} = vec4<f32>(0.0);
{%- endfor %}
    var highest_{{ q }} = UNSEEN;
    var sum_{{ q }} = 0.0;
{%- endfor %}

    let blocks_end = (keys_end + BLOCK - 1u) / BLOCK;
    let row = walk_row(work);
    for (var block = walk_next(row, 0u, blocks_end); block < blocks_end; block = walk_next(row, block + 1u, blocks_end)) {
        let block_end = min((block + 1u) * BLOCK, keys_end);
        for (var step_begin = block * BLOCK; step_begin < block_end; step_begin += STEP) {
            let step_end = min(step_begin + STEP, block_end);
            let all_seen = step_begin + STEP <= seen_by_all;

            // Scores, in powers of two. A row of k is used as soon as it is loaded: few registers besides q.
{%- for q in range(queries) %}
            var step_max_{{ q }} = vec4<f32>(UNSEEN);
{%- endfor %}
{%- for piece in pieces %}
            for (var key = step_begin; key < step_end; key += KEYS) {
                let at = (key - step_begin) / 4u * {{ queries }}u * LANES + lane;
{%- for j in range(keys) %}
                let row_{{ j }} = work.k + min(key + {{ j }}u, last_key) * K_STEP;
{%- for q in range(queries) %}
                var dot_{{ q }}_{{ j }} = 0.0;
{%- endfor %}{% endfor %}
{%- for d in piece %}{% for j in range(keys) %}
                let k_{{ d }}_{{ j }} = {{ attention.load("k", "row_" ~ j, d, config) }};
{%- for q in range(queries) %}{% for i in range([4, head_dim - 4 * d] | min) %}
                dot_{{ q }}_{{ j }} = fma(q_{{ q }}_{{ d }}[{{ i }}], k_{{ d }}_{{ j }}[{{ i }}], dot_{{ q }}_{{ j }});
{%- endfor %}{% endfor %}
{%- endfor %}{% endfor %}
{%- set first_piece = loop.first %}{% set last_piece = loop.last %}
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
                var score_{{ q }}_{{ g }} = vec4<f32>({% for j in range(4 * g, 4 * g + 4) %}dot_{{ q }}_{{ j }}{{ ", " if not loop.last }}{% endfor %});
{%- if not first_piece %}
                score_{{ q }}_{{ g }} += load4_scores(at + {{ g * queries + q }}u * LANES);
{%- endif %}
{%- if last_piece and config.soft_cap %}
                score_{{ q }}_{{ g }} = capped(score_{{ q }}_{{ g }});
{%- endif %}
{%- endfor %}{% endfor %}
{%- if last_piece %}
                if (!all_seen) {
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
                    score_{{ q }}_{{ g }} = select(vec4<f32>(UNSEEN), score_{{ q }}_{{ g }}, key + vec4<u32>({{ 4 * g }}u, {{ 4 * g + 1 }}u, {{ 4 * g + 2 }}u, {{ 4 * g + 3 }}u) < vec4<u32>(seen_{{ q }}));
{%- endfor %}{% endfor %}
                }
{%- endif %}
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
{%- if last_piece %}
                step_max_{{ q }} = max(step_max_{{ q }}, score_{{ q }}_{{ g }});
{%- endif %}
                store4_scores(at + {{ g * queries + q }}u * LANES, score_{{ q }}_{{ g }});
{%- endfor %}{% endfor %}
            }
{%- endfor %}
{%- for q in range(queries) %}

            let new_highest_{{ q }} = max(highest_{{ q }}, max(max(step_max_{{ q }}.x, step_max_{{ q }}.y), max(step_max_{{ q }}.z, step_max_{{ q }}.w)));
            let fade_{{ q }} = exp2(highest_{{ q }} - new_highest_{{ q }});
            highest_{{ q }} = new_highest_{{ q }};
            sum_{{ q }} *= fade_{{ q }};
{%- for d in range(row4) %}
            out_{{ q }}_{{ d }} *= fade_{{ q }};
{%- endfor %}
{%- endfor %}
{% for piece in pieces %}
            for (var key = step_begin; key < step_end; key += KEYS) {
                let at = (key - step_begin) / 4u * {{ queries }}u * LANES + lane;
{%- for j in range(keys) %}
                let row_{{ j }} = work.v + min(key + {{ j }}u, last_key) * K_STEP;
{%- endfor %}
{%- set first_piece = loop.first %}
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
{%- if first_piece %}
                let score_{{ q }}_{{ g }} = load4_scores(at + {{ g * queries + q }}u * LANES);
                // Where no key has been seen yet, an unseen one scores as high as the highest: it must weigh nothing all the same.
                let p_{{ q }}_{{ g }} = select(exp2(score_{{ q }}_{{ g }} - vec4<f32>(highest_{{ q }})), vec4<f32>(0.0), score_{{ q }}_{{ g }} == vec4<f32>(UNSEEN));
                sum_{{ q }} += (p_{{ q }}_{{ g }}.x + p_{{ q }}_{{ g }}.y) + (p_{{ q }}_{{ g }}.z + p_{{ q }}_{{ g }}.w);
{%- if pieces | length > 1 %}
                store4_scores(at + {{ g * queries + q }}u * LANES, p_{{ q }}_{{ g }});
{%- endif %}
{%- else %}
                let p_{{ q }}_{{ g }} = load4_scores(at + {{ g * queries + q }}u * LANES);
{%- endif %}
{%- endfor %}{% endfor %}
{%- for d in piece %}{% for j in range(keys) %}
                let v_{{ d }}_{{ j }} = {{ attention.load("v", "row_" ~ j, d, config) }};
{%- for q in range(queries) %}
                out_{{ q }}_{{ d }} = fma(vec4<f32>(p_{{ q }}_{{ j // 4 }}[{{ j % 4 }}]), v_{{ d }}_{{ j }}, out_{{ q }}_{{ d }});
{%- endfor %}{% endfor %}
{%- endfor %}
            }
{%- endfor %}
        }
    }
{%- for q in range(queries) %}

    if (first_query + {{ q }}u * LANES + lane < work.q_len) {
        // The key with the highest score weighs 1: the sum is 0 only without keys.
        let empty = sum_{{ q }} == 0.0;
        let divisor = select(sum_{{ q }}, 1.0, empty);
        let out_base = work.out + query_{{ q }} * Q_STEP;
{%- for d in range(row4) %}
        let result_{{ d }} = out_{{ q }}_{{ d }} / divisor;
        {{ attention.store("out_base", d, "result_" ~ d, config) }}
{%- endfor %}
        store_lse(work.lse + query_{{ q }}, highest_{{ q }}, divisor, empty);
    }
{%- endfor %}
}
