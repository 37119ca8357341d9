//! Loads golden files for XAttention: inputs, scores, masks and attention outputs made outside of this library.
//!
//! Shared by the tests of several crates, each of which uses a part of it. Two sources: `tests/data` (ours, always there) and the larger
//! set of the public reference implementation's results in the folder named by `SPARSE_GOLDENS`, or `../shared/goldens` beside the
//! repository.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use safetensors::{Dtype, SafeTensors};
use sparse_core::Tensor;
use sparse_core::attention::AttentionShape;
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{Mode, Pooling, ReferenceOptions, XAttentionOptions};

/// One golden file.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) name: String,
    /// Reference mode, with every option of the file.
    pub(crate) options: XAttentionOptions,
    /// Query groups per score row. This library reproduces 1; at other values the sums do not apply to it.
    pub(crate) kdb: usize,
    pub(crate) shape: AttentionShape,
    pub(crate) q: Tensor<f32>,
    pub(crate) k: Tensor<f32>,
    pub(crate) v: Tensor<f32>,
    /// On padded lengths.
    pub(crate) attn_sums: Array<f32>,
    /// On padded lengths.
    pub(crate) simple_mask: Array<u8>,
    pub(crate) out_dense: Vec<f32>,
    pub(crate) lse_dense: Vec<f32>,
    pub(crate) out_sparse: Vec<f32>,
    pub(crate) lse_sparse: Vec<f32>,
    /// Exact mode's scores and mask on real lengths; only our own files have them.
    pub(crate) exact: Option<(Array<f32>, Array<u8>)>,
}

/// A row-major array of rank 4.
#[derive(Clone, Debug)]
pub(crate) struct Array<T> {
    pub(crate) shape: [usize; 4],
    pub(crate) data: Vec<T>,
}

impl<T: Copy> Array<T> {
    pub(crate) fn at(&self, [b, h, i, j]: [usize; 4]) -> T {
        let [_, heads, rows, cols] = self.shape;
        self.data[((b * heads + h) * rows + i) * cols + j]
    }
}

/// The folder of the larger set, if it is there; if not, prints one line saying so.
pub(crate) fn shared_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SPARSE_GOLDENS")
        .map_or_else(|| repository().join("../shared/goldens"), PathBuf::from);
    if folder.join("INDEX.json").is_file() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("SPARSE_GOLDENS").is_none() && !folder.exists(),
        "no golden files in {}, where they should be",
        folder.display()
    );
    // Not `println!`, which the test harness keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "skipped: no golden files in {}",
        folder.display()
    );
    None
}

/// Our own golden files.
pub(crate) fn own_folder() -> PathBuf {
    repository().join("tests/data")
}

/// The repository's root, from any crate two folders below it.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All golden files of a folder, by name. At least one, or it panics.
pub(crate) fn load_all(folder: &Path) -> Vec<Golden> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|x| x == "safetensors"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden files in {}", folder.display());
    paths.iter().map(|path| Golden::load(path)).collect()
}

/// Our own files, and the larger set where it is.
pub(crate) fn load_everything() -> Vec<Golden> {
    let mut all = load_all(&own_folder());
    all.extend(shared_folder().iter().flat_map(|folder| load_all(folder)));
    all
}

impl Golden {
    /// Reads a file; panics with its name where something is missing.
    pub(crate) fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let fields = Fields {
            path,
            meta: header.metadata().clone().expect("metadata"),
            tensors: SafeTensors::deserialize(&bytes).unwrap(),
        };
        let [q, k, v] = ["q", "k", "v"].map(|name| {
            let array = fields.f32(name);
            Tensor::new(array.shape.to_vec(), array.data)
        });
        let options = fields.options();
        Self {
            name: fields.get("name"),
            options,
            kdb: fields.get("kdb"),
            shape: AttentionShape::of_qkv(q.shape(), k.shape(), v.shape()).unwrap(),
            q,
            k,
            v,
            attn_sums: fields.f32("attn_sums"),
            simple_mask: fields.u8("simple_mask"),
            out_dense: fields.flat("out_dense"),
            lse_dense: fields.flat("lse_dense"),
            out_sparse: fields.flat("out_sparse"),
            lse_sparse: fields.flat("lse_sparse"),
            exact: fields
                .tensors
                .tensor("exact_sums")
                .is_ok()
                .then(|| (fields.f32("exact_sums"), fields.u8("exact_mask"))),
        }
    }

    /// The file's options in Exact mode.
    pub(crate) fn exact_options(&self) -> XAttentionOptions {
        XAttentionOptions {
            mode: Mode::Exact,
            ..self.options.clone()
        }
    }

    /// The file's mask, cut to the real lengths.
    pub(crate) fn real_mask(&self) -> BlockMask {
        let [q_blocks, k_blocks] =
            [self.shape.q_len(), self.shape.k_len()].map(|len| len.div_ceil(self.options.block));
        let (batch, heads) = (self.shape.batch(), self.shape.q_heads());
        BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
            self.simple_mask.at([b, h, i, j]) != 0
        })
        .unwrap()
    }
}

struct Fields<'a> {
    path: &'a Path,
    meta: HashMap<String, String>,
    tensors: SafeTensors<'a>,
}

impl Fields<'_> {
    fn get<T: FromStr>(&self, key: &str) -> T {
        self.meta
            .get(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{}: no usable metadata {key}", self.path.display()))
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> (Vec<usize>, &[u8]) {
        let tensor = self.tensors.tensor(name);
        let tensor = tensor.unwrap_or_else(|e| panic!("{}: {name}: {e}", self.path.display()));
        assert_eq!(tensor.dtype(), dtype, "{}: {name}", self.path.display());
        (tensor.shape().to_vec(), tensor.data())
    }

    fn flat(&self, name: &str) -> Vec<f32> {
        let (_, bytes) = self.bytes(name, Dtype::F32);
        bytes
            .chunks_exact(4)
            .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
            .collect()
    }

    fn f32(&self, name: &str) -> Array<f32> {
        let (shape, _) = self.bytes(name, Dtype::F32);
        Array {
            shape: shape.try_into().expect("rank 4"),
            data: self.flat(name),
        }
    }

    fn u8(&self, name: &str) -> Array<u8> {
        let (shape, bytes) = self.bytes(name, Dtype::U8);
        Array {
            shape: shape.try_into().expect("rank 4"),
            data: bytes.to_vec(),
        }
    }

    fn options(&self) -> XAttentionOptions {
        XAttentionOptions {
            block: self.get("block_size"),
            stride: self.get("stride"),
            threshold: self.get::<f64>("threshold").into(),
            causal: self.get("causal"),
            scale: Some(self.get("softmax_scale")),
            norm: self.get("norm"),
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(self.get("chunk_size")),
                keep_sink: self.get("keep_sink"),
                keep_recent: self.get("keep_recent"),
                pooling: match self.get::<String>("select_mode").as_str() {
                    "inverse" => Pooling::Inverse,
                    "slash" => Pooling::Slash,
                    other => panic!("{}: select_mode {other}", self.path.display()),
                },
                softmax: self.get("softmax"),
            }),
            ..XAttentionOptions::default()
        }
    }
}
