{#- What the scoring kernels of XAttention agree on: which key groups a query group may look at. The uniform struct has q_len, k_len,
    stride (tokens of a group), k_groups, and group_offset (Reference mode: key groups before the one of query group 0). -#}

{% macro constants() -%}
// Below every logit, and finite: differences of two of these are zero, not NaN.
const LOWEST = -3.0e38;

// exp of a difference from the maximum. exp(-100) is zero next to 1 in f32; below it nothing is asked of the device.
fn exp_below(difference: f32) -> f32 { return exp(max(difference, -100.0)); }
{%- endmacro %}

{% macro allowed(exact, causal) -%}
// Query group i may look at the key groups before this one.
fn allowed_key_groups(i: u32) -> u32 {
{%- if not causal %}
    return params.k_groups;
{%- elif exact %}
    // The first key of a group must be visible to the last query of group i.
    let queries = min((i + 1u) * params.stride, params.q_len);
    let keys = clamp(i32(queries) + i32(params.k_len) - i32(params.q_len), 0, i32(params.k_len));
    return (u32(keys) + params.stride - 1u) / params.stride;
{%- else %}
    return min(i + params.group_offset + 1u, params.k_groups);
{%- endif %}
}
{%- endmacro %}
