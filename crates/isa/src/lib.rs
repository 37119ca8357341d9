//! What the kernels become: machine code of real drivers, with or without their hardware.
//!
//! The program `sparse-isa` compiles the kernels that plans take by default through whatever Vulkan device it sees, asks the driver about
//! registers, spills, waves and cycles, reads the assembly, and counts what the hot loops hold.
#![warn(unused_crate_dependencies, clippy::print_stdout)]

pub mod assembly;
pub mod command;
pub mod driver;
pub mod kernels;
mod print;
pub mod shaders;
pub mod spirv;
pub mod survey;
pub mod table;
pub mod vulkan;
