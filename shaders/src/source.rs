//! Expanded kernels.

use crate::Extensions;

/// One kernel's WGSL with what a host must know to run it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name of the variant.
    pub name: String,
    /// The text, with the `enable` lines that its extensions want.
    pub wgsl: String,
    /// What it needs beyond WebGPU's core.
    pub extensions: Extensions,
    /// Invocations of a workgroup (x; y and z are 1).
    pub workgroup_size: u32,
    /// Bindings of group 0, ascending.
    pub bindings: Vec<Binding>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// One buffer that a kernel reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Number in group 0.
    pub index: u32,
    /// The variable's name in the WGSL.
    pub name: String,
    /// How it is used.
    pub access: Access,
}

/// How a kernel uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform struct.
    Uniform,
    /// A storage array that is only read.
    Read,
    /// A storage array that is written.
    ReadWrite,
}
