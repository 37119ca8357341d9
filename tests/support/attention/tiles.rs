//! How the queries of a workgroup of attention are divided: tiles of every kernel.

use sparse_gpu::AttentionTile;

/// The default of processors without AVX-512.
pub(crate) const DIRECT: AttentionTile = AttentionTile::Direct {
    lanes: 8,
    queries: 2,
    keys: 4,
    dims: 16,
};

/// A tile of GPUs.
pub(crate) const TILED: AttentionTile = AttentionTile::Tiled {
    queries: 16,
    split: 4,
};

/// Half of the default of processors for few queries, so that there are several tiles of them.
pub(crate) const FEW: AttentionTile = AttentionTile::Few {
    queries: 4,
    lanes: 8,
};

/// One of each kernel.
pub(crate) const TILES: [AttentionTile; 3] = [DIRECT, TILED, FEW];

/// A kernel of attention. Each takes a software driver long to compile: a test for each can run beside those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Direct,
    Tiled,
    Few,
}

impl Kernel {
    pub(crate) fn of(tile: AttentionTile) -> Self {
        match tile {
            AttentionTile::Direct { .. } => Self::Direct,
            AttentionTile::Tiled { .. } => Self::Tiled,
            AttentionTile::Few { .. } => Self::Few,
        }
    }

    /// Its tile of [`TILES`].
    pub(crate) fn tile(self) -> AttentionTile {
        match self {
            Self::Direct => DIRECT,
            Self::Tiled => TILED,
            Self::Few => FEW,
        }
    }

    /// Its [`tiles`].
    pub(crate) fn tiles(self, block: usize) -> Vec<AttentionTile> {
        let mut tiles = tiles(block);
        tiles.retain(|&tile| Self::of(tile) == self);
        assert!(
            !tiles.is_empty(),
            "no tile of {self:?} for blocks of {block}"
        );
        tiles
    }
}

/// Tiles of every kernel, for blocks of `block` tokens.
pub(crate) fn tiles(block: usize) -> Vec<AttentionTile> {
    let direct = |lanes, queries, keys| AttentionTile::Direct {
        lanes,
        queries,
        keys,
        dims: if queries == 1 { 128 } else { 16 },
    };
    let tiled = |queries, split| AttentionTile::Tiled { queries, split };
    let few = |queries, lanes| AttentionTile::Few { queries, lanes };
    let all = [
        direct(8, 2, 8),
        direct(16, 1, 16),
        direct(32, 1, 4),
        direct(16, 4, 8),
        tiled(16, 4),
        tiled(32, 8),
        tiled(64, 8),
        few(2, 16),
        tiled(32, 16),
    ];
    all.into_iter()
        .filter(|tile| tile.check(block, &|| tile.to_string()).is_ok())
        .collect()
}
