{#- The register tile of matmul.wgsl and xattention_score.wgsl: {{ rows }} rows of scalars that are the same for all invocations of a
    workgroup, times 4 * {{ vectors }} columns of a packed panel that belong to the invocation. -#}

{#- acc_R_V: the sums of row R and the columns of vector V. -#}
{% macro accumulators(rows, vectors) -%}
{%- for r in range(rows) %}{% for v in range(vectors) %}
    var acc_{{ r }}_{{ v }} = vec4<f32>(0.0);
{%- endfor %}{% endfor %}
{%- endmacro %}

{#- One step of four k: acc_R_V += w_R.c * panel row k.c. Wants `k: vec4<u32>`, where the four panel rows start for this lane, w_R: vec4<f32>,
    the array `panel_array` of vec4s and the constant LANES. -#}
{% macro multiply_add(rows, vectors, panel_array) -%}
{%- for c in ["x", "y", "z", "w"] %}{% for v in range(vectors) %}
        let x_{{ c }}_{{ v }} = {{ panel_array }}[k.{{ c }} + {{ v }}u * LANES];
{%- endfor %}
{%- for r in range(rows) %}{% for v in range(vectors) %}
        acc_{{ r }}_{{ v }} = fma(vec4<f32>(w_{{ r }}.{{ c }}), x_{{ c }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endfor %}
{%- endmacro %}
