//! `matmul.wgsl`: the tiled matmul that dense, N:M and block-sparse weights share.

use serde::Serialize;
use serde::ser::Error;

use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::output::Output;
use crate::storage::Storage;
use crate::tile::Tile;
use crate::walk::{Walk, WalkConfig};

/// `y = act(alpha * x w^T + beta * c + bias)` with a register tile; see `matmul.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulKernel {
    /// Which k each row of weights visits.
    pub walk: Walk,
    /// The register tile.
    pub tile: Tile,
    /// Storage of the packed activations.
    pub packed: Storage,
    /// Storage of the weights.
    pub weight: Storage,
    /// What becomes of the sums.
    pub output: Output,
    /// k is split in parts, each with sums of its own, for [`crate::MatmulFinishKernel`] to add up.
    pub split: bool,
}

impl MatmulKernel {
    /// f32 throughout, no epilogue, k in one part.
    pub const fn new(walk: Walk, tile: Tile) -> Self {
        Self {
            walk,
            tile,
            packed: Storage::F32,
            weight: Storage::F32,
            output: Output::F32,
            split: false,
        }
    }

    /// Rows of w that share one list of k.
    pub const fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.tile.rows)
    }
}

#[derive(Serialize)]
struct MatmulVariables {
    walk: &'static str,
    quads: bool,
    branches: bool,
    config: WalkConfig,
    rows: usize,
    cols: usize,
    lanes: usize,
    panel: usize,
    vectors: usize,
    strip_rows: usize,
    packed: Storage,
    output: Output,
    split: bool,
}

impl Serialize for MatmulKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The patterns of a walk that branches are of quads of whole groups.
        self.check().map_err(S::Error::custom)?;
        MatmulVariables {
            walk: self.walk.name(),
            quads: self.walk.quads(),
            branches: matches!(self.walk, Walk::NmBranch { .. }),
            config: WalkConfig::new(self.walk, self.weight, self.tile.panel() / 4)
                .for_lanes(self.tile.lanes),
            rows: self.tile.rows,
            cols: self.tile.cols,
            lanes: self.tile.lanes,
            panel: self.tile.panel(),
            vectors: self.tile.cols / 4,
            strip_rows: self.strip_rows(),
            packed: self.packed,
            output: self.output,
            split: self.split,
        }
        .serialize(serializer)
    }
}

impl Kernel for MatmulKernel {
    fn template(&self) -> &'static str {
        "matmul.wgsl"
    }

    fn name(&self) -> String {
        let packed = match self.packed {
            Storage::F32 => String::new(),
            halves => format!("_x-{}", halves.name()),
        };
        format!(
            "matmul_{}_{}{packed}_w-{}_{}{}",
            self.walk.label(),
            self.tile,
            self.weight.name(),
            self.output.label(),
            if self.split { "_split" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.tile.check(&name)?;
        self.walk.check(&name)?;
        self.walk.check_rows(&name, self.tile.rows)?;
        let shared = !self.walk.own_lists();
        require(
            shared,
            &name,
            "lists of k in a tile",
            self.tile.rows,
            "one, that all rows share",
        )?;
        self.output.check(&name, self.tile.rows, self.strip_rows())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::value::{Serde, Value, ValueKind};

    use super::*;
    use crate::expand;

    /// The leaves of all branches of a kernel: in each the columns of its multiply-adds, in their order.
    fn leaves(n: usize, m: usize, tile: Tile) -> Vec<Vec<char>> {
        let walk = Walk::NmBranch {
            n,
            m,
            v: 1,
            index_bits: if m == 2 { 1 } else { 2 },
        };
        let source = expand(&MatmulKernel::new(walk, tile)).unwrap_or_else(|e| panic!("{e}"));
        let mut leaves = vec![Vec::new()];
        for line in source.wgsl.lines() {
            if let Some((_, column)) = line.split_once("), x_") {
                assert!(line.contains("= fma("), "{line}");
                leaves.last_mut().unwrap().extend(column.chars().next());
            } else if !leaves.last().unwrap().is_empty() {
                leaves.push(Vec::new());
            }
        }
        leaves.retain(|leaf| !leaf.is_empty());
        leaves
    }

    #[test]
    fn kernels_that_cannot_be_expanded_have_no_variables() {
        let tile = Tile {
            rows: 4,
            cols: 8,
            lanes: 32,
        };
        let branch = |n, m, index_bits| {
            let v = 1;
            let walk = Walk::NmBranch {
                n,
                m,
                v,
                index_bits,
            };
            Value::from(Serde(MatmulKernel::new(walk, tile))).kind()
        };
        assert_eq!(branch(2, 4, 2), ValueKind::Map);
        for (n, m, index_bits) in [(1, 0, 2), (0, 4, 2), (2, 8, 4), (2, 4, u32::MAX)] {
            assert_eq!(branch(n, m, index_bits), ValueKind::Invalid, "{n}:{m}");
        }
    }

    #[test]
    fn a_leaf_multiplies_stored_weights_only() {
        for (n, m, weights, patterns) in [(2, 4, 2, 6), (1, 4, 1, 4), (1, 2, 2, 4)] {
            for (rows, cols) in [(4, 8), (2, 16), (1, 4)] {
                let tile = Tile {
                    rows,
                    cols,
                    lanes: 32,
                };
                let leaves = leaves(n, m, tile);
                // A step is four stored weights.
                let trees = rows * 4 / weights;
                assert_eq!(leaves.len(), trees * patterns, "{n}:{m} {tile}");
                for tree in leaves.chunks(patterns) {
                    for leaf in tree {
                        // Each a vec4 of tokens: so many multiply-adds for each token and row, where a dense quad has four.
                        assert_eq!(leaf.len(), weights * cols / 4, "{n}:{m} {tile}");
                    }
                    let mut ways: Vec<_> = tree.to_vec();
                    ways.sort();
                    ways.dedup();
                    assert_eq!(ways.len(), patterns, "{n}:{m} {tile}: two leaves are alike");
                }
            }
        }
    }
}
