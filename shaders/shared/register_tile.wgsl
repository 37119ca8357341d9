{#- The register tile of matmul.wgsl and xattention_score.wgsl: {{ rows }} rows of scalars that are the same for all invocations of a
    workgroup, times 4 * {{ vectors }} columns of a packed panel that belong to the invocation. -#}

{#- acc_R_V: the sums of row R and the columns of vector V. -#}
{% macro accumulators(rows, vectors) -%}
{%- for r in range(rows) %}{% for v in range(vectors) %}
    var acc_{{ r }}_{{ v }} = vec4<f32>(0.0);
{%- endfor %}{% endfor %}
{%- endmacro %}

{#- One step of four k: acc_R_V += w_R.c * panel row k.c. Wants `k: vec4<u32>`, where the four panel rows start for this lane, w_R: vec4<f32>,
    the array `panel_array` of vec4s and the constant LANES.
    Workgroups of at most 8 invocations are made for processors, whose 16 or 32 registers do not hold the sums: there the four k of a sum
    follow each other, so that it is loaded and stored once a step. Others take one k after the other, and need few values of x at a time. -#}
{% macro multiply_add(rows, vectors, lanes, panel_array) -%}
{%- if lanes <= 8 %}
{%- for v in range(vectors) %}{% for c in ["x", "y", "z", "w"] %}
        let x_{{ c }}_{{ v }} = load4_{{ panel_array }}(k.{{ c }} + {{ v }}u * LANES);
{%- endfor %}
{%- for r in range(rows) %}{% for c in ["x", "y", "z", "w"] %}
        acc_{{ r }}_{{ v }} = fma(vec4<f32>(w_{{ r }}.{{ c }}), x_{{ c }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endfor %}
{%- else %}
{%- for c in ["x", "y", "z", "w"] %}{% for v in range(vectors) %}
        let x_{{ c }}_{{ v }} = load4_{{ panel_array }}(k.{{ c }} + {{ v }}u * LANES);
{%- endfor %}
{%- for r in range(rows) %}{% for v in range(vectors) %}
        acc_{{ r }}_{{ v }} = fma(vec4<f32>(w_{{ r }}.{{ c }}), x_{{ c }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endfor %}
{%- endif %}
{%- endmacro %}
