//! What the device can do at best, measured by micro-kernels, and which share of it a row reaches.
//!
//! A row does a known number of multiply-adds and moves a known number of bytes at least (every operand once). Neither can be faster than
//! the device multiplies in registers or reads memory; the slower of the two is the row's ceiling, the roofline. The ceilings are those
//! of WGSL kernels on this adapter and driver, not those of the data sheet: what a driver does not make of WGSL, no kernel can reach.

mod error;
mod fma;
mod kernels;
mod measure;
mod reads;
mod roofline;

pub use error::CeilingError;
pub use measure::{Ceilings, ReadCeiling};
pub use roofline::{Bound, Roofline};
