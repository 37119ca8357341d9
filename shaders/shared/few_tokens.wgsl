{#- What a step of matvec.wgsl does with x, and with the weights w_R: vec4<f32> of a row R. For one token, x is a vec4 of its four k; for more, x_C_V is
    the k named C of the four tokens of vector V. -#}

{#- x at the four k of a step, for all tokens. -#}
{% macro gather(panel, vectors) %}
{%- if panel == 1 %}
        let x = vec4<f32>(packed_x[k.x], packed_x[k.y], packed_x[k.z], packed_x[k.w]);
{%- else %}{% for c in ["x", "y", "z", "w"] %}{% for v in range(vectors) %}
        let x_{{ c }}_{{ v }} = load4_packed_x(k.{{ c }} + {{ v }}u);
{%- endfor %}{% endfor %}{% endif %}
{%- endmacro %}
{#- The step's products of row r. One sum a row where there is one token: four would not fit the registers of a processor, and rows give chains enough. -#}
{% macro multiply(r, panel, vectors) %}
{%- if panel == 1 %}
{%- for c in ["x", "y", "z", "w"] %}
        acc_{{ r }} = fma(w_{{ r }}.{{ c }}, x.{{ c }}, acc_{{ r }});
{%- endfor %}
{%- else %}{% for c in ["x", "y", "z", "w"] %}{% for v in range(vectors) %}
        acc_{{ r }}_{{ v }} = fma(vec4<f32>(w_{{ r }}.{{ c }}), x_{{ c }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endif %}
{%- endmacro %}
