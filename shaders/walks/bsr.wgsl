{#- Block rows: a strip is a block row, its steps run over its stored blocks one after the other, BC4 steps of 4 columns each.
    Steps are numbered through the whole matrix, so the strip's range comes straight from indptr. -#}
{% macro bindings(storage, c) -%}
{% if c.native -%}
{{ storage.native_half_reader(3, "w", c.vector_weights) }}
{%- else -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
{%- endif %}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
@group(0) @binding(5) var<storage, read> indptr: array<u32>;
@group(0) @binding(8) var<storage, read> order: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
const BC4 = {{ c.bc4 }}u;

// Long and short strips in an order that suits the device.
fn walk_strip(number: u32) -> u32 { return order[params.order_first + number]; }

fn walk_steps(strip: u32) -> vec2<u32> { return vec2<u32>(indptr[strip], indptr[strip + 1u]) * BC4; }

fn walk_list(strip: u32) -> u32 { return 0u - params.indices_first; }

fn walk_word(list: u32, step: u32) -> u32 { return indices[list + step / BC4]; }

fn walk_x(x: u32, word: u32, step: u32) -> vec4<u32> {
    let column = 4u * (step % BC4);
    let four = x_of_four(x + column * X_STRIDE + word * ({{ c.bc }}u * X_STRIDE));
{%- if c.bc % 4 == 0 %}
    return four;
{%- else %}
    // The padding of a block whose width is not a multiple of 4 must not meet a real x: it gets a zero row after the last k.
    let zero = vec4<u32>(x + params.zero_row * X_STRIDE);
    return select(zero, four, column + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>({{ c.bc }}u));
{%- endif %}
}

fn walk_row(strip: u32, row: u32) -> u32 { return row * BC4 - params.w_first; }

{% if c.for_gpus -%}
// One addition a row: the rest is the same for all rows. Compilers for GPUs do not find that themselves; llvmpipe's is faster without.
fn walk_at(row: u32, step: u32) -> u32 { return row + ((step / BC4) * (STRIP_ROWS * BC4) + step % BC4); }
{%- else -%}
fn walk_at(row: u32, step: u32) -> u32 { return row + (step / BC4) * (STRIP_ROWS * BC4) + step % BC4; }
{%- endif %}
{%- if not c.native %}

fn walk_weights(row: u32, step: u32) -> vec4<f32> { return load4_w(walk_at(row, step)); }
{%- endif %}
{%- endmacro %}
