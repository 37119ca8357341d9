//! XAttention: estimate by antidiagonal means which key blocks each query block needs, and attend to those only.
//!
//! Three steps: [`xattention_score`] gives every block its share of the (estimated) softmax mass, [`xattention_select`] keeps per
//! block row the fewest blocks that hold the share `threshold` of it, and
//! [block attention](crate::attention::block_attention) is exact on what was kept. [`xattention()`] does all three. [`Mode::Exact`] is our definition on the real lengths;
//! [`Mode::Reference`] reproduces the authors' public code with its padding and its selection rule.
//!
//! Source: Xu et al., XAttention: Block Sparse Attention with Antidiagonal Scoring, arXiv 2503.16428.

mod error;
mod layout;
mod mode;
mod options;
mod run;
mod score;
mod scores;
mod select;
mod shared_masks;
mod threshold;
mod varlen;

pub use error::XAttentionError;
pub use layout::{ReferenceLayout, XAttentionLayout};
pub use mode::{Mode, Pooling, ReferenceOptions};
pub use options::XAttentionOptions;
pub use run::{XAttentionReference, xattention};
pub use score::{ScoreReference, xattention_score};
pub use scores::BlockScores;
pub use select::{ChoiceError, ExactRow, Wanted, xattention_select};
pub use threshold::Threshold;
pub use varlen::varlen_xattention;
