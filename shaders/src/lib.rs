//! The WGSL kernels of the sparse-compute library, as templates, and the code that expands them.
//!
//! A kernel is described by plain data ([`MatmulKernel`] and its siblings); [`expand`] turns it into a [`Source`]: WGSL text that
//! naga has validated, with the names and numbers of its bindings read back from the text itself.
//!
//! ```
//! use sparse_shaders::{MatmulKernel, Storage, Tile, Walk, expand};
//! let kernel = MatmulKernel::new(Walk::Dense { vector_weights: true }, Tile { rows: 8, cols: 8, lanes: 32 });
//! let source = expand(&kernel)?;
//! assert_eq!(source.workgroup_size, 32);
//! assert_eq!(source.bindings[0].name, "params");
//! # Ok::<(), sparse_shaders::ExpandError>(())
//! ```
#![forbid(unsafe_code)]
#![warn(unused_crate_dependencies, clippy::print_stdout)]

mod attention;
mod attention_rows;
mod attention_tile;
mod attention_variants;
mod ceiling;
mod cooperative;
mod cooperative_variants;
mod expand;
mod expand_weights;
mod kernel;
mod matmul;
mod matvec;
mod output;
mod pack_f16;
mod packing;
mod quad_patterns;
mod sddmm;
mod source;
mod support;
mod templates;
mod variants;
mod walk;
mod xattention;
mod xattention_decide;
mod xattention_select;

pub use attention::{AttentionKernel, AttentionOrder, BlockWalk, MAX_HEAD_DIM, TokenHeads};
pub use attention_rows::{RowOrderKernel, RowWeightsKernel};
pub use attention_tile::AttentionTile;
pub use ceiling::{CEILING_LANES, CEILING_TILE, FmaCeilingKernel, ReadCeilingKernel, ReadOrder};
pub use cooperative::{CooperativeKernel, CooperativeTile, MatrixSize};
pub use expand::{ExpandError, expand, expand_in, naga_for};
pub use expand_weights::ExpandWeightsKernel;
pub use kernel::{Activation, ConfigError, Extensions, Kernel, Storage, Words};
pub use matmul::{MatmulKernel, Tile};
pub use matvec::MatvecKernel;
pub use output::{Addend, Output};
pub use pack_f16::PackF16Kernel;
pub use sddmm::SddmmKernel;
pub use source::{Access, Binding, Source};
pub use support::{ConvertKernel, MatmulFinishKernel, NaiveMatmulKernel, PackKernel};
pub use variants::expand_all_variants;
pub use walk::Walk;
pub use xattention::{
    XAttentionPackKernel, XAttentionReduceKernel, XAttentionRules, XAttentionScoreKernel,
};
pub use xattention_decide::{XAttentionCountKernel, XAttentionDecideKernel};
pub use xattention_select::XAttentionSelectKernel;
