//! The sizes of a row.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use sparse_core::attention::AttentionShape;

/// Sizes by name, in the order they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<(&'static str, usize)>);

impl Shape {
    /// Sizes `y [tokens, n_out] = x [tokens, k_in] w [n_out, k_in]^T`.
    pub fn matmul(tokens: usize, n_out: usize, k_in: usize) -> Self {
        Self(vec![("tokens", tokens), ("n_out", n_out), ("k_in", k_in)])
    }

    /// Sizes of q `[batch, heads, q_len, head_dim]` and k, v `[batch, kv_heads, k_len, head_dim]`, tokens of a block and of a group of
    /// the score.
    pub fn attention(shape: AttentionShape, block: usize, stride: usize) -> Self {
        Self(vec![
            ("batch", shape.batch()),
            ("heads", shape.q_heads()),
            ("kv_heads", shape.kv_heads()),
            ("q_len", shape.q_len()),
            ("k_len", shape.k_len()),
            ("head_dim", shape.head_dim()),
            ("block", block),
            ("stride", stride),
        ])
    }

    /// Sizes of packed items of these `(q_len, k_len)`: tokens of all of them, and keys of the longest. Tokens of a block and of a group of the score.
    pub fn packed(
        lengths: &[(usize, usize)],
        [heads, kv_heads, head_dim]: [usize; 3],
        [block, stride]: [usize; 2],
    ) -> Self {
        let keys = || lengths.iter().map(|&(_, keys)| keys);
        Self(vec![
            ("items", lengths.len()),
            (
                "q_tokens",
                lengths.iter().map(|&(queries, _)| queries).sum(),
            ),
            ("k_tokens", keys().sum()),
            ("longest", keys().max().unwrap_or(0)),
            ("heads", heads),
            ("kv_heads", kv_heads),
            ("head_dim", head_dim),
            ("block", block),
            ("stride", stride),
        ])
    }

    /// Any sizes.
    pub fn new(sizes: &[(&'static str, usize)]) -> Self {
        Self(sizes.to_vec())
    }

    /// The size of that name.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0
            .iter()
            .find(|(n, _)| *n == name)
            .map(|&(_, size)| size)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, size)) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{name}={size}")?;
        }
        Ok(())
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, size) in &self.0 {
            map.serialize_entry(name, size)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_items_are_added_up() {
        assert_eq!(
            Shape::packed(&[(30, 30), (4, 70)], [4, 2, 16], [16, 4]).to_string(),
            "items=2 q_tokens=34 k_tokens=100 longest=70 heads=4 kv_heads=2 head_dim=16 block=16 stride=4"
        );
    }
}
