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

mod attention_tile;
mod block_walk;
mod ceiling;
mod config_error;
mod counting;
mod expand;
mod kernel;
mod kernels;
mod output;
mod packing;
mod sampled;
mod source;
mod storage;
mod templates;
mod tile;
mod variants;
mod walk;
mod xattention_rules;

pub use attention_tile::AttentionTile;
pub use block_walk::BlockWalk;
pub use ceiling::CEILING_LANES;
pub use config_error::ConfigError;
pub use counting::LOOP_ENTRY;
pub use expand::{ExpandError, expand, expand_in, naga_for};
pub use kernel::{Extensions, Kernel};
pub use kernels::*;
pub use output::{Activation, Addend, Output};
pub use sampled::{SampledDy, SampledReads, SampledResult, SampledX};
pub use source::{Access, Binding, Source};
pub use storage::{Storage, Words};
pub use tile::Tile;
pub use variants::expand_all_variants;
pub use walk::Walk;
pub use xattention_rules::XAttentionRules;
