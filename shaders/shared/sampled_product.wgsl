{%- import "shared/register_tile.wgsl" as registers -%}
{#- dy^T x at some elements only: what the kernels that compute it have in common. dy is [tokens, n_out]; for one token, rows of the result are
    neighbours in it. A tile is {{ rows }} rows from `row` on by 4 * {{ vectors }} columns of x, those of vector V in `read_V`, all of which exist. -#}

{#- What stands in front of alpha and beta in the uniform struct of both kernels. -#}
{% macro params() -%}
    tokens: u32,
    n_out: u32,         // columns of dy
    k_in: u32,          // columns of x
    dy_first: u32,      // element that the bound window of dy starts with
    x_first: u32,       // of x as it lies
    packed_rows: u32,   // columns of a panel of packed x
{%- endmacro %}

{#- dy and x: four elements at once where rows start at multiples of four, or where x is packed. -#}
{% macro bindings(storage, dy, x) -%}
{{ reader(storage, 1, "dy", dy.storage, dy.vectors) }}
{{ reader(storage, 3, "x", x.storage, x.reads != "elements") }}
{%- endmacro %}

{% macro reader(storage, binding, name, type, vectors) -%}
{% if vectors -%}
{{ storage.vec4_reader(binding, name, type) }}
{%- else -%}
{{ storage.scalar_reader(binding, name, type) }}
{%- endif %}
{%- endmacro %}

{% macro functions(dy, x) -%}
// dy of four rows that follow each other; of those that do not exist, anything.
fn dy4(token: u32, row: u32) -> vec4<f32> {
    let begin = token * params.n_out - params.dy_first;
{%- if dy.vectors %}
    return load4_dy((begin + min(row, params.n_out - 4u)) / 4u);
{%- else %}
    let at = begin + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n_out - 1u));
    return vec4<f32>(load_dy(at.x), load_dy(at.y), load_dy(at.z), load_dy(at.w));
{%- endif %}
}

// x of four columns{% if x.reads == "quads" %}, neighbours whose first is a multiple of four, or anything{% endif %}.
fn x4(token: u32, column: vec4<u32>) -> vec4<f32> {
{%- if x.reads == "packed" %}
    let at = token / 4u * params.packed_rows + column;
    let i = token % 4u;
    return vec4<f32>(load4_x(at.x)[i], load4_x(at.y)[i], load4_x(at.z)[i], load4_x(at.w)[i]);
}

// The same of four tokens that follow each other, whose first is a multiple of four.
fn x4_of_four(token: u32, column: vec4<u32>) -> mat4x4<f32> {
    let at = token / 4u * params.packed_rows + column;
    return transpose(mat4x4<f32>(load4_x(at.x), load4_x(at.y), load4_x(at.z), load4_x(at.w)));
{%- elif x.reads == "quads" %}
    return load4_x((token * params.k_in - params.x_first + column.x) / 4u);
{%- else %}
    let at = token * params.k_in - params.x_first + column;
    return vec4<f32>(load_x(at.x), load_x(at.y), load_x(at.z), load_x(at.w));
{%- endif %}
}
{%- endmacro %}

{#- The columns of a vector that starts with column `first`: of those that do not exist, one that does. -#}
{% macro neighbours(first) -%}
min({{ first }} + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.k_in - 1u))
{%- endmacro %}

{#- dy_T_R: dy of row R at token T of a step, four times. -#}
{% macro load_dy(t, rows) -%}
{%- for g in range(rows // 4) %}
        let four_{{ t }}_{{ g }} = dy4(token + {{ t }}u, row + {{ 4 * g }}u);
{%- endfor %}
{%- for r in range(rows) %}
{%- if r < rows // 4 * 4 %}
        let dy_{{ t }}_{{ r }} = vec4<f32>(four_{{ t }}_{{ r // 4 }}[{{ r % 4 }}]);
{%- else %}
        let dy_{{ t }}_{{ r }} = vec4<f32>(load_dy((token + {{ t }}u) * params.n_out + min(row + {{ r }}u, params.n_out - 1u) - params.dy_first));
{%- endif %}
{%- endfor %}
{%- endmacro %}

{#- acc_R_V += dy_T_R * x_T_V for so many tokens T, in their order.
    Workgroups of at most 8 invocations are made for processors: as in shared/register_tile.wgsl, what a sum gains in a step follows each other there. -#}
{% macro step(tokens, rows, vectors, lanes, x) -%}
{%- if lanes <= 8 %}
{%- for t in range(tokens) %}{{ load_dy(t, rows) }}{% endfor %}
{%- for v in range(vectors) %}
{%- if x.reads == "packed" and tokens == 4 %}
        let x_{{ v }} = x4_of_four(token, read_{{ v }});
{%- endif %}
{%- for t in range(tokens) %}
        let x_{{ t }}_{{ v }} = {% if x.reads == "packed" and tokens == 4 %}x_{{ v }}[{{ t }}]{% else %}x4(token + {{ t }}u, read_{{ v }}){% endif %};
{%- endfor %}
{%- for r in range(rows) %}{% for t in range(tokens) %}
        acc_{{ r }}_{{ v }} = fma(dy_{{ t }}_{{ r }}, x_{{ t }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endfor %}
{%- else %}
{%- for t in range(tokens) %}
{%- for v in range(vectors) %}
        let x_{{ t }}_{{ v }} = x4(token + {{ t }}u, read_{{ v }});
{%- endfor %}
{{- load_dy(t, rows) }}
{%- for r in range(rows) %}{% for v in range(vectors) %}
        acc_{{ r }}_{{ v }} = fma(dy_{{ t }}_{{ r }}, x_{{ t }}_{{ v }}, acc_{{ r }}_{{ v }});
{%- endfor %}{% endfor %}{% endfor %}
{%- endif %}
{%- endmacro %}

{#- acc_R_V: the sums over all tokens of row R and the columns of vector V. -#}
{% macro sums(rows, vectors, lanes, x) -%}
{{ registers.accumulators(rows, vectors) }}
    var token = 0u;
    for (; token + 4u <= params.tokens; token += 4u) {
{{- step(4, rows, vectors, lanes, x) }}
    }
    for (; token < params.tokens; token++) {
{{- step(1, rows, vectors, lanes, x) }}
    }
{%- endmacro %}

{#- Stores four neighbours of the result, `stored`, from an element on that is a multiple of four. -#}
{% macro put(first, output) -%}
    let i = {{ first }};
{%- if output.storage == "f32" %}
    put4(i, 0u, stored);
{%- else %}
    put2(i, 0u, stored.xy);
    put2(i + 2u, 0u, stored.zw);
{%- endif %}
{%- endmacro %}
