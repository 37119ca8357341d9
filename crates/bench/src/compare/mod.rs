//! `sparse-bench compare`: every operation against its dense baseline, checked and timed.

pub mod attention;
pub mod bench;
pub mod gradient;
pub mod matmul;
mod repeated;
pub mod source;
