//! cubek 0.3.1 on cubecl 0.11.3: the kernels of burn.

mod attention;
mod matmul;
mod route;
mod strategies;

pub(super) use attention::attention;
pub(super) use matmul::matmul;
pub(super) use route::{Route, routes};
