{#- What happens to a sum before it is stored: + bias[o], then the activation. -#}
{% macro functions(activation) -%}
{% if activation == "gelu" -%}
// erf by Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
fn erf(v: f32) -> f32 {
    let a = abs(v);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(v) * (1.0 - poly * exp(-min(a * a, 80.0)));
}
fn activate(v: f32) -> f32 { return 0.5 * v * (1.0 + erf(v * 0.7071067811865476)); }
{%- elif activation == "silu" -%}
// exp is kept below overflow; at v = -80 the true value is -1.4e-33.
fn activate(v: f32) -> f32 { return v / (1.0 + exp(-max(v, -80.0))); }
{%- elif activation == "relu" -%}
fn activate(v: f32) -> f32 { return max(v, 0.0); }
{%- else -%}
fn activate(v: f32) -> f32 { return v; }
{%- endif %}
{%- endmacro %}
