{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/attention.wgsl" as attention -%}
// The output of queries whose keys were attended to in parts (block_attention_few.wgsl): with the highest score m_p, the sum s_p and the weighted
// values o_p of each part p, and m the highest of all, out = sum_p 2^(m_p - m) o_p / s, s = sum_p 2^(m_p - m) s_p, and lse = ln(2) (m + log2(s)).
// An invocation owns four dimensions of a query; parts are added in their order. D = {{ head_dim }}.

struct Params {
    first_group: u32,
    group_end: u32,
    rows: u32,          // queries of all heads of this slice
    parts: u32,
    tokens: u32,        // of a head, that this slice has
    first_token: u32,
    first_head: u32,    // counted through all items
    q_heads: u32,       // of an item
    q_len: u32,         // tokens of a head, by which parts and log-sum-exps are numbered
    out_first: u32,     // where the bound windows start: of out in units, of lse in elements
    lse_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{% if config.vectors -%}
{{ storage.vec4_reader(1, "sums", "f32") }}
{%- else -%}
{{ storage.scalar_reader(1, "sums", "f32") }}
{%- endif %}
// The highest score of a part, in powers of two, and the sum of its weights.
@group(0) @binding(2) var<storage, read> statistics: array<vec2<f32>>;
{{ storage.writer(3, "out", config.out, config.vectors) }}
@group(0) @binding(4) var<storage, read_write> lse: array<u32>;

const ROW = {{ config.row }}u;   // units of a row of D elements
const ROW4 = {{ row4 }}u;
// The score of a part without keys.
const UNSEEN = -3.0e38;
const LN_2 = 0.6931471805599453;

{{ grid.index() }}

{{ attention.row_reader("row_sums", "sums", config, true) }}

{{ attention.row_writer(config) }}

{{ attention.lse_writer() }}

@compute @workgroup_size({{ plain_lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group_index(group_id) * {{ plain_lanes }}u + lane;
    if (i >= params.rows * ROW4) { return; }
    let row = i / ROW4;
    let d = i % ROW4;
    let head = row / params.tokens;
    let token = params.first_token + row % params.tokens;
    let first = (head * params.q_len + token) * params.parts;

    var highest = UNSEEN;
    for (var part = first; part < first + params.parts; part++) { highest = max(highest, statistics[part].x); }
    var sum = 0.0;
    var result = vec4<f32>(0.0);
    for (var part = first; part < first + params.parts; part++) {
        let of_part = statistics[part];
        let weight = exp2(of_part.x - highest);
        sum = fma(weight, of_part.y, sum);
        result = fma(vec4<f32>(weight), row_sums(part * ROW, d), result);
    }
    // The part with the highest score weighs 1, and so does its key: the sum is 0 only without keys.
    let empty = sum == 0.0;
    let divisor = select(sum, 1.0, empty);
    let head_of_all = params.first_head + head;
{%- if config.q_heads %}
    let out_row = (head_of_all / params.q_heads * params.q_len + token) * params.q_heads + head_of_all % params.q_heads;
{%- else %}
    let out_row = head_of_all * params.q_len + token;
{%- endif %}
    store_row(out_row * ROW - params.out_first, d, result / divisor);
    if (d == 0u) { store_lse(head_of_all * params.q_len + token - params.lse_first, highest, divisor, empty); }
}
