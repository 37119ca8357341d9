{%- import "shared/strips.wgsl" as strips -%}
{%- import "shared/nm_expand.wgsl" as expand -%}
{#- N:M weights stored as w [k_in, n_out], the pattern along n_out: a k keeps N of every M outputs, so no list of k has a fixed length.
    k runs over every row, and four neighbouring outputs are put back in their places by selects. Saves weight bytes, not multiplications. -#}
{% macro bindings(storage, c) -%}
{{ expand.bindings(storage, c) }}
{%- endmacro %}

{% macro functions(c) -%}
{{ strips.alike() }}

{{ strips.every_k() }}

fn walk_quad(strip: u32, quad: u32) -> u32 { return strip * STRIP_ROWS / 4u + quad; }

fn walk_place(strip: u32, step: u32) -> u32 { return 4u * step; }

{{ expand.functions(c, "n_out") }}

fn walk_outputs(quad: u32, place: u32, c: u32) -> vec4<f32> {
    let k = place + c;
{%- if c.whole_steps %}
    return expand_four(k, quad);
{%- else %}
    // What lies behind the last k may be anything: it must not meet the zero row of x.
    return select(vec4<f32>(0.0), expand_four(min(k, params.k_in - 1u), quad), k < params.k_in);
{%- endif %}
}
{%- endmacro %}
