//! Which walk and which tile a problem gets, and why.

use sparse_shaders::{CooperativeTile, MatvecKernel, Tile, Walk};

use super::nm_walk::{nm_transposed_walk, nm_walk};
use super::problem::{MatmulProblem, Tier};
use super::tiles;
use super::weights::Format;
use crate::AdapterClass;

/// Up to this many tokens, and without a tile of the caller's, a matmul runs as a matrix-vector product.
pub(crate) const FEW_TOKENS: usize = MatvecKernel::MAX_TOKENS;

/// The kernel that a plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelChoice {
    /// `matmul.wgsl`.
    Tiled(Tile),
    /// `matvec.wgsl`.
    Matvec(MatvecTile),
    /// `matmul_cooperative.wgsl`.
    Cooperative { tile: CooperativeTile, padded: bool },
}

/// What a workgroup of `matvec.wgsl` owns: rows of w (outputs, where those lie side by side) times all tokens of a panel, by so many lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatvecTile {
    pub(crate) rows: usize,
    pub(crate) panel: usize,
    pub(crate) lanes: usize,
}

impl MatvecTile {
    /// The kernel of this tile, f32 throughout and without an epilogue.
    pub(crate) const fn kernel(self, walk: Walk) -> MatvecKernel {
        MatvecKernel::new(walk, self.rows, self.panel, self.lanes)
    }
}

impl KernelChoice {
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Tiled(tile) => tile.rows,
            Self::Matvec(tile) => tile.rows,
            Self::Cooperative { tile, .. } => tile.rows(),
        }
    }

    /// Tokens of a panel of packed activations.
    pub(crate) fn panel(self) -> usize {
        match self {
            Self::Tiled(tile) => tile.panel(),
            Self::Matvec(tile) => tile.panel,
            Self::Cooperative { tile, .. } => tile.panel(),
        }
    }

    /// Stored weights of a row that one round of the kernel's loop takes.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Tiled(_) | Self::Matvec(_) => 4,
            Self::Cooperative { tile, .. } => tile.size.side(),
        }
    }

    /// Bytes of a packed activation.
    pub(crate) fn packed_bytes(self) -> u64 {
        match self {
            Self::Tiled(_) | Self::Matvec(_) => 4,
            Self::Cooperative { .. } => 2,
        }
    }

    /// Name of the tier.
    pub(crate) fn tier(self) -> &'static str {
        match self {
            Self::Tiled(_) | Self::Matvec(_) => Tier::Portable.name(),
            Self::Cooperative { .. } => Tier::CooperativeMatrix.name(),
        }
    }

    /// In words, for weights that are walked by `walk`.
    pub(crate) fn describe(self, walk: Walk) -> String {
        match self {
            Self::Tiled(tile) => {
                format!(
                    "{} rows x {} tokens x {} lanes",
                    tile.rows, tile.cols, tile.lanes
                )
            }
            Self::Matvec(MatvecTile { rows, panel, lanes }) => {
                if walk.columns() {
                    format!("{rows} outputs x {panel} tokens, side by side on {lanes} lanes")
                } else {
                    format!("{rows} rows x {panel} tokens, k over {lanes} lanes")
                }
            }
            Self::Cooperative { tile, .. } => {
                let side = tile.size.side();
                format!(
                    "{} x {} matrices of {side} x {side} a subgroup, {} tokens by {} lanes",
                    tile.row_matrices,
                    tile.token_matrices,
                    tile.panel(),
                    tile.lanes
                )
            }
        }
    }
}

/// The walk over k, with the reason where there was a choice. Weights that are expanded first may take `scratch` bytes.
pub(crate) fn walk(
    problem: &MatmulProblem,
    matvec: bool,
    class: AdapterClass,
    scratch: u64,
) -> (Walk, Option<String>) {
    let k_in = problem.k_in;
    if problem.transposed.w {
        return transposed_walk(problem, class, scratch);
    }
    match problem.format {
        Format::Dense => {
            let vector_weights = k_in.is_multiple_of(4);
            let note = (!vector_weights).then(|| {
                format!("rows of {k_in} weights do not start at multiples of 4: weights are loaded one by one")
            });
            (Walk::Dense { vector_weights }, note)
        }
        Format::Nm { pattern } => nm_walk(problem, pattern, matvec, class),
        Format::Bsr { block: (br, bc) } => (Walk::Bsr { br, bc }, None),
    }
}

