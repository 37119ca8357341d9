{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
{%- import "walks/" ~ walk ~ ".wgsl" as walker -%}
// What block_attention.wgsl computes, for processors with few registers an invocation: nothing is held whole. D = {{ head_dim }}, walk {{ walk }}.
//
// A workgroup owns {{ queries }} neighbouring queries of one head and goes over {{ keys }} keys at a time. {{ split }} invocations share
// each group of four queries. Scores: an invocation computes 4 queries x 4 keys from pieces of {{ piece }} dimensions of q and k that are staged,
// transposed, in workgroup memory: 16 multiply-adds for two vec4 loads. Weights go through workgroup memory. Output: an invocation owns
// 4 queries x every {{ split }}th vec4 of the dimensions, in registers ({{ 16 * outs }}); neighbouring invocations read neighbouring vec4s of v.
// (Online softmax over tiles: Dao et al., FlashAttention-2, arXiv 2307.08691.)

{{ attention.params() }}

{{ attention.bindings(storage, config) }}
{{ walker.bindings(6) }}

const LANES = {{ lanes }}u;
const TILE = {{ queries }}u;
const KEYS = {{ keys }}u;
const SPLIT = {{ split }}u;
const GROUPS = {{ queries // 4 }}u;      // of four queries
const PIECE4 = {{ piece // 4 }}u;
const ROW4 = {{ row4 }}u;

{{ grid.index() }}

{{ attention.functions(config) }}

{{ walker.functions(config) }}

{{ attention.row_functions(config, row4 % (piece // 4) == 0) }}

// Arrays of arrays: an index that is not a constant is checked each time it is used, so here only `mine`, `part` and their like are, which
// never change and so are checked once; the constants go into the addresses of the instructions.
// staged_q[d / 4][d % 4][group]: dimension d of four queries; staged_k: of four keys.
var<workgroup> staged_q: array<array<array<vec4<f32>, {{ queries // 4 }}>, 4>, {{ piece // 4 }}>;
var<workgroup> staged_k: array<array<array<vec4<f32>, {{ split }}>, 4>, {{ piece // 4 }}>;
// weights[key / 4][key % 4][group], of four queries.
var<workgroup> weights: array<array<array<vec4<f32>, {{ queries // 4 }}>, 4>, {{ split }}>;
// partial[part][group]: maxima, and in the end sums, of four queries over the keys of an invocation.
var<workgroup> partial: array<array<vec4<f32>, {{ queries // 4 }}>, {{ split }}>;

fn highest_of(score: vec4<f32>) -> f32 { return max(max(score.x, score.y), max(score.z, score.w)); }

fn sum_of(p: vec4<f32>) -> f32 { return (p.x + p.y) + (p.z + p.w); }

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let work = work_of(group);
{%- if config.order == "rows" %}
    if (work.first_query >= work.q_len) { return; }
{%- endif %}
    let first_query = work.first_query;
    let q_base = work.q;
    let k_base = work.k;
    let v_base = work.v;
    let scale = bitcast<f32>(params.scale_bits);
    let last_query = work.q_len - 1u;

    // Keys that the first query of the workgroup sees are seen by all of them, those from keys_end on by none.
    let seen_by_all = keys_seen(work, first_query);
    let keys_end = keys_seen(work, min(first_query + TILE - 1u, last_query));
    let last_key = max(keys_end, 1u) - 1u;

    let mine = lane / SPLIT;     // group of four queries
    let part = lane % SPLIT;     // of the keys and of the dimensions
    let query = first_query + 4u * mine;
{%- for i in range(4) %}
{%- for n in range(outs) %}
    var out_{{ i }}_{{ n }} = vec4<f32>(0.0);
{%- endfor %}
{%- endfor %}
    var highest = vec4<f32>(UNSEEN);
    var sum = vec4<f32>(0.0);

    let blocks_end = (keys_end + BLOCK - 1u) / BLOCK;
    let row = walk_row(work);
    for (var block = walk_next(row, 0u, blocks_end); block < blocks_end; block = walk_next(row, block + 1u, blocks_end)) {
        let block_end = min((block + 1u) * BLOCK, keys_end);
        for (var key = block * BLOCK; key < block_end; key += KEYS) {
            // Scores of my four queries with my four keys, in powers of two.
{%- for i in range(4) %}
            var score_{{ i }} = vec4<f32>(0.0);
{%- endfor %}
            for (var d = 0u; d < ROW4; d += PIECE4) {
                workgroupBarrier();
{%- for round in range(q_rounds) %}
                if (lane + {{ round * lanes }}u < GROUPS * PIECE4) {
                    let task = lane + {{ round * lanes }}u;
                    let at = task / PIECE4;
                    let d4 = task % PIECE4;
{%- for i in range(4) %}
                    let x_{{ i }} = scale * row_q(q_base + min(first_query + 4u * at + {{ i }}u, last_query) * Q_STEP, d + d4);
{%- endfor %}
{%- for c in ["x", "y", "z", "w"] %}
                    staged_q[d4][{{ loop.index0 }}][at] = vec4<f32>(x_0.{{ c }}, x_1.{{ c }}, x_2.{{ c }}, x_3.{{ c }});
{%- endfor %}
                }
{%- endfor %}
{#- Invocations that stage no q stage k, where there are enough: both at the same time then. #}
{%- set k_lane = queries * piece // 16 if (queries + 4 * split) * piece // 16 <= lanes else 0 %}
{%- for round in range(k_rounds) %}
                if ({% if k_lane > 0 %}lane >= {{ k_lane }}u && {% endif %}lane + {{ round * lanes }}u < {{ k_lane }}u + SPLIT * PIECE4) {
                    let task = lane + {{ round * lanes }}u - {{ k_lane }}u;
                    let at = task / PIECE4;
                    let d4 = task % PIECE4;
{%- for i in range(4) %}
                    let x_{{ i }} = row_k(k_base + min(key + 4u * at + {{ i }}u, last_key) * K_STEP, d + d4);
{%- endfor %}
{%- for c in ["x", "y", "z", "w"] %}
                    staged_k[d4][{{ loop.index0 }}][at] = vec4<f32>(x_0.{{ c }}, x_1.{{ c }}, x_2.{{ c }}, x_3.{{ c }});
{%- endfor %}
                }
{%- endfor %}
                workgroupBarrier();
{%- for d in range(piece) %}
                {
                    let q = staged_q[{{ d // 4 }}][{{ d % 4 }}][mine];
                    let k = staged_k[{{ d // 4 }}][{{ d % 4 }}][part];
{%- for i in range(4) %}
                    score_{{ i }} = fma(vec4<f32>(q[{{ i }}]), k, score_{{ i }});
{%- endfor %}
                }
{%- endfor %}
            }

{%- if config.soft_cap %}
{%- for i in range(4) %}
            score_{{ i }} = capped(score_{{ i }});
{%- endfor %}
{%- endif %}

            let all_seen = key + KEYS <= seen_by_all;
            let keys = key + 4u * part + vec4<u32>(0u, 1u, 2u, 3u);
            if (!all_seen) {
{%- for i in range(4) %}
                score_{{ i }} = select(vec4<f32>(UNSEEN), score_{{ i }}, keys < vec4<u32>(keys_seen(work, min(query + {{ i }}u, last_query))));
{%- endfor %}
            }
            partial[part][mine] = vec4<f32>(highest_of(score_0), highest_of(score_1), highest_of(score_2), highest_of(score_3));
            workgroupBarrier();
            var new_highest = highest;
{%- for s in range(split) %}
            new_highest = max(new_highest, partial[{{ s }}][mine]);
{%- endfor %}
            let fade = exp2(highest - new_highest);
            highest = new_highest;
{%- for i in range(4) %}
            var p_{{ i }} = exp2(score_{{ i }} - vec4<f32>(highest[{{ i }}]));
{%- endfor %}
            if (!all_seen) {
                // Where no key has been seen yet, an unseen one scores as high as the highest: it must weigh nothing all the same.
{%- for i in range(4) %}
                p_{{ i }} = select(vec4<f32>(0.0), p_{{ i }}, keys < vec4<u32>(keys_seen(work, min(query + {{ i }}u, last_query))));
{%- endfor %}
            }
            sum = fma(sum, fade, vec4<f32>(sum_of(p_0), sum_of(p_1), sum_of(p_2), sum_of(p_3)));
{%- for c in ["x", "y", "z", "w"] %}
            weights[part][{{ loop.index0 }}][mine] = vec4<f32>(p_0.{{ c }}, p_1.{{ c }}, p_2.{{ c }}, p_3.{{ c }});
{%- endfor %}
            workgroupBarrier();

{%- for i in range(4) %}{% for n in range(outs) %}
            out_{{ i }}_{{ n }} *= fade[{{ i }}];
{%- endfor %}{% endfor %}
            // Keys of the step that nobody sees weigh 0; the row that stands for theirs is one that somebody sees.
            for (var four = 0u; four < SPLIT; four++) {
{%- for c in range(4) %}
                {
                    let p = weights[four][{{ c }}][mine];
                    let v_row = v_base + min(key + 4u * four + {{ c }}u, last_key) * K_STEP;
{%- for n in range(outs) %}
                    let v_{{ n }} = {{ "row_v" if (n + 1) * split <= row4 else "tail_v" }}(v_row, part + {{ n * split }}u);
{%- for i in range(4) %}
                    out_{{ i }}_{{ n }} = fma(vec4<f32>(p[{{ i }}]), v_{{ n }}, out_{{ i }}_{{ n }});
{%- endfor %}
{%- endfor %}
                }
{%- endfor %}
            }
        }
    }

    workgroupBarrier();
    partial[part][mine] = sum;
    workgroupBarrier();
    var total = vec4<f32>(0.0);
{%- for s in range(split) %}
    total += partial[{{ s }}][mine];
{%- endfor %}
    // The key with the highest score weighs 1: the sum is 0 only without keys.
    let empty = total == vec4<f32>(0.0);
    let divisor = select(total, vec4<f32>(1.0), empty);
{%- for i in range(4) %}
    if (query + {{ i }}u < work.q_len) {
        let out_base = work.out + (query + {{ i }}u) * Q_STEP;
{%- for n in range(outs) %}
        {{ "store_row" if (n + 1) * split <= row4 else "store_tail" }}(out_base, part + {{ n * split }}u, out_{{ i }}_{{ n }} / divisor[{{ i }}]);
{%- endfor %}
        if (part == 0u) { store_lse(work.lse + query + {{ i }}u, highest[{{ i }}], divisor[{{ i }}], empty[{{ i }}]); }
    }
{%- endfor %}
}
