{#- The uniform struct of matmul.wgsl and matvec.wgsl. -#}
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
