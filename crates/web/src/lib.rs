//! The comparison of `sparse-bench` in a browser: each sparse operation against its dense twin on the visitor's own GPU, checked against the
//! CPU reference, which is computed in the browser too.
//!
//! `sparse-bench` itself waits for the device and reads command lines and files, none of which a browser has. What of it is a formula is here as the
//! very same file: medians and ratios, ideals, checks, patterns, copies of weights, sizes. What waits is asynchronous instead. Everything but the module `page` runs on
//! native platforms as well, where it is tested.

pub mod bench;
pub mod compare;
pub mod device;
pub mod measure;
#[cfg(target_arch = "wasm32")]
pub mod page;
#[path = "../../bench/src/pattern.rs"]
pub mod pattern;
pub mod record;
pub mod rows;
#[path = "../../bench/src/weights.rs"]
pub mod weights;
#[path = "../../bench/src/words.rs"]
mod words;
#[path = "../../bench/src/ceilings/work.rs"]
pub mod work;
