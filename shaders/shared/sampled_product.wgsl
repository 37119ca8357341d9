{#- dy^T x at some elements only: what the kernels that compute it have in common. dy [tokens, n_out] and x [tokens, k_in] lie as they are; for one
    token, rows of the result are neighbours in dy, and its columns in x. -#}

{#- A reader of NAME, four neighbours at once where they start at multiples of four. -#}
{% macro reader(storage, binding, name, type, vector) -%}
{% if vector -%}
{{ storage.vec4_reader(binding, name, type) }}
{%- else -%}
{{ storage.scalar_reader(binding, name, type) }}
{%- endif %}
{%- endmacro %}

{#- NAME4(token, first): four neighbours of a token's row of params.WIDTH elements; those that do not exist give anything. -#}
{% macro four(name, width, vector) -%}
fn {{ name }}4(token: u32, first: u32) -> vec4<f32> {
{%- if vector %}
    return load4_{{ name }}((token * params.{{ width }} + min(first, params.{{ width }} - 4u)) / 4u);
{%- else %}
    let begin = token * params.{{ width }};
    let last = params.{{ width }} - 1u;
    return vec4<f32>(load_{{ name }}(begin + min(first, last)), load_{{ name }}(begin + min(first + 1u, last)), load_{{ name }}(begin + min(first + 2u, last)), load_{{ name }}(begin + min(first + 3u, last)));
{%- endif %}
}
{%- endmacro %}
