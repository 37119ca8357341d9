{%- import "shared/storage.wgsl" as storage -%}
{%- import "shared/grid.wgsl" as grid -%}
{%- import "shared/register_tile.wgsl" as registers -%}
{%- import "shared/xattention_groups.wgsl" as groups -%}
// For every query group i and key block J: m = max_j A[i, j], l = sum_j exp(A[i, j] - m) over the key groups j of J that i may look at,
// A[i, j] = scale / n * sum_s <q[i * stride + stride-1-s], k[j * stride + s]>, the mean of the scaled logits of one antidiagonal{% if exact %},
// n its pairs of real tokens{% else %}, n = stride{% endif %}. A itself is never stored; xattention_reduce.wgsl makes block scores of m and l.
//
// A is the matmul of matmul.wgsl with one long k: rows are key groups (stride * head_dim contiguous floats, the same for all invocations
// of a workgroup: scalar loads), columns are query groups, packed in panels of {{ panel }} (xattention_pack.wgsl). A workgroup owns one panel and
// {{ unit_blocks }} key block(s) of {{ groups_per_block }} groups, {{ rows }} rows at a time. An invocation owns those rows times {{ 4 * vectors }} query groups in registers:
// a step of four k has {{ 16 * rows * vectors }} fused multiply-adds for {{ rows }} scalar and {{ 4 * vectors }} vector loads, all vec4. Key blocks that no query group
// of the panel may look at are skipped.
// Source of the idea: Xu et al., XAttention, arXiv 2503.16428; keeping (m, l) instead of A is that of online softmax.

