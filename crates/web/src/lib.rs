//! The comparison of `sparse-bench` in a browser: each sparse operation against its dense twin on the visitor's own GPU, checked against the
//! CPU reference, which is computed in the browser too.
//!
//! `sparse-bench` itself waits for the device and reads command lines and files, none of which a browser has. The formulas of both lie in `sparse-measure`;
//! what waits is asynchronous here. Everything but the module `page` runs on native platforms as well, where it is tested.

pub mod bench;
pub mod compare;
pub mod device;
#[cfg(target_arch = "wasm32")]
pub mod page;
pub mod record;
pub mod rounds;
pub mod rows;
