//! Loads q, k and v of a real model's attention layer, where they are at hand: layer 11 of Gemma 3 270M on 4096 tokens of text, f16, four
//! query heads on one key/value head, head dimension 256, causal.
//!
//! Found in the folder named by `SPARSE_DATA`, or `../shared/data` beside the repository. The numbers must not become
//! part of it.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors};
use sparse_core::Tensor;

/// q, k, v; `None`, with a printed line, where the file is not there.
pub(crate) fn load() -> Option<[Tensor<f16>; 3]> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SPARSE_DATA").map_or(beside, PathBuf::from);
    let path = folder.join("gemma3_270m_L4096_layer11.safetensors");
    if !path.is_file() {
        assert!(
            std::env::var_os("SPARSE_DATA").is_none() && !folder.exists(),
            "no real tensors in {}, where they should be",
            folder.display()
        );
        // Not `println!`, which the test harness keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no real tensors in {}",
            folder.display()
        );
        return None;
    }
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    Some(["q", "k", "v"].map(|name| {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F16, "{name}");
        let halves = tensor.data().chunks_exact(2);
        let data = halves.map(|x| f16::from_le_bytes(x.try_into().unwrap()));
        Tensor::new(tensor.shape().to_vec(), data.collect())
    }))
}
