{#- What matmul.wgsl and matvec.wgsl share: their uniform struct, and which rows of w a workgroup owns. -#}
{% macro params() -%}
struct Params {
    first_group: u32,     // of this dispatch, in the grid of row tiles x panels
    group_end: u32,       // one past the last workgroup of this dispatch
    row_tiles: u32,       // of this slice
    first_strip: u32,     // of this slice
    token_begin: u32,     // first token of the packed chunk
    token_end: u32,       // one past its last
    n_out: u32,           // rows of w = columns of y
    k_in: u32,            // columns of w and x
    packed_rows: u32,     // rows of one panel of the packed x: k_in and zero rows after it
    zero_row: u32,        // one of those
    steps: u32,           // of a strip, where all are alike
    weight_stride: u32,   // from one row of w to the next, in units of four elements (one element: unaligned dense rows)
    words_per_strip: u32, // of packed indices
    w_first: u32,         // where the bound windows start, in units of their elements
    indices_first: u32,
    y_first: u32,
}
{%- endmacro %}

{#- The rows of the workgroup's tile, numbered through the slice: row_begin .. row_end of y, and row_R where the walk finds each of them.
    Rows past the end of the strip are the last one again: computed twice, not stored. -#}
{% macro rows(tile, rows) -%}
    let strip = params.first_strip + {{ tile }} / TILES_PER_STRIP;
    let tile_row = ({{ tile }} % TILES_PER_STRIP) * ROWS;
    let row_begin = strip * STRIP_ROWS + tile_row;
    let row_end = min(min(row_begin + ROWS, (strip + 1u) * STRIP_ROWS), params.n_out);
    let last_row = row_end - 1u - strip * STRIP_ROWS;
{%- for r in range(rows) %}
    let row_{{ r }} = walk_row(strip, min(tile_row + {{ r }}u, last_row));
{%- endfor %}
{%- endmacro %}
