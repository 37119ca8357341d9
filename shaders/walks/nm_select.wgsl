{%- import "shared/strips.wgsl" as strips -%}
{%- import "shared/few_tokens.wgsl" as tokens -%}
{#- N:M with groups of four columns, every row with a list of its own: the x of all columns are loaded once for all rows, and each row selects those of
    its stored weights in registers. For few tokens. A step is a word of indices: 16 stored weights of a row,
    which are 64 / N columns. A weight that is not stored meets no x. -#}
{% macro bindings(storage, c) -%}
{{ storage.vec4_reader(3, "w", c.weight) }}
@group(0) @binding(4) var<storage, read> indices: array<u32>;
{%- endmacro %}

{% macro functions(c) -%}
{{ strips.alike() }}

{{ strips.own_rows(c) }}

fn walk_codes(row: vec2<u32>, step: u32) -> u32 { return indices[row.y + step]; }

// Stored weights 4 * four .. 4 * four + 3 of a row.
fn walk_four(row: vec2<u32>, four: u32) -> vec4<f32> {
{%- if c.whole_steps %}
    return load4_w(row.x + four);
{%- else %}
    // Behind the last of a row lies the next one, which must not meet the zeros of x.
    let exists = four < params.weight_stride;
    return select(vec4<f32>(0.0), load4_w(row.x + select(0u, four, exists)), exists);
{%- endif %}
}
{%- endmacro %}

{#- The x of stored weight i of four, whose code is the low bits of `code`: one of the columns of its group, `name`_0 and those that follow. With two of
    four stored, the first never lies last and the second never first. -#}
{% macro selected(c, i, name) -%}
{%- set g = i // c.n * 4 -%}
{%- set low = "(codes & bit_" ~ 2 * i ~ ") != 0u" -%}
{%- set high = "(codes & bit_" ~ (2 * i + 1) ~ ") != 0u" -%}
{%- if c.n == 2 and i % 2 == 0 -%}
select(select({{ name }}_{{ g }}, {{ name }}_{{ g + 1 }}, {{ low }}), {{ name }}_{{ g + 2 }}, {{ high }})
{%- elif c.n == 2 -%}
select({{ name }}_{{ g + 1 }}, select({{ name }}_{{ g + 2 }}, {{ name }}_{{ g + 3 }}, {{ low }}), {{ high }})
{%- else -%}
select(select({{ name }}_{{ g }}, {{ name }}_{{ g + 1 }}, {{ low }}), select({{ name }}_{{ g + 2 }}, {{ name }}_{{ g + 3 }}, {{ low }}), {{ high }})
{%- endif -%}
{%- endmacro %}

{#- Unrolled, the step of eight rows would not fit what a processor keeps decoded: four stored weights of each row are a round. -#}
{% macro own_step(rows, panel, vectors, c) -%}
{%- set columns = 16 // c.n %}
{%- for r in range(rows) %}
        let codes_{{ r }} = walk_codes(row_{{ r }}, step);
{%- endfor %}
        for (var round = 0u; round < 4u; round++) {
            let four = 4u * step + round;
{%- for b in range(8) %}
            let bit_{{ b }} = {{ 2 ** b }}u << (8u * round);
{%- endfor %}
{%- for i in range(columns) %}
{%- if panel == 1 %}
{%- if i % 4 == 0 %}
            let group_{{ i // 4 }} = load4_packed_x({{ columns // 4 }}u * four + {{ i // 4 }}u);
{%- endif %}
            let x_{{ i }} = group_{{ i // 4 }}[{{ i % 4 }}];
{%- else %}{% for v in range(vectors) %}
            let x{{ v }}_{{ i }} = load4_packed_x(({{ columns }}u * four + {{ i }}u) * X_STRIDE + {{ v }}u);
{%- endfor %}{% endif %}
{%- endfor %}
{%- for r in range(rows) %}
            {
                let w_{{ r }} = walk_four(row_{{ r }}, four);
                let codes = codes_{{ r }};
{%- if panel == 1 %}
                let x = vec4<f32>(
{%- for i in range(4) %}
                    {{ selected(c, i, "x") }}{% if not loop.last %},{% else %});{% endif %}
{%- endfor %}
{%- else %}{% for i in range(4) %}{% for v in range(vectors) %}
                let x_{{ "xyzw"[i] }}_{{ v }} = {{ selected(c, i, "x" ~ v) }};
{%- endfor %}{% endfor %}{% endif %}
{{- tokens.multiply(r, panel, vectors) }}
            }
{%- endfor %}
        }
{%- endmacro %}
