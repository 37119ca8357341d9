{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// out[t] = sum_j p_j v[j], p = softmax over j of scale <q[t], k[j]>, j in the key blocks that the walk visits ({{ walk }})
// {%- if causal %} and not after query t{% endif %}; lse[t] = ln(sum_j exp(scale <q[t], k[j]>)). D = {{ head_dim }}.
//
// An invocation owns {{ queries }} queries: q and the output in registers. A workgroup owns {{ lanes * queries }} neighbouring queries of one
// head, inside one block of the mask, so the keys and values it reads are the same for all its invocations: scalar loads, no staging.
// One step = {{ keys }} keys: {{ 2 * queries * keys * head_dim }} multiply-adds and {{ queries * keys }} exponentials for {{ 2 * keys }} rows
// of k and v, then one rescaling of the output (online softmax). Registers: about {{ 2 * queries * head_dim }} and the scores, which
// processors keep in their first-level cache and graphics processors spill from D = 128 on: for those there is block_attention_tiled.wgsl.
//
// A row without keys gives out = 0 and lse = minus infinity.

{{ attention.params() }}

{{ attention.bindings(storage, config) }}
{{ walker.bindings(6) }}

const LANES = {{ lanes }}u;
const TILE = {{ lanes * queries }}u;
const KEYS = {{ keys }}u;

{{ grid.index() }}

{{ attention.functions(config) }}

{{ walker.functions() }}

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let item = work_item(group);
    let head = item.x;
    let first_query = item.y * TILE;
    let k_base = params.k_first + key_head(head) * params.k_len * ROW;
    let v_base = params.v_first + key_head(head) * params.k_len * ROW;
    let scale = bitcast<f32>(params.scale_bits);

    // Keys that the first query of the workgroup sees are seen by all of them, those from keys_end on by none.
    let seen_by_all = keys_seen(first_query);
    let keys_end = keys_seen(min(first_query + TILE, params.q_len) - 1u);
    let last_key = max(keys_end, 1u) - 1u;

{%- for q in range(queries) %}
    // Queries past the last one compute what the last one does, and are not stored.
    let query_{{ q }} = min(first_query + {{ q }}u * LANES + lane, params.q_len - 1u);
    let seen_{{ q }} = keys_seen(query_{{ q }});
    let q_base_{{ q }} = params.q_first + (head * params.q_len + query_{{ q }}) * ROW;
{%- for d in range(row4) %}
    let q_{{ q }}_{{ d }} = scale * {{ attention.load("q", "q_base_" ~ q, d, config) }};
    var out_{{ q }}_{{ d }} = vec4<f32>(0.0);
{%- endfor %}
    var highest_{{ q }} = UNSEEN;
    var sum_{{ q }} = 0.0;
{%- endfor %}

    let blocks_end = (keys_end + BLOCK - 1u) / BLOCK;
    let row = walk_row(head, first_query / BLOCK);
    for (var block = walk_next(row, 0u, blocks_end); block < blocks_end; block = walk_next(row, block + 1u, blocks_end)) {
        let block_end = min((block + 1u) * BLOCK, keys_end);
        for (var key = block * BLOCK; key < block_end; key += KEYS) {
            let all_seen = key + KEYS <= seen_by_all;
{%- for j in range(keys) %}
            let row_{{ j }} = min(key + {{ j }}u, last_key) * ROW;
{%- endfor %}

            // Scores, in powers of two. A row of k is used as soon as it is loaded: few registers besides q.
{%- for q in range(queries) %}{% for j in range(keys) %}
            var dot_{{ q }}_{{ j }} = 0.0;
{%- endfor %}{% endfor %}
{%- for d in range(row4) %}{% for j in range(keys) %}
            let k_{{ d }}_{{ j }} = {{ attention.load("k", "k_base + row_" ~ j, d, config) }};
{%- for q in range(queries) %}{% for i in range([4, head_dim - 4 * d] | min) %}
            dot_{{ q }}_{{ j }} = fma(q_{{ q }}_{{ d }}[{{ i }}], k_{{ d }}_{{ j }}[{{ i }}], dot_{{ q }}_{{ j }});
{%- endfor %}{% endfor %}
{%- endfor %}{% endfor %}
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
            var score_{{ q }}_{{ g }} = vec4<f32>({% for j in range(4 * g, 4 * g + 4) %}dot_{{ q }}_{{ j }}{{ ", " if not loop.last }}{% endfor %});
{%- endfor %}{% endfor %}
            if (!all_seen) {
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
                score_{{ q }}_{{ g }} = select(vec4<f32>(UNSEEN), score_{{ q }}_{{ g }}, key + vec4<u32>({{ 4 * g }}u, {{ 4 * g + 1 }}u, {{ 4 * g + 2 }}u, {{ 4 * g + 3 }}u) < vec4<u32>(seen_{{ q }}));
{%- endfor %}{% endfor %}
            }
{%- for q in range(queries) %}
            let step_max_{{ q }} = {% for g in range(1, keys // 4) %}max({% endfor %}score_{{ q }}_0{% for g in range(1, keys // 4) %}, score_{{ q }}_{{ g }}){% endfor %};
            let new_highest_{{ q }} = max(highest_{{ q }}, max(max(step_max_{{ q }}.x, step_max_{{ q }}.y), max(step_max_{{ q }}.z, step_max_{{ q }}.w)));
            let fade_{{ q }} = exp2(highest_{{ q }} - new_highest_{{ q }});
            highest_{{ q }} = new_highest_{{ q }};
{%- for g in range(keys // 4) %}
            var p_{{ q }}_{{ g }} = exp2(score_{{ q }}_{{ g }} - vec4<f32>(new_highest_{{ q }}));
{%- endfor %}
{%- endfor %}
            if (!all_seen) {
                // Where no key has been seen yet, an unseen one scores as high as the highest: it must weigh nothing all the same.
{%- for q in range(queries) %}{% for g in range(keys // 4) %}
                p_{{ q }}_{{ g }} = select(vec4<f32>(0.0), p_{{ q }}_{{ g }}, key + vec4<u32>({{ 4 * g }}u, {{ 4 * g + 1 }}u, {{ 4 * g + 2 }}u, {{ 4 * g + 3 }}u) < vec4<u32>(seen_{{ q }}));
{%- endfor %}{% endfor %}
            }
{%- for q in range(queries) %}
            let step_sum_{{ q }} = {% for g in range(keys // 4) %}p_{{ q }}_{{ g }}{{ " + " if not loop.last }}{% endfor %};
            sum_{{ q }} = fma(sum_{{ q }}, fade_{{ q }}, (step_sum_{{ q }}.x + step_sum_{{ q }}.y) + (step_sum_{{ q }}.z + step_sum_{{ q }}.w));
{%- endfor %}
{%- for d in range(row4) %}
{%- for q in range(queries) %}
            out_{{ q }}_{{ d }} *= fade_{{ q }};
{%- endfor %}
{%- for j in range(keys) %}
            let v_{{ d }}_{{ j }} = {{ attention.load("v", "v_base + row_" ~ j, d, config) }};
{%- for q in range(queries) %}
            out_{{ q }}_{{ d }} = fma(vec4<f32>(p_{{ q }}_{{ j // 4 }}[{{ j % 4 }}]), v_{{ d }}_{{ j }}, out_{{ q }}_{{ d }});
{%- endfor %}{% endfor %}
{%- endfor %}
        }
    }
{%- for q in range(queries) %}

    if (first_query + {{ q }}u * LANES + lane < params.q_len) {
        // The key with the highest score weighs 1: the sum is 0 only without keys.
        let empty = sum_{{ q }} == 0.0;
        let divisor = select(sum_{{ q }}, 1.0, empty);
        let at = head * params.q_len + query_{{ q }};
        let out_base = params.out_first + at * ROW;
{%- for d in range(row4) %}
        let result_{{ d }} = out_{{ q }}_{{ d }} / divisor;
        {{ attention.store("out_base", d, "result_" ~ d, config) }}
{%- endfor %}
        store_lse(params.lse_first + at, highest_{{ q }}, divisor, empty);
    }
{%- endfor %}
}
