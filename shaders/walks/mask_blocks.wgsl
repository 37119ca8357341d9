{#- Sparse attention: the set bits of a row of the block mask, ascending. Bit j % 32 of word j / 32 of a row says whether key block j is
    attended to; bits past the last block are zero or not looked at. -#}
{% macro bindings(binding) -%}
@group(0) @binding({{ binding }}) var<storage, read> mask: array<u32>;
{%- endmacro %}

{#- `c.mask_group`: query heads that follow one head of the mask. Where a workgroup has several heads, all queries lie in block row 0. -#}
{% macro row_functions(c) -%}
// Where the row of a workgroup's queries starts, in words.
fn mask_row(work: Work) -> u32 {
    return (work.head{% if c.mask_group > 1 %} / {{ c.mask_group }}u{% endif %} * params.query_blocks{% if c.heads == 1 %} + work.first_query / BLOCK{% endif %}) * params.words_per_row - params.mask_first;
}

fn mask_next(row: u32, block: u32, end: u32) -> u32 {
    var next = block;
    while (next < end) {
        let bits = mask[row + next / 32u] >> (next % 32u);
        if (bits != 0u) { return next + firstTrailingBit(bits); }
        next = (next / 32u + 1u) * 32u;
    }
    return end;
}
{%- endmacro %}

{% macro functions(c) -%}
{{ row_functions(c) }}

fn walk_row(work: Work) -> u32 { return mask_row(work); }

// The first selected key block from `block` on; end, or anything after it, where there is none before end.
fn walk_next(row: u32, block: u32, end: u32) -> u32 { return mask_next(row, block, end); }
{%- endmacro %}
