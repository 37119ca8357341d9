{%- import "shared/strips.wgsl" as strips -%}
{#- Dense weights stored as w [k_in, n_out]: the identity as in the dense walk, but neighbours in memory are four outputs of one k. -#}
{% macro bindings(storage, c) -%}
{% if c.vector_weights -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
{%- else -%}
{{ storage.scalar_reader(3, "w", c.weight) }}
{%- endif %}
{%- endmacro %}

{% macro functions(c) -%}
{{ strips.alike() }}

{{ strips.every_k() }}

fn walk_quad(strip: u32, quad: u32) -> u32 { return strip * STRIP_ROWS / 4u + quad; }

fn walk_place(strip: u32, step: u32) -> u32 { return 4u * step; }

fn walk_outputs(quad: u32, place: u32, c: u32) -> vec4<f32> {
    let k = place + c;
{%- if c.whole_steps %}
    return walk_four(quad, k);
{%- else %}
    // What lies behind the last k may be anything: it must not meet the zero row of x.
    return select(vec4<f32>(0.0), walk_four(quad, min(k, params.k_in - 1u)), k < params.k_in);
{%- endif %}
}

fn walk_four(quad: u32, k: u32) -> vec4<f32> {
{%- if c.vector_weights %}
    return load4_w(k * params.weight_stride + quad - params.w_first);
{%- else %}
    let first = 4u * quad;
    let row = k * params.n_out - params.w_first;
    let last = params.n_out - 1u;
    return vec4<f32>(load_w(row + first), load_w(row + min(first + 1u, last)), load_w(row + min(first + 2u, last)), load_w(row + min(first + 3u, last)));
{%- endif %}
}
{%- endmacro %}
