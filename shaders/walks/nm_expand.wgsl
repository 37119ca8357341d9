{%- import "shared/strips.wgsl" as strips -%}
{%- import "shared/nm_expand.wgsl" as expand -%}
{#- N:M where the rows of a tile do not share one pattern: k runs over every column as in the dense walk, and each row's stored
    weights are put back in their places by selects. Saves weight bytes, not multiplications. -#}
{% macro bindings(storage, c) -%}
{{ expand.bindings(storage, c) }}
{%- endmacro %}

{% macro functions(c) -%}
{{ strips.alike() }}

{{ strips.every_k() }}

fn walk_row(strip: u32, row: u32) -> u32 { return strip * STRIP_ROWS + row; }

{{ expand.functions(c, "k_in") }}

fn walk_weights(row: u32, step: u32) -> vec4<f32> { return expand_four(row, step); }
{%- endmacro %}
