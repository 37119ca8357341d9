{#- What pack.wgsl and pack_halves.wgsl share: their uniform struct, and where an invocation that turns a square of 4 tokens by 4 k works. -#}

{% macro params(tile_k) -%}
struct Params {
    first_group: u32,
    group_end: u32,
    k_tiles: u32,       // tiles of {{ tile_k }} k
    k_begin: u32,       // first k
    token_begin: u32,
    token_end: u32,
    k_in: u32,
    x_stride: u32,      // from one row of x to the next
    packed_rows: u32,   // rows written for each panel, those from k_in on are zero
    x_first: u32,       // element that the bound window of x starts with
}
{%- endmacro %}

{#- slot, k, token: the square's first, in the panels and in x. The squares of a workgroup lie `along_tokens` along tokens and the rest along k,
    so that both reads and writes of neighbours are neighbours. -#}
{% macro square(tile_tokens, tile_k, along_tokens) -%}
    let slot = group / params.k_tiles * {{ tile_tokens }}u + lane % {{ along_tokens }}u * 4u;
    let k = params.k_begin + group % params.k_tiles * {{ tile_k }}u + lane / {{ along_tokens }}u * 4u;
    let token = params.token_begin + slot;
{%- endmacro %}

{#- Where in the panels, in fours, the first line of the square is written. -#}
{% macro line() -%}
    ((slot / PANEL) * params.packed_rows + k) * (PANEL / 4u) + slot % PANEL / 4u
{%- endmacro %}
