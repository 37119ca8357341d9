{#- From a sum to an element of y: act(alpha * sum + beta * c + bias[o]), in this order, then stored. What of it a kernel does is in `o`:
    o.storage, o.vectors   how y is stored, and whether four neighbours at once
    o.transposed           y is [n_out, tokens] rather than [tokens, n_out]
    o.scaled               alpha is not 1
    o.addend, o.residual   c: nothing, what y held before, or another array
    o.bias, o.activation
    Elements are numbered through the whole of y; params.y_first and params.residual_first say where the bound windows start. -#}

{% macro bindings(storage, o) -%}
{{ storage.writer(2, "y", o.storage, o.vectors) }}
{%- if o.addend == "previous" %}
{{ storage.previous("y", o.storage, o.vectors) }}
{%- endif %}
{%- if o.bias %}
{{ storage.scalar_reader(6, "bias", o.bias) }}
{%- endif %}
{%- if o.addend == "residual" %}
{{ storage.scalar_reader(7, "residual", o.residual) }}
{%- endif %}
{%- endmacro %}

{% macro functions(o) -%}
{{ activate(o.activation) }}

// The number of an element in y.
fn y_index(token: u32, row: u32) -> u32 {
{%- if o.transposed %}
    return row * params.y_stride + token;
{%- else %}
    return token * params.y_stride + row;
{%- endif %}
}

// From one element to the next, so many rows of w further.
const ROW_STEP = {{ 0 if o.transposed else 1 }}u;

fn finish(sum: f32, row: u32, c: f32) -> f32 {
{%- if o.scaled %}
    // As in BLAS, alpha = 0 takes nothing of the product: no infinity or NaN of x or w.
    var value = select(params.alpha * sum, 0.0, params.alpha == 0.0);
{%- else %}
    var value = sum;
{%- endif %}
{%- if o.addend != "none" %}
    value = fma(params.beta, c, value);
{%- endif %}
{%- if o.bias %}
    value += load_bias(min(row, params.n_out - 1u));
{%- endif %}
    return activate(value);
}

{% if o.storage == "f32" and o.vectors -%}
// Elements i .. i + 3, i a multiple of 4; the first is of this row.
fn put4(i: u32, row: u32, sums: vec4<f32>) {
    let at = (i - params.y_first) / 4u;
{%- if o.addend == "previous" %}
    let c = previous4_y(at);
{%- elif o.addend == "residual" %}
    let j = i - params.residual_first;
    let c = vec4<f32>(load_residual(j), load_residual(j + 1u), load_residual(j + 2u), load_residual(j + 3u));
{%- else %}
    let c = vec4<f32>(0.0);
{%- endif %}
    store4_y(at, vec4<f32>(
        finish(sums.x, row, c.x),
        finish(sums.y, row + ROW_STEP, c.y),
        finish(sums.z, row + 2u * ROW_STEP, c.z),
        finish(sums.w, row + 3u * ROW_STEP, c.w)));
}
{%- elif o.storage == "f32" -%}
fn put(i: u32, row: u32, sum: f32) {
    let at = i - params.y_first;
{%- if o.addend == "previous" %}
    let c = previous_y(at);
{%- elif o.addend == "residual" %}
    let c = load_residual(i - params.residual_first);
{%- else %}
    let c = 0.0;
{%- endif %}
    store_y(at, finish(sum, row, c));
}
{%- else -%}
// What is added to the elements i and i + 1, i even.
fn addend2(i: u32) -> vec2<f32> {
{%- if o.addend == "previous" %}
    return previous2_y((i - params.y_first) / 2u);
{%- elif o.addend == "residual" %}
    let j = i - params.residual_first;
    return vec2<f32>(load_residual(j), load_residual(j + 1u));
{%- else %}
    return vec2<f32>(0.0);
{%- endif %}
}
// Elements i and i + 1, i even; the first is of this row.
fn put2(i: u32, row: u32, sums: vec2<f32>) {
    let c = addend2(i);
    store2_y((i - params.y_first) / 2u, vec2<f32>(finish(sums.x, row, c.x), finish(sums.y, row + ROW_STEP, c.y)));
}
{%- endif %}
{%- endmacro %}

{% macro activate(activation) -%}
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
// No max: that of NaN and 0 is 0 on most drivers, and would hide a NaN of the product.
fn activate(v: f32) -> f32 { return select(v, 0.0, v < 0.0); }
{%- else -%}
fn activate(v: f32) -> f32 { return v; }
{%- endif %}
{%- endmacro %}
