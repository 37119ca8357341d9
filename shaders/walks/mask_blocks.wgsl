{#- Sparse attention: the set bits of a row of the block mask, ascending. Bit j % 32 of word j / 32 of a row says whether key block j is
    attended to; bits past the last block are zero or not looked at. -#}
{% macro bindings(binding) -%}
@group(0) @binding({{ binding }}) var<storage, read> mask: array<u32>;
{%- endmacro %}

{% macro functions() -%}
// Where the row of a query head and a block of its queries starts, in words.
fn walk_row(head: u32, query_block: u32) -> u32 {
    return params.mask_first + (head * params.query_blocks + query_block) * params.words_per_row;
}

// The first selected key block from `block` on; end, or anything after it, where there is none before end.
fn walk_next(row: u32, block: u32, end: u32) -> u32 {
    var next = block;
    while (next < end) {
        let bits = mask[row + next / 32u] >> (next % 32u);
        if (bits != 0u) { return next + firstTrailingBit(bits); }
        next = (next / 32u + 1u) * 32u;
    }
    return end;
}
{%- endmacro %}
