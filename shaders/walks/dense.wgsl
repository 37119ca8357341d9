{%- import "shared/strips.wgsl" as strips -%}
{#- The identity: step s holds the weights of k = 4s .. 4s+3. The weights are w [n_out, k_in] row-major, as the caller keeps them. -#}
{% macro bindings(storage, c) -%}
{% if c.native -%}
{{ storage.native_half_reader(3, "w", c.vector_weights) }}
{%- elif c.vector_weights -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
{%- else -%}
{{ storage.scalar_reader(3, "w", c.weight) }}
{%- endif %}
{%- endmacro %}

{% macro functions(c) -%}
{{ strips.alike() }}

{{ strips.every_k() }}

fn walk_row(strip: u32, row: u32) -> u32 { return (strip * STRIP_ROWS + row) * params.weight_stride - params.w_first; }

{% if c.vector_weights -%}
fn walk_at(row: u32, step: u32) -> u32 { return row + step; }
{%- else -%}
fn walk_at(row: u32, step: u32) -> u32 { return row + 4u * step; }
{%- endif %}

{% if c.native -%}
{%- elif c.vector_weights -%}
fn walk_weights(row: u32, step: u32) -> vec4<f32> { return load4_w(walk_at(row, step)); }
{%- else -%}
// Rows of any length: four separate elements, those past the end of the row are zero.
fn walk_weight(row: u32, k: u32) -> f32 {
    return select(0.0, load_w(row + min(k, params.k_in - 1u)), k < params.k_in);
}
fn walk_weights(row: u32, step: u32) -> vec4<f32> {
    let k = 4u * step;
    return vec4<f32>(walk_weight(row, k), walk_weight(row, k + 1u), walk_weight(row, k + 2u), walk_weight(row, k + 3u));
}
{%- endif %}
{%- endmacro %}
