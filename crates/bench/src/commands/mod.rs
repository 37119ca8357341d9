//! The commands. Inputs are read and checked before an adapter is asked for, so that mistakes are reported at once.

pub(crate) mod attention;
pub(crate) mod matmul;
