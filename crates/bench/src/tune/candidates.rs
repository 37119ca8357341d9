//! Which tiles are tried, those nearest to the default first.

use sparse_gpu::{AttentionTile, KernelTile, Tile};

/// Products of rows and columns that no device keeps in registers are not tried.
const MOST_SUMS: usize = 256;
/// Outputs of a workgroup of few tokens; those that the walk does not take are left out.
const MATVEC_ROWS: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// The other tiles of the same kernel that `fits`, nearest first: those that differ from `default` in one number by a factor of two, then the
/// rest. `tokens` bounds how wide a panel can be without being half empty.
pub fn candidates(default: &KernelTile, tokens: usize, block: usize) -> Vec<KernelTile> {
    let all: Vec<KernelTile> = match *default {
        KernelTile::Matmul { walk, tile } => tiles(tile, tokens)
            .map(|tile| KernelTile::Matmul { walk, tile })
            .collect(),
        KernelTile::Matvec { walk, .. } => pairs(&MATVEC_ROWS, &[4, 8, 16, 32, 64, 128, 256])
            .map(|(rows, lanes)| KernelTile::Matvec { walk, rows, lanes })
            .collect(),
        KernelTile::BlockAttention { head_dim, tile } => {
            let all: Vec<AttentionTile> = match tile {
                AttentionTile::Few { .. } => few_tiles().collect(),
                _ => attention_tiles(head_dim).collect(),
            };
            all.into_iter()
                .filter(|tile| tile.check(block, &|| tile.to_string()).is_ok())
                .map(|tile| KernelTile::BlockAttention { head_dim, tile })
                .collect()
        }
        KernelTile::XattentionScore {
            groups_per_block,
            tile,
        } => {
            let groups = tokens * groups_per_block / block.max(1);
            tiles(tile, groups)
                .map(|tile| KernelTile::XattentionScore {
                    groups_per_block,
                    tile,
                })
                .collect()
        }
        _ => Vec::new(),
    };
    let mut others: Vec<_> = all
        .into_iter()
        .filter(|tile| tile != default && tile.check().is_ok())
        .collect();
    others.sort_by(|a, b| distance(default, a).total_cmp(&distance(default, b)));
    others
}

fn tiles(default: Tile, tokens: usize) -> impl Iterator<Item = Tile> {
    let widest = (2 * tokens).max(default.panel());
    let lanes = [4, 8, 16, 32, 64, 128, 256];
    pairs(&[1, 2, 4, 8, 16], &[4, 8, 12, 16])
        .flat_map(move |(rows, cols)| lanes.map(|lanes| Tile { rows, cols, lanes }))
        .filter(move |tile| tile.rows * tile.cols <= MOST_SUMS && tile.panel() < widest.max(33))
}

fn attention_tiles(head_dim: usize) -> impl Iterator<Item = AttentionTile> {
    let direct = pairs(&[4, 8, 16, 32, 64], &[1, 2, 4]).flat_map(move |(lanes, queries)| {
        pairs(&[4, 8, 16], &[16, 32, 64, 128])
            // Where half as many cover a row already, the text is the same.
            .filter(move |&(_, dims)| dims == 16 || dims / 2 < head_dim)
            .map(move |(keys, dims)| AttentionTile::Direct {
                lanes,
                queries,
                keys,
                dims,
            })
    });
    let tiled = pairs(&[16, 32, 64, 128], &[4, 8, 16])
        .map(|(queries, split)| AttentionTile::Tiled { queries, split });
    direct.chain(tiled)
}

/// For few queries.
fn few_tiles() -> impl Iterator<Item = AttentionTile> {
    pairs(&[1, 2, 4, 8], &[4, 8, 16, 32, 64, 128, 256])
        .map(|(queries, lanes)| AttentionTile::Few { queries, lanes })
}

fn pairs<'a>(a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + use<'a> {
    a.iter().flat_map(move |&a| b.iter().map(move |&b| (a, b)))
}

/// Doublings from one tile to the other. Twelve columns, which few kernels gain from, come after the powers of two.
fn distance(from: &KernelTile, to: &KernelTile) -> f64 {
    let (from, to) = (numbers(from), numbers(to));
    // Another kind of kernel altogether.
    if from.len() != to.len() {
        return f64::INFINITY;
    }
    let doublings = |(&a, &b): (&usize, &usize)| {
        let detour = if b.is_power_of_two() { 0.0 } else { 1.0 };
        (b as f64 / a as f64).log2().abs() + detour
    };
    from.iter().zip(&to).map(doublings).sum()
}

