//! The operations: one file each, found by its name.

pub(crate) mod block_attention;
mod bsr_matmul;
mod bsr_sddmm;
mod dense_matmul;
mod naive_matmul;
mod nm_matmul;
mod nm_matvec;
mod nm_sddmm;
pub(crate) mod varlen_attention;
mod varlen_xattention;
mod xattention;
mod xattention_score;
mod xattention_select;

pub use block_attention::{BlockAttention, BlockAttentionPlan};
pub use bsr_matmul::BsrMatmul;
pub use bsr_sddmm::{BsrSddmm, BsrSddmmPlan};
pub use dense_matmul::DenseMatmul;
pub use naive_matmul::{NaiveMatmul, NaiveMatmulPlan};
pub use nm_matmul::NmMatmul;
pub use nm_matvec::NmMatvec;
pub use nm_sddmm::{NmSddmm, NmSddmmPlan};
pub use varlen_attention::{VarlenAttention, VarlenAttentionPlan};
pub use varlen_xattention::VarlenXAttention;
pub use xattention::XAttention;
pub use xattention_score::{XAttentionScore, XAttentionScorePlan};
pub use xattention_select::{XAttentionSelect, XAttentionSelectPlan};
