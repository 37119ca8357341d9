{#- Block columns of w [k_in, n_out], whose values stay where the block rows have them: a strip is a block column, and a list of its own says
    block row and place of each of its blocks. A block has BR4 steps of 4 rows; neighbours in memory are four outputs of one k. -#}
{% macro bindings(storage, c) -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> indptr: array<u32>;
@group(0) @binding(8) var<storage, read> order: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const BR4 = {{ c.br4 }}u;
const BC4 = {{ c.bc4 }}u;

// Long and short strips in an order that suits the device.
fn walk_strip(number: u32) -> u32 { return order[params.order_first + number]; }

fn walk_steps(strip: u32) -> vec2<u32> { return vec2<u32>(indptr[strip], indptr[strip + 1u]) * BR4; }

fn walk_list(strip: u32) -> u32 { return 0u - params.indices_first; }

fn walk_word(list: u32, step: u32) -> u32 { return indices[list + step / BR4].x; }

fn walk_x(x: u32, word: u32, step: u32) -> vec4<u32> {
    let row = 4u * (step % BR4);
    let four = x_of_four(x + row * X_STRIDE + word * ({{ c.br }}u * X_STRIDE));
{%- if c.br % 4 == 0 %}
    return four;
{%- else %}
    let zero = vec4<u32>(x + params.zero_row * X_STRIDE);
    return select(zero, four, row + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>({{ c.br }}u));
{%- endif %}
}

fn walk_quad(strip: u32, quad: u32) -> u32 { return quad; }

// Where the first of the step's rows lies, and which row of its block it is.
fn walk_place(strip: u32, step: u32) -> vec2<u32> {
    let row = 4u * (step % BR4);
    return vec2<u32>((indices[step / BR4 - params.indices_first].y * {{ c.br }}u + row) * BC4 - params.w_first, row);
}

fn walk_outputs(quad: u32, place: vec2<u32>, c: u32) -> vec4<f32> {
{%- if c.br % 4 == 0 %}
    return load4_w(place.x + c * BC4 + quad);
{%- else %}
    // Behind the block's last row comes another block: it must not meet the zero row of x.
    let exists = place.y + c < {{ c.br }}u;
    return select(vec4<f32>(0.0), load4_w(place.x + select(0u, c, exists) * BC4 + quad), exists);
{%- endif %}
}
{%- endmacro %}
