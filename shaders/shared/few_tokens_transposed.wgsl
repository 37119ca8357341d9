{#- What matvec.wgsl does where neighbours in memory are four outputs of one k, a quad: quad_Q is the place of the Q-th quad of an invocation, acc_Q_T the
    sums of its four outputs for token T. -#}

{#- The quads of an invocation, and sums for them. Those past the end of the strip are the last one again: computed twice, not stored. -#}
{% macro owned_quads(shared, panel, owned, across) -%}
    {{ shared.tile_rows() }}
    if (row_begin >= row_end) { return; }
    let last_quad = (row_end - 1u - strip * STRIP_ROWS) / 4u;
    let place_across = lane % {{ across }}u;
    let slice = lane / {{ across }}u;
{%- for q in range(owned) %}
    let quad_{{ q }} = walk_quad(strip, min(tile_row / 4u + {{ q * across }}u + place_across, last_quad));
{%- for t in range(panel) %}
    var acc_{{ q }}_{{ t }} = vec4<f32>(0.0);
{%- endfor %}{% endfor %}
{%- endmacro %}

{#- The products of a step, with the x that `gather` of few_tokens.wgsl has loaded. A sum takes all four k before the next one does: there are more of
    them than registers. -#}
{% macro multiply_add(panel, owned) %}
        let place = walk_place(strip, step);
{%- for q in range(owned) %}{% for c in range(4) %}
        let four_{{ q }}_{{ c }} = walk_outputs(quad_{{ q }}, place, {{ c }}u);
{%- endfor %}{% for t in range(panel) %}{% for c in range(4) %}
        acc_{{ q }}_{{ t }} = fma(four_{{ q }}_{{ c }}, vec4<f32>({% if panel == 1 %}x[{{ c }}]{% else %}x_{{ "xyzw"[c] }}_{{ t // 4 }}[{{ t % 4 }}]{% endif %}), acc_{{ q }}_{{ t }});
{%- endfor %}{% endfor %}{% endfor %}
{%- endmacro %}

{% macro partial_sums(panel, owned, across) %}
{%- for q in range(owned) %}
    {
        let first = 4u * ({{ q * across }}u + place_across);
{%- for t in range(panel) %}{% for i in range(4) %}
        partial[((first + {{ i }}u) * PANEL + {{ t }}u) * SUMS_STRIDE + slice] = acc_{{ q }}_{{ t }}[{{ i }}];
{%- endfor %}{% endfor %}
    }
{%- endfor %}
{%- endmacro %}
