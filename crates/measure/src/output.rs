//! What attention gives.

/// Output `[batch, heads, q_len, head_dim]` and log-sum-exp `[batch, heads, q_len]` of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputAndLse {
    /// The output.
    pub out: Vec<f32>,
    /// Natural logarithm.
    pub lse: Vec<f32>,
}
