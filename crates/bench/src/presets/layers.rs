//! `--preset attention`: long layers with planted patterns, step by step, and one layer at many lengths under the policy that may go dense.

use sparse_core::DType;
use sparse_core::attention::{AttentionShape, AttentionShapeError};
use sparse_core::xattention::XAttentionOptions;

use super::case::SizeClass;
use crate::cli::Operation;

/// What is measured of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerTask {
    /// Attention over the selected blocks alone, XAttention end to end, and its scores and selection, on a planted pattern.
    Steps {
        /// Share of the reachable blocks that the pattern needs.
        density: f64,
    },
    /// XAttention under the policy that takes dense attention where it is faster, end to end.
    Auto,
}

/// Causal self-attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerCase {
    /// What is measured.
    pub task: LayerTask,
    /// Query heads.
    pub heads: usize,
    /// Heads of k and v.
    pub kv_heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Storage of q, k and v.
    pub dtype: DType,
}

/// Tokens of the planted layers.
const LONG: usize = 8192;
/// Usual lengths of the layer that may go dense.
pub const LENGTHS: [usize; 7] = [128, 256, 512, 1024, 2048, 4096, 8192];

impl LayerCase {
    /// Its sizes, checked.
    ///
    /// # Errors
    /// Where they do not make an attention problem.
    pub fn shape(&self) -> Result<AttentionShape, AttentionShapeError> {
        AttentionShape::try_new(
            1,
            self.heads,
            self.kv_heads,
            self.tokens,
            self.tokens,
            self.head_dim,
        )
    }

    /// The operation of `--ops` that it belongs to: steps to attention over blocks, which they begin with, the policy to the whole.
    pub fn operation(&self) -> Operation {
        match self.task {
            LayerTask::Steps { .. } => Operation::BlockAttention,
            LayerTask::Auto => Operation::Xattention,
        }
    }

    /// The usual block and threshold, stride 16.
    pub fn options(&self) -> XAttentionOptions {
        XAttentionOptions {
            stride: 16,
            ..XAttentionOptions::default()
        }
    }
}

/// The planted layers for an adapter class.
pub fn planted_layers(class: SizeClass) -> Vec<LayerCase> {
    let heads = match class {
        SizeClass::Software => 1,
        SizeClass::Integrated => 4,
        SizeClass::Discrete => 16,
    };
    let of = |head_dim, density| LayerCase {
        task: LayerTask::Steps { density },
        heads,
        kv_heads: heads,
        tokens: LONG,
        head_dim,
        dtype: DType::F32,
    };
    [64, 128]
        .into_iter()
        .flat_map(|head_dim| [0.1, 0.3].map(|density| of(head_dim, density)))
        .collect()
}

/// A layer with these heads at each of `lengths`.
pub fn auto_layers(
    [heads, kv_heads, head_dim]: [usize; 3],
    dtype: DType,
    lengths: &[usize],
) -> Vec<LayerCase> {
    let of = |&tokens: &usize| LayerCase {
        task: LayerTask::Auto,
        heads,
        kv_heads,
        tokens,
        head_dim,
        dtype,
    };
    lengths.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_an_attention_problem() {
        for class in [
            SizeClass::Software,
            SizeClass::Integrated,
            SizeClass::Discrete,
        ] {
            let layers = planted_layers(class);
            assert_eq!(layers.len(), 4);
            let auto = auto_layers([4, 1, 256], DType::F16, &LENGTHS);
            assert_eq!(auto.len(), 7);
            for case in layers.into_iter().chain(auto) {
                let layout = case.options().layout(case.shape().unwrap());
                assert!(layout.is_ok(), "{case:?}");
            }
        }
    }
}
