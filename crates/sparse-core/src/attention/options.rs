//! What a caller may choose.

/// Options of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionOptions {
    /// Softmax scale. Default `None`: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only. Default true.
    pub causal: bool,
    /// Tokens of a block of the mask, of queries and of keys; without a mask it has no effect. Default 128.
    pub block: usize,
}

impl Default for AttentionOptions {
    fn default() -> Self {
        Self {
            scale: None,
            causal: true,
            block: 128,
        }
    }
}