struct Params {
    first_group: u32,
    group_end: u32,          // one past the last workgroup of this dispatch
    units: u32,              // key units of this slice, of {{ unit_blocks }} block(s) each
    first_unit: u32,
    panels: u32,             // of one head in this strip of query groups
    first_query_group: u32,  // of this strip
    query_group_end: u32,    // one past its last that has a query
    heads_per_key_head: u32,
    first_shared: u32,       // number of the first query head among those of its key head
    steps: u32,              // k of a group, in fours
    first_key_group: u32,    // the first whose row is bound
    key_group_end: u32,      // one past the last that has a key and whose row is bound
    real_key_groups: u32,    // key groups from here on are padding, and zero
    key_lead: u32,           // where the bound rows of the first key head start, in vec4s
    key_head_stride: u32,    // from one key head to the next, in vec4s
    blocks: u32,             // key blocks of a head
    scale_bits: u32,         // softmax scale / norm, an f32
    q_len: u32,
    k_len: u32,
    stride: u32,
    k_groups: u32,
    group_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
{{ storage.f32x4_reader(1, "packed_queries") }}
{{ storage.f32x4_reader(2, "key_rows") }}
// [head][key block][quad of query groups][m, l], each of the last a vec4 of four query groups.
{{ storage.f32x4_writer(3, "maxima_and_sums") }}

const LANES = {{ lanes }}u;
const PANEL = {{ panel }}u;
const PANEL4 = {{ panel // 4 }}u;
const ROWS = {{ rows }}u;
const BLOCK_GROUPS = {{ groups_per_block }}u;
const UNIT_BLOCKS = {{ unit_blocks }}u;

{{ grid.index() }}

{{ groups.constants() }}

{{ groups.allowed(exact, causal) }}

fn exp_below4(difference: vec4<f32>) -> vec4<f32> { return exp(max(difference, vec4<f32>(-100.0))); }

@compute @workgroup_size({{ lanes }}, 1, 1)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = group_index(group_id);
    if (group >= params.group_end) { return; }
    let unit = params.first_unit + group % params.units;
    let head = group / params.units / params.panels;
    // Panels that may look at many key groups and at few take turns: some drivers give each thread its share of the workgroups beforehand,
    // others would be left with the longest at the end.
    let turn = group / params.units % params.panels;
    let panel_of_head = select(params.panels - 1u - turn / 2u, turn / 2u, turn % 2u == 1u);
    let panel = head * params.panels + panel_of_head;
    let panel_begin = params.first_query_group + panel_of_head * PANEL;
    let first_block = unit * UNIT_BLOCKS;
    let first_key = first_block * BLOCK_GROUPS;
    let last_query = min(panel_begin + PANEL, params.query_group_end) - 1u;
    if (first_key >= allowed_key_groups(last_query)) { return; }

    let key_head = (params.first_shared + head) / params.heads_per_key_head;
    let key_base = params.key_lead + key_head * params.key_head_stride;
    let panel_base = panel * params.steps * PANEL + lane;
    let scale = bitcast<f32>(params.scale_bits);
{%- for v in range(vectors) %}
    let query_{{ v }} = panel_begin + {{ v }}u * LANES * 4u + 4u * lane;
    let allowed_{{ v }} = vec4<u32>(
        allowed_key_groups(query_{{ v }}), allowed_key_groups(query_{{ v }} + 1u),
        allowed_key_groups(query_{{ v }} + 2u), allowed_key_groups(query_{{ v }} + 3u));
{%- if exact %}
    // Real queries of each group; negative past the end.
    let queries_{{ v }} = min(
        vec4<i32>(i32(params.q_len)) - vec4<i32>((query_{{ v }} + vec4<u32>(0u, 1u, 2u, 3u)) * params.stride),
        vec4<i32>(i32(params.stride)));
{%- endif %}
{%- for b in range(unit_blocks) %}
    var m_{{ b }}_{{ v }} = vec4<f32>(LOWEST);
    var l_{{ b }}_{{ v }} = vec4<f32>(0.0);
{%- endfor %}{% endfor %}

    for (var tile = 0u; tile < {{ tiles }}u; tile++) {
        let tile_key = first_key + tile * ROWS;
{%- for r in range(rows) %}
        let row_{{ r }} = key_base + (min(tile_key + {{ r }}u, params.key_group_end - 1u) - params.first_key_group) * params.steps;
{%- endfor %}
{{ registers.accumulators(rows, vectors) }}
        // Padding has products of zero: nothing to add.
        let steps = select(params.steps, 0u, tile_key >= params.real_key_groups);
        for (var step = 0u; step < steps; step++) {
            let k = panel_base + (4u * step + vec4<u32>(0u, 1u, 2u, 3u)) * PANEL4;
{%- for r in range(rows) %}
            let w_{{ r }} = load4_key_rows(row_{{ r }} + step);
{%- endfor %}
{{ registers.multiply_add(rows, vectors, lanes, "packed_queries") }}
        }
{%- for r in range(rows) %}
        let key_{{ r }} = tile_key + {{ r }}u;
{%- if exact %}
        let missing_{{ r }} = max(i32((key_{{ r }} + 1u) * params.stride) - i32(params.k_len), 0);
{%- endif %}
{%- for v in range(vectors) %}
{%- if exact %}
        let pairs_{{ r }}_{{ v }} = queries_{{ v }} - vec4<i32>(missing_{{ r }});
        let open_{{ r }}_{{ v }} = (vec4<u32>(key_{{ r }}) < allowed_{{ v }}) & (pairs_{{ r }}_{{ v }} > vec4<i32>(0))
{%- else %}
        let open_{{ r }}_{{ v }} = (vec4<u32>(key_{{ r }}) < allowed_{{ v }})
{%- endif %}
{%- if tiles * rows > unit_blocks * groups_per_block %} & vec4<bool>(key_{{ r }} < first_key + BLOCK_GROUPS){% endif %};
{%- if exact %}
        acc_{{ r }}_{{ v }} = acc_{{ r }}_{{ v }} * scale / vec4<f32>(max(pairs_{{ r }}_{{ v }}, vec4<i32>(1)));
{%- else %}
        acc_{{ r }}_{{ v }} = select(acc_{{ r }}_{{ v }} * scale / f32(params.stride), vec4<f32>(0.0), key_{{ r }} >= params.real_key_groups);
{%- endif %}
        acc_{{ r }}_{{ v }} = select(vec4<f32>(LOWEST), acc_{{ r }}_{{ v }}, open_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}
{%- for b in range(unit_blocks) %}
{%- set begin = b * groups_per_block if unit_blocks > 1 else 0 %}
{%- set end = begin + groups_per_block if unit_blocks > 1 else rows %}
{%- for v in range(vectors) %}
        {
            var top = m_{{ b }}_{{ v }};
{%- for r in range(begin, end) %}
            top = max(top, acc_{{ r }}_{{ v }});
{%- endfor %}
            var sum = l_{{ b }}_{{ v }} * exp_below4(m_{{ b }}_{{ v }} - top);
{%- for r in range(begin, end) %}
            sum += select(vec4<f32>(0.0), exp_below4(acc_{{ r }}_{{ v }} - top), open_{{ r }}_{{ v }});
{%- endfor %}
            m_{{ b }}_{{ v }} = top;
            l_{{ b }}_{{ v }} = sum;
        }
{%- endfor %}{% endfor %}
    }

    let quads = params.panels * PANEL4;
    let quad = panel_of_head * PANEL4 + lane;
{%- for b in range(unit_blocks) %}
    if (first_block + {{ b }}u < params.blocks) {
        let at_{{ b }} = (head * params.blocks + first_block + {{ b }}u) * quads + quad;
{%- for v in range(vectors) %}
        store4_maxima_and_sums(2u * (at_{{ b }} + {{ v }}u * LANES), m_{{ b }}_{{ v }});
        store4_maxima_and_sums(2u * (at_{{ b }} + {{ v }}u * LANES) + 1u, l_{{ b }}_{{ v }});
{%- endfor %}
    }
{%- endfor %}
}
