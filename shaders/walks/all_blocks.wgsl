{#- Dense attention: the identity over key blocks. No index is read. -#}
{% macro bindings(binding) -%}
{%- endmacro %}

{% macro functions(c) -%}
fn walk_row(work: Work) -> u32 { return 0u; }

fn walk_next(row: u32, block: u32, end: u32) -> u32 { return block; }
{%- endmacro %}
