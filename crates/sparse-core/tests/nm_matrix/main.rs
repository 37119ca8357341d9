//! The N:M format: constructors, accessors, compression both ways.

#[path = "../support/mod.rs"]
mod support;

mod compression;
mod format;
