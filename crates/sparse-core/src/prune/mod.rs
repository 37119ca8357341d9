//! Choosing what to keep, and checking what a dense matrix already keeps.

mod check;

pub use check::{NmViolation, check_nm};
