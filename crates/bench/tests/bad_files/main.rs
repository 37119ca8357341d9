//! Tensor files that are missing, damaged, hostile or hold something else.

#[path = "../support/mod.rs"]
mod support;

mod containers;
mod numbers;
mod outputs;
mod tensors;

use support::Folder;

fn matmul(folder: &Folder, options: &str) -> String {
    format!(
        "matmul --weights {} --pattern 2:4 --out {} {options}",
        folder.file().display(),
        folder.out().display()
    )
}

fn attention(folder: &Folder, options: &str) -> String {
    format!(
        "attention --qkv {} --out {} {options}",
        folder.file().display(),
        folder.out().display()
    )
}
