{#- Grids of any size in dispatches of legal size: the host folds a grid at 65535 workgroups per row and cuts long ones into chunks. -#}
{% macro index() -%}
// The number of this workgroup in the whole grid, or anything from group_end on where the fold overshoots.
fn group_index(id: vec3<u32>) -> u32 { return params.first_group + id.x + id.y * 65535u; }
{%- endmacro %}