fn numbers(kernel: &KernelTile) -> Vec<usize> {
    match *kernel {
        KernelTile::Matmul { tile, .. } | KernelTile::XattentionScore { tile, .. } => {
            vec![tile.rows, tile.cols, tile.lanes]
        }
        KernelTile::Matvec { rows, lanes, .. } => vec![rows, lanes],
        KernelTile::BlockAttention { tile, .. } => match tile {
            AttentionTile::Direct {
                lanes,
                queries,
                keys,
                dims,
            } => vec![lanes, queries, keys, dims],
            AttentionTile::Tiled { queries, split } => vec![queries, split],
            AttentionTile::Few { queries, lanes } => vec![queries, lanes],
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matmul(walk: &str, rows: usize, cols: usize, lanes: usize) -> KernelTile {
        KernelTile::Matmul {
            walk: walk.parse().unwrap(),
            tile: Tile { rows, cols, lanes },
        }
    }

    #[test]
    fn neighbours_come_first_and_the_default_not_at_all() {
        let default = matmul("dense", 8, 8, 32);
        let all = candidates(&default, 1024, 128);
        assert!(!all.contains(&default));
        let first = &all[..6];
        for near in [
            matmul("dense", 4, 8, 32),
            matmul("dense", 16, 8, 32),
            matmul("dense", 8, 4, 32),
            matmul("dense", 8, 16, 32),
            matmul("dense", 8, 8, 16),
            matmul("dense", 8, 8, 64),
        ] {
            assert!(first.contains(&near), "{near:?}");
        }
        assert!(all.iter().all(|tile| tile.check().is_ok()));
    }

    #[test]
    fn strips_blocks_and_tokens_bound_what_is_tried() {
        let most_rows = |walk: &str| {
            let all = candidates(&matmul(walk, 4, 8, 8), 64, 128);
            let rows = all.iter().map(|tile| numbers(tile)[0]);
            rows.max().unwrap()
        };
        assert_eq!([most_rows("nm 8:2:4"), most_rows("bsr 16x16")], [8, 16]);
        let panels = candidates(&matmul("dense", 8, 8, 8), 40, 128);
        assert!(
            panels
                .iter()
                .all(|tile| numbers(tile)[1] * numbers(tile)[2] < 80)
        );
        let attention = KernelTile::BlockAttention {
            head_dim: 64,
            tile: AttentionTile::Direct {
                lanes: 8,
                queries: 2,
                keys: 4,
                dims: 16,
            },
        };
        let all = candidates(&attention, 512, 32);
        assert!(
            // Dimensions, the fourth number of a direct tile, are not of the block.
            all.iter()
                .all(|tile| numbers(tile).iter().take(3).all(|&n| n <= 32))
        );
        // Both kernels are tried, the default's kind first.
        assert_eq!(numbers(&all[0]).len(), 4);
        assert_eq!(numbers(all.last().unwrap()).len(), 2);
    }

    #[test]
    fn few_queries_try_tiles_for_few_alone_and_many_none_of_them() {
        let kernel = |tile| KernelTile::BlockAttention { head_dim: 64, tile };
        let few = |queries, lanes| kernel(AttentionTile::Few { queries, lanes });
        let is_few = |tile: &KernelTile| {
            let KernelTile::BlockAttention { tile, .. } = tile else {
                panic!("{tile:?}");
            };
            matches!(tile, AttentionTile::Few { .. })
        };
        let of_few = candidates(&few(4, 8), 4096, 128);
        assert!(of_few.len() > 20 && of_few.iter().all(is_few));
        let near = [few(2, 8), few(8, 8), few(4, 4), few(4, 16)];
        assert!(near.iter().all(|tile| of_few[..4].contains(tile)));
        let tiled = AttentionTile::Tiled {
            queries: 64,
            split: 8,
        };
        assert!(!candidates(&kernel(tiled), 4096, 128).iter().any(is_few));
    }

    #[test]
    fn loops_over_more_dimensions_than_there_are_are_tried_once() {
        for (head_dim, expected) in [
            (6, &[16][..]),
            (16, &[16]),
            (20, &[16, 32]),
            (64, &[16, 32, 64]),
            (72, &[16, 32, 64, 128]),
            (256, &[16, 32, 64, 128]),
        ] {
            let tile = AttentionTile::Tiled {
                queries: 64,
                split: 8,
            };
            let default = KernelTile::BlockAttention { head_dim, tile };
            let mut dims: Vec<usize> = candidates(&default, 512, 128)
                .iter()
                .filter_map(|tile| numbers(tile).get(3).copied())
                .collect();
            dims.sort_unstable();
            dims.dedup();
            assert_eq!(dims, expected, "head_dim {head_dim}");
        }
    }
}
