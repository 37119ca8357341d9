{#- Functions that walks have in common. -#}

{#- Strips in their order, all with the same number of steps. -#}
{% macro alike() -%}
fn walk_strip(number: u32) -> u32 { return number; }

fn walk_steps(strip: u32) -> vec2<u32> { return vec2<u32>(0u, params.steps); }
{%- endmacro %}

{#- No list: step s visits k = 4s .. 4s+3. -#}
{% macro every_k() -%}
fn walk_list(strip: u32) -> u32 { return 0u; }

fn walk_word(list: u32, step: u32) -> u32 { return 0u; }

fn walk_x(x: u32, word: u32, step: u32) -> vec4<u32> { return x_of_four(x + 4u * X_STRIDE * step); }
{%- endmacro %}

{#- Every row is a strip of its own: where its weights begin, and the word where its list does, known before the loop. -#}
{% macro own_rows(c) -%}
fn walk_row(strip: u32, row: u32) -> vec2<u32> {
    let number = strip * STRIP_ROWS + row;
    return vec2<u32>(number * params.weight_stride - params.w_first, number / {{ c.v }}u * params.words_per_strip - params.indices_first);
}
{%- endmacro %}
