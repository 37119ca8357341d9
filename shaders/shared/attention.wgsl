{#- What the attention kernels share: sizes, operands, the order of the work, causality, and how a row of D elements is read and written.
    `c` holds the numbers of the kernel. Rows of q, k, v and out are counted in units: vec4s where D is a multiple of 4, else elements. -#}

{% macro params() -%}
struct Params {
    first_group: u32,
    group_end: u32,        // one past the last workgroup of this dispatch
    heads: u32,            // query heads of this slice
    heads_together: u32,   // query heads whose workgroups are numbered together, heaviest first
    first_head: u32,       // number of the slice's first query head; heads are counted through all items
    q_heads: u32,          // query heads of an item
    heads_per_key_head: u32,
    q_len: u32,            // of packed items: of all together
    k_len: u32,
    k_capacity: u32,       // tokens that a head of k and v has room for
    q_tiles: u32,          // workgroups of a head
    scale_bits: u32,       // the bits of an f32: softmax scale * log2(e), or with a soft cap softmax scale / cap * 2 log2(e)
    cap_bits: u32,         // the bits of an f32: soft cap * log2(e)
    q_first: u32,          // where the bound windows start, in units (q, k, v, out: see above; lse: elements; mask: words)
    k_first: u32,
    v_first: u32,
    out_first: u32,
    lse_first: u32,
    mask_first: u32,
    query_blocks: u32,     // rows of a head's mask
    words_per_row: u32,    // of the mask
    list_first: u32,       // of the work list, where the slice's begins
    alternate: u32,        // 1: tiles of a head with many and with few keys take turns; 0: those with most keys come first
    parts: u32,            // that the keys of a query are divided into, each of a workgroup
}
{%- endmacro %}

{% macro bindings(storage, c) -%}
@group(0) @binding(0) var<uniform> params: Params;
{%- for operand in [["q", 1, c.q], ["k", 2, c.k], ["v", 3, c.v]] %}
{%- if c.vectors %}
{{ storage.vec4_reader(operand[1], operand[0], operand[2]) }}
{%- else %}
{{ storage.scalar_reader(operand[1], operand[0], operand[2]) }}
{%- endif %}
{%- endfor %}
{{ storage.writer(4, "out", c.out, c.vectors) }}
// f32 as words: minus infinity, which a row without keys has, can be written but not computed.
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;

const ROW = {{ c.row }}u;   // units of a row of D elements
const Q_STEP = {{ c.q_step }}u;   // from a token of q and out to the next
const K_STEP = {{ c.k_step }}u;   // from a token of k and v to the next
// What a key that must not be seen scores: finite, because infinities and NaN may be optimised away.
const UNSEEN = -3.0e38;
const LN_2 = 0.6931471805599453;
{%- endmacro %}

{#- Which queries a workgroup has, and which keys they see: what walks are made of. -#}
{% macro work(c) -%}
const BLOCK = {{ c.block }}u;    // tokens of a mask block

// The queries of a workgroup, and where their head begins in each operand, in units.
struct Work {
    head: u32,          // query head, counted through all items{% if c.heads > 1 %}; the first of {{ c.heads }}, whose queries are numbered one head after the other{% endif %}
    first_query: u32,
    q_len: u32,
    k_len: u32,
    q: u32,
    k: u32,
    v: u32,
    out: u32,
    lse: u32,
}

// How many keys there are up to where a query stands. Sequences end together.
fn keys_until(work: Work, query: u32) -> u32 {
    return min(max(query + 1u + work.k_len, work.q_len) - work.q_len, work.k_len);
}

// How many keys a query sees: those before this one.
fn keys_seen(work: Work, query: u32) -> u32 { return {{ "keys_until(work, query)" if c.causal else "work.k_len" }}; }
{%- endmacro %}

{#- Heads are numbered by those that a workgroup takes together. -#}
{% macro times_heads(c) -%}
{% if c.heads > 1 %} * {{ c.heads }}u{% endif %}
{%- endmacro %}

{#- Tiles of queries, numbered. -#}
{% macro computed_order(c) -%}
// (query head of the slice, tile of queries) of a workgroup. Heads go in batches of heads_together, whose keys and values fit a cache. In
// a batch the last tiles, which see most keys, start first, so that no long row is left for the end; where each thread of a driver takes
// its share of the workgroups beforehand, long and short rows take turns, so that every share holds as much work.
fn work_item(group: u32) -> vec2<u32> {
    let batch = group / (params.heads_together * params.q_tiles);
    let first_head = batch * params.heads_together;
    let heads = min(params.heads_together, params.heads - first_head);
    let place = group - first_head * params.q_tiles;
    let turn = place / heads;
    let longest_left = params.q_tiles - 1u - turn / (1u + params.alternate);
    return vec2<u32>(first_head + place % heads, select(longest_left, turn / 2u, params.alternate == 1u && turn % 2u == 1u));
}

fn work_of(group: u32) -> Work {
    let item = work_item(group);
    return work_at(params.first_head + item.x{{ times_heads(c) }}, item.y * TILE);
}
{%- endmacro %}

{#- Tiles of queries in the order in which a list has their rows of blocks. A last row that is not full has workgroups without queries. -#}
{% macro rows_order(c) -%}
// Rows of blocks, numbered through the heads of the slice.
@group(0) @binding(8) var<storage, read> work_list: array<u32>;

const TILES = BLOCK / TILE;    // of a row of blocks

fn work_of(group: u32) -> Work {
    let row = work_list[params.list_first + group / TILES];
    let tile = row % params.query_blocks * TILES + (TILES - 1u - group % TILES);
    return work_at(params.first_head + row / params.query_blocks, tile * TILE);
}
{%- endmacro %}

{#- Tiles of queries of packed items, from a list. -#}
{% macro items_order(c) -%}
struct Tile {
    item: u32,
    first_query: u32,
    q_start: u32,       // tokens of q before the item
    q_len: u32,
    k_start: u32,
    k_len: u32,
}
@group(0) @binding(8) var<storage, read> work_list: array<Tile>;

fn work_of(group: u32) -> Work {
    let tile = work_list[params.list_first + group / {{ c.q_heads // c.heads }}u];
    let head = group % {{ c.q_heads // c.heads }}u{{ times_heads(c) }};
    let row = (tile.q_start * {{ c.q_heads }}u + head) * ROW;
    let key_row = (tile.k_start * {{ c.kv_heads }}u + head / {{ c.q_heads // c.kv_heads }}u) * ROW;
    return Work(
        tile.item * {{ c.q_heads }}u + head, tile.first_query, tile.q_len, tile.k_len,
        row - params.q_first, key_row - params.k_first, key_row - params.v_first, row - params.out_first,
        head * params.q_len + tile.q_start - params.lse_first,
    );
}
{%- endmacro %}

{#- The work of a head, counted through all items, from a query on. -#}
{% macro work_at(c) -%}
fn work_at(head: u32, first_query: u32) -> Work {
{%- if c.q_heads %}
    let item = head / {{ c.q_heads }}u;
    let place = head % {{ c.q_heads }}u;
    let row = (item * params.q_len * {{ c.q_heads }}u + place) * ROW;
    let key_row = (item * params.k_capacity * {{ c.kv_heads }}u + place / {{ c.q_heads // c.kv_heads }}u) * ROW;
{%- else %}
    let row = head * params.q_len * ROW;
    let key_row = head / params.heads_per_key_head * params.k_capacity * ROW;
{%- endif %}
    return Work(
        head, first_query, params.q_len, params.k_len,
        row - params.q_first, key_row - params.k_first, key_row - params.v_first, row - params.out_first,
        head * params.q_len - params.lse_first,
    );
}
{%- endmacro %}

{% macro functions(c) -%}
{{ work(c) }}
{% if c.order == "items" %}
{{ items_order(c) }}
{%- else %}
{{ work_at(c) }}

{{ rows_order(c) if c.order == "rows" else computed_order(c) }}
{%- endif %}
{%- if c.soft_cap %}

// Scores under a soft cap, in powers of two: cap * tanh(z / cap), of r = 2 log2(e) z / cap. exp2 of a negative number cannot overflow; where
// 1 - e would cancel, a series takes its place (its error and where it ends: docs/NUMERICS.md, block attention).
fn capped(r: vec4<f32>) -> vec4<f32> {
    let a = min(abs(r), vec4<f32>(64.0));
    let e = exp2(-a);
    let square = a * a;
    let series = a * fma(fma(fma(vec4<f32>(-3.2412059e-5), square, vec4<f32>(6.6667791e-4)), square, vec4<f32>(-1.3876027e-2)), square, vec4<f32>(0.34657359));
    let tanh_a = select((1.0 - e) / (1.0 + e), series, a < vec4<f32>(0.35));
    return sign(r) * (bitcast<f32>(params.cap_bits) * tanh_a);
}
{%- endif %}

{{ lse_writer() }}
{%- endmacro %}

{% macro lse_writer() -%}
// Writes the natural logarithm of the sum of exp(score): max and sum are in powers of two.
fn store_lse(at: u32, highest: f32, sum: f32, empty: bool) {
    lse[at] = select(bitcast<u32>((highest + log2(sum)) * LN_2), 0xff800000u, empty);
}
{%- endmacro %}

{#- Elements 4d .. 4d+3 of the row of `name` that starts at `base`, zero past the end of the row. -#}
{% macro load(name, base, d, c) -%}
{%- if c.vectors -%}
load4_{{ name }}({{ base }} + {{ d }}u)
{%- else -%}
vec4<f32>({% for i in range(4 * d, 4 * d + 4) %}{% if i < c.head_dim %}load_{{ name }}({{ base }} + {{ i }}u){% else %}0.0{% endif %}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endif -%}
{%- endmacro %}

{#- Writes elements 4d .. 4d+3 of the row of out that starts at `base`. -#}
{% macro store(base, d, value, c) -%}
{%- if c.out == "f32" and c.vectors -%}
store4_out({{ base }} + {{ d }}u, {{ value }});
{%- elif c.out == "f32" -%}
{%- for i in range(4 * d, [4 * d + 4, c.head_dim] | min) %}
store_out({{ base }} + {{ i }}u, {{ value }}[{{ i % 4 }}]);
{%- endfor -%}
{%- else -%}
{%- for i in range(4 * d, [4 * d + 4, c.head_dim] | min, 2) %}
store2_out(({{ base }}{{ " * 4u" if c.vectors else "" }} + {{ i }}u) / 2u, {{ value }}.{{ "xy" if i % 4 == 0 else "zw" }});
{%- endfor -%}
{%- endif -%}
{%- endmacro %}

{#- The same with a `d` that is not known before it runs. row_q, row_k: zeros past the end of the row, untested where pieces fit it evenly;
    row_v: inside of the row; tail_v: perhaps past its end, where zeros are read. -#}
{% macro row_functions(c, even_pieces) -%}
{{ row_reader("row_q", "q", c, even_pieces) }}
{{ row_reader("row_k", "k", c, even_pieces) }}
{{ row_reader("row_v", "v", c, true) }}
{{ row_reader("tail_v", "v", c, false) }}

{{ row_writer(c) }}
{%- endmacro %}

{#- store_row writes inside of the row of out, store_tail perhaps past its end, where nothing is written. -#}
{% macro row_writer(c) -%}
fn store_row(base: u32, d: u32, value: vec4<f32>) {
{%- if c.out == "f32" and c.vectors %}
    store4_out(base + d, value);
{%- elif c.vectors %}
    store2_out((base + d) * 2u, value.xy);
    store2_out((base + d) * 2u + 1u, value.zw);
{%- elif c.out == "f32" %}
{%- for i in range(4) %}
    if (4u * d + {{ i }}u < ROW) { store_out(base + 4u * d + {{ i }}u, value[{{ i }}]); }
{%- endfor %}
{%- else %}
    if (4u * d < ROW) { store2_out((base + 4u * d) / 2u, value.xy); }
    if (4u * d + 2u < ROW) { store2_out((base + 4u * d + 2u) / 2u, value.zw); }
{%- endif %}
}

fn store_tail(base: u32, d: u32, value: vec4<f32>) {
    if (d < {{ (c.head_dim + 3) // 4 }}u) { store_row(base, d, value); }
}
{%- endmacro %}

{#- Rows that do not start at multiples of four are tested element by element in any case. -#}
{% macro row_reader(function, name, c, inside) -%}
{%- if c.vectors and inside %}
fn {{ function }}(base: u32, d: u32) -> vec4<f32> { return load4_{{ name }}(base + d); }
{%- elif c.vectors %}
fn {{ function }}(base: u32, d: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), load4_{{ name }}(base + min(d, ROW - 1u)), d < ROW);
}
{%- else %}
fn {{ function }}(base: u32, d: u32) -> vec4<f32> {
    return vec4<f32>({% for i in range(4) %}{{ function }}_element(base, 4u * d + {{ i }}u){% if not loop.last %}, {% endif %}{% endfor %});
}
fn {{ function }}_element(base: u32, i: u32) -> f32 { return select(0.0, load_{{ name }}(base + min(i, ROW - 1u)), i < ROW); }
{%- endif %}
{%- endmacro %}
