//! Results of packed sequences against the references of their items.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::DType;
use sparse_core::attention::{AttentionReference, PackedShape};
use sparse_core::bounds::{attention_bounds, compare};

/// Fails the test unless every element of out `[total_q, q_heads, head_dim]`, stored as `dtype`, and lse `[q_heads, total_q]` lies within its bound. Values are at
/// most `largest_v`.
pub(crate) fn assert_items_within(
    what: &str,
    shape: &PackedShape,
    references: &[AttentionReference],
    (largest_v, dtype): (f64, DType),
    [out, lse]: [&[f64]; 2],
) {
    let [total, heads, dim] = shape.q_shape();
    assert_eq!(out.len(), total * heads * dim);
    assert_eq!(references.len(), shape.q().items());
    for (item, (queries, reference)) in shape.q().ranges().zip(references).enumerate() {
        let bounds = attention_bounds(reference, largest_v, dtype);
        // The reference has one head after the other.
        let places: Vec<_> = (0..heads)
            .flat_map(|head| queries.clone().map(move |token| (head, token)))
            .collect();
        let own_out = places.iter().flat_map(|&(head, token)| {
            let first = (token * heads + head) * dim;
            out[first..first + dim].to_vec()
        });
        let own_lse = places
            .iter()
            .map(|&(head, token)| lse[head * total + token]);
        let comparison = compare(own_out, &reference.out, &bounds.out);
        assert!(comparison.holds(), "item {item}, out: {comparison}\n{what}");
        let comparison = compare(own_lse, &reference.lse, &bounds.lse);
        assert!(comparison.holds(), "item {item}, lse: {comparison}\n{what}");
    }
}