fn transposed_walk(
    problem: &MatmulProblem,
    class: AdapterClass,
    scratch: u64,
) -> (Walk, Option<String>) {
    let (n_out, k_in) = (problem.n_out, problem.k_in);
    let whole_steps = k_in.is_multiple_of(4);
    match problem.format {
        Format::Dense => {
            let vector_weights = n_out.is_multiple_of(4);
            let note = (!vector_weights).then(|| {
                format!("rows of {n_out} weights do not start at multiples of 4: weights are loaded one by one")
            });
            let walk = Walk::DenseTransposed {
                vector_weights,
                whole_steps,
            };
            (walk, note)
        }
        Format::Nm { pattern } => nm_transposed_walk(problem, pattern, class, scratch),
        Format::Bsr { block: (br, bc) } => (Walk::BsrTransposed { br, bc }, None),
    }
}

/// The register tile: the widest of the class, with as many rows as fit a strip and as few columns as the tokens need.
pub(crate) fn tile(walk: Walk, tokens: usize, class: AdapterClass) -> Tile {
    let expands = matches!(walk, Walk::NmExpand { .. } | Walk::NmTransposed { .. });
    let widest = match walk {
        Walk::NmBranch { .. } => tiles::branching_as_asked(class),
        _ => tiles::widest(class, expands),
    };
    let mut tile = Tile {
        rows: rows(
            walk.strip_rows(widest.rows),
            least(walk),
            widest.rows.min(walk.most_rows()),
        ),
        ..widest
    };
    let lists = matches!(
        walk,
        Walk::Nm { .. } | Walk::Bsr { .. } | Walk::BsrTransposed { .. }
    );
    if let Some(cols) = tiles::cols_of_few_rows(class, tile.rows, lists) {
        tile.cols = cols;
    }
    while tile.panel() / 2 >= tokens {
        if tile.rows > 1 && tile.cols > widest.cols {
            // Columns that were to share what few rows cost: a subgroup with idle lanes costs more.
            tile.cols /= 2;
        } else if tile.lanes > tiles::subgroup(class) {
            tile.lanes /= 2;
        } else if tile.cols > 4 {
            tile.cols /= 2;
        } else if tile.lanes > 8 {
            tile.lanes /= 2;
        } else {
            break;
        }
    }
    tile
}

/// The kernel for few tokens and so many outputs.
pub(crate) fn matvec(walk: Walk, tokens: usize, n_out: usize, class: AdapterClass) -> MatvecTile {
    let software = class == AdapterClass::Software;
    let panel = [1, 4, MatvecKernel::MAX_TOKENS]
        .into_iter()
        .find(|&panel| tokens <= panel)
        .unwrap_or(MatvecKernel::MAX_TOKENS);
    let most = match (panel, walk) {
        _ if walk.columns() => most_columns(walk, panel, n_out, software),
        // Measured on lavapipe, where loading from a place that differs by lane is what a mat-vec costs: rows share the loads of x, and the sums of
        // sixteen may leave the registers. Not where each row gathers an x of its own, nor in the dense product of one token, which loads little x.
        (_, Walk::NmGather { .. }) if software => 4,
        (1, Walk::Dense { .. }) if software => 8,
        _ if software => 16,
        (8, _) => 4,
        _ => 8,
    };
    let rows = rows(walk.strip_rows(most), least(walk), most);
    MatvecTile {
        rows,
        panel,
        lanes: if software { 8 } else { 64 },
    }
}

/// Outputs of a workgroup, at most, where neighbours in memory are outputs.
///
/// What decides on lavapipe, for weights that are not in the cache: the more of a page is read at once the better, up to all of it. But an
/// invocation owns them all, and compilers take seconds for long loops: fewer where putting weights in their places is long, or tokens are more.
fn most_columns(walk: Walk, panel: usize, n_out: usize, software: bool) -> usize {
    let [for_one, for_four, for_more] = match walk {
        // 16 invocations of 64 read 256 bytes of f32 each k, the rest share out k.
        _ if !software => [64; 3],
        Walk::DenseTransposed {
            vector_weights: true,
            ..
        } => [1024, 512, 256],
        Walk::NmTransposed { n: 2, m: 4, .. } => [512, 128, 64],
        Walk::DenseTransposed { .. } => [256, 64, 32],
        _ => [64, 32, 32],
    };
    let mut columns = match panel {
        1 => for_one,
        4 => for_four,
        _ => for_more,
    };
    let idle = |columns: usize| n_out.div_ceil(columns) * columns - n_out;
    while columns > 32 && idle(columns) > n_out / 8 {
        columns /= 2;
    }
    columns
}

