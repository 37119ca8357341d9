//! The operations of `sparse-gpu` in a browser, against the CPU references: `cargo xtask browser`.
//!
//! What is tested there is what only a browser has: its own compiler of WGSL, its own checks of everything that is recorded, no 64-bit integers, no waiting.
//! Shapes and types are tested one by one beside this folder.
#![cfg(all(test, target_arch = "wasm32"))]

mod attention;
#[path = "../support/cost_model.rs"]
mod cost_model;
mod products;
mod support;
#[path = "../web_rows.rs"]
mod web_rows;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
