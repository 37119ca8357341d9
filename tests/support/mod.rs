//! What the tests of several operations share.
#![allow(unused_imports, reason = "every test binary uses another part")]

pub(crate) mod attention;
pub(crate) mod gpu;
pub(crate) mod matmul;
pub(crate) mod nm_sddmm;
pub(crate) mod packed;
pub(crate) mod pairs;
pub(crate) mod product;
pub(crate) mod sddmm;
pub(crate) mod varlen;