/// Parts into which k is split where a device would otherwise have too few workgroups to fill it: few rows, few tokens, long sums; on a processor,
/// a wide piece of a transposed w.
pub(crate) fn split_k(
    problem: &MatmulProblem,
    walk: Walk,
    chosen: KernelChoice,
    steps: usize,
    class: AdapterClass,
) -> usize {
    let filling = match (class, chosen) {
        (AdapterClass::Software, KernelChoice::Matvec(_)) if walk.columns() => FILLING_A_PROCESSOR,
        (AdapterClass::Software, _) => return 1,
        _ => FILLING_GROUPS,
    };
    let groups = problem.n_out.div_ceil(chosen.rows()) * problem.tokens.div_ceil(chosen.panel());
    let steps_of_lane = match chosen {
        KernelChoice::Tiled(_) | KernelChoice::Cooperative { .. } => steps,
        KernelChoice::Matvec(tile) => steps / tile.kernel(walk).slices(),
    };
    (filling / groups.max(1)).clamp(1, (steps_of_lane / SHORTEST_PART).clamp(1, MOST_PARTS))
}

/// Workgroups that fill a GPU of any size tolerably.
const FILLING_GROUPS: usize = 512;
/// Workgroups that fill a processor.
const FILLING_A_PROCESSOR: usize = 16;
/// Steps of four k that a part has at least, so that adding up parts does not count.
const SHORTEST_PART: usize = 64;
/// Parts into which a plan splits k of its own accord, at most: a bound on the additions of a sum beyond its terms.
pub const MOST_PARTS: usize = 16;

/// Rows of a tile: the power of two up to `most` for which covering `strip_rows` costs least. A tile costs its rows, padding
/// included, and about two more for what all of its rows share.
fn rows(strip_rows: usize, least: usize, most: usize) -> usize {
    [1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
        .into_iter()
        .filter(|&rows| (least..=most).contains(&rows))
        .min_by_key(|&rows| strip_rows.div_ceil(rows) * (rows + 2))
        .unwrap_or(least)
}

/// Rows of a tile, at least: transposed weights come in fours.
fn least(walk: Walk) -> usize {
    if walk.quads() { 4 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_cover_a_strip_with_little_waste() {
        let chosen: Vec<_> = [1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 32]
            .map(|v| rows(v, 1, 8))
            .into();
        assert_eq!(chosen, [1, 2, 4, 4, 8, 8, 8, 4, 8, 8, 8]);
        assert_eq!([8, 16, 20, 32].map(|v| rows(v, 1, 16)), [8, 16, 8, 16]);
    }

    #[test]
    fn few_idle_columns() {
        let columns = |n_out, vector_weights| {
            let walk = Walk::DenseTransposed {
                vector_weights,
                whole_steps: true,
            };
            matvec(walk, 1, n_out, AdapterClass::Software).rows
        };
        let chosen = [1, 33, 768, 1000, 1024, 1100, 4096].map(|n_out| columns(n_out, true));
        assert_eq!(chosen, [32, 32, 256, 1024, 1024, 128, 1024]);
        assert_eq!(columns(1022, false), 256);
    }

    #[test]
    fn few_tokens_get_small_panels() {
        let dense = Walk::Dense {
            vector_weights: true,
        };
        assert_eq!(tile(dense, 1024, AdapterClass::Amd).panel(), 512);
        assert_eq!(tile(dense, 100, AdapterClass::Amd).panel(), 128);
        // Columns of few rows are given up before lanes.
        let four_rows = Walk::Nm {
            n: 2,
            m: 4,
            v: 4,
            index_bits: 2,
        };
        let of = |tokens| tile(four_rows, tokens, AdapterClass::Amd).to_string();
        assert_eq!([1024, 512, 256].map(of), ["4x16x64", "4x8x64", "4x8x32"]);
        assert_eq!(
            tile(dense, 9, AdapterClass::Amd),
            Tile {
                rows: 8,
                cols: 4,
                lanes: 8
            }
        );
    }
}
