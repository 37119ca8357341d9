{#- One step of matmul.wgsl where each row has a pattern of its own (walks/nm_branch.wgsl).

    The stored weights of a quad, four neighbouring columns, lie in one of few ways: six at 2:4, four at 1:2 and at 1:4. Their packed indices,
    a number of a few bits, say in which. It is the same for all invocations, because rows are: so every row branches on it, and the leaf that it
    comes to multiplies the stored weights with the columns they belong to, and nothing else. No select, no index into registers, no product with a
    zero. A tree of comparisons, because a switch may become a chain. Leaves of few instructions become selects of all of them in some
    compilers: at least 8 columns an invocation. -#}

{#- acc_R_V += the stored weights of row R times their columns. Wants `panel_base`, where the lane's column 0 lies in the array `panel_array` of
    vec4s, and row_R of the walk. -#}
{% macro multiply_add(rows, vectors, c, panel_array) -%}
{%- for r in range(rows) %}
        let w_{{ r }} = walk_weights(row_{{ r }}, step);
        let indices_{{ r }} = walk_indices(row_{{ r }}, step);
{%- endfor %}
        let first = panel_base + step * (STEP_COLUMNS * X_STRIDE);
{%- for q in range(c.quad.per_step) %}
        {
{%- for column in range(4) %}{% for v in range(vectors) %}
            let x_{{ column }}_{{ v }} = load4_{{ panel_array }}(first + {{ 4 * q + column }}u * X_STRIDE + {{ v }}u * LANES);
{%- endfor %}{% endfor %}
{%- for r in range(rows) %}
            {
                let code = {{ extract("indices_" ~ r, q * c.quad.bits, c.quad.bits) }};
{{ tree(c.quad.patterns, r, vectors, q * c.quad.weights) }}
            }
{%- endfor %}
        }
{%- endfor %}
{%- endmacro %}

{% macro extract(word, shift, bits) -%}
{% if shift == 0 %}{{ word }}{% else %}({{ word }} >> {{ shift }}u){% endif %} & {{ 2 ** bits - 1 }}u
{%- endmacro %}

{#- Half of the patterns, ordered by their codes, to either side. -#}
{% macro tree(patterns, r, vectors, first_weight) -%}
{%- if patterns | length == 1 %}
{%- for column in patterns[0].columns %}{% set weight = "xyzw"[first_weight + loop.index0] %}{% for v in range(vectors) %}
                acc_{{ r }}_{{ v }} = fma(vec4<f32>(w_{{ r }}.{{ weight }}), x_{{ column }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}
{%- else %}
{%- set middle = patterns | length // 2 %}
                if (code < {{ patterns[middle].code }}u) {
{{- tree(patterns[:middle], r, vectors, first_weight) }}
                } else {
{{- tree(patterns[middle:], r, vectors, first_weight) }}
                }
{%- endif %}
{%- endmacro %}
