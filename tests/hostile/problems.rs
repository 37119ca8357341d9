//! Problems that no kernel computes: tiles, scales and blocks out of range.

use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BsrMatrix, Nm, NmMatrix};
use sparse_gpu::{
    AttentionTile, Batch, BlockAttention, BsrMatmul, DenseMatmul, NmMatmul, NmVariant, Policy,
    Tile, Transposed, XAttention, XAttentionScore,
};

use crate::support::attention::attention_shape;
use crate::support::gpu::gpu;
use crate::{matrix, product};

#[test]
fn strips_and_blocks_longer_than_the_weights_cost_nothing() {
    let (w, x) = (matrix(20, 16), matrix(9, 16));
    let alone = |v| {
        let nm = NmMatrix::prune(&w, Nm::new(2, 4, v)).unwrap();
        let plan = NmMatmul::new(9, 20, 16, nm.pattern());
        let plan = gpu().plan_blocking(&plan).unwrap();
        product(&plan, &gpu().upload_nm(&nm).unwrap(), &x, 20)
    };
    let expected = alone(20);
    for v in [21, 1 << 20, u32::MAX as usize, usize::MAX] {
        assert_eq!(alone(v), expected, "{v} rows a strip");
    }
    // Where w is transposed a strip is of its k.
    let dense = matrix(16, 20);
    let turned = |v, variant| {
        let nm = NmMatrix::prune(&dense, Nm::new(2, 4, v)).unwrap();
        let plan = NmMatmul {
            transposed: Transposed {
                w: true,
                ..Transposed::NONE
            },
            variant,
            ..NmMatmul::new(9, 20, 16, nm.pattern())
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        product(&plan, &gpu().upload_nm(&nm).unwrap(), &x, 20)
    };
    let first = |v| {
        let nm = NmMatrix::prune(&w, Nm::new(2, 4, v)).unwrap();
        let plan = NmMatmul {
            variant: Some(NmVariant::ExpandFirst),
            ..NmMatmul::new(9, 20, 16, nm.pattern())
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        product(&plan, &gpu().upload_nm(&nm).unwrap(), &x, 20)
    };
    let [expand, expand_first] = [NmVariant::Expand, NmVariant::ExpandFirst];
    for v in [21, 1 << 32, usize::MAX] {
        assert_eq!(first(v), first(20), "{v} rows a strip");
        for variant in [None, Some(expand), Some(expand_first)] {
            let expected = turned(16, variant);
            assert!(expected.iter().any(|&y| y != 0.0));
            assert_eq!(
                turned(v, variant),
                expected,
                "{v} rows a strip, {variant:?}"
            );
        }
    }
    let bsr = BsrMatrix::try_new(20, 16, (1 << 28, 4), vec![0, 0], vec![], Vec::<f32>::new());
    let plan = BsrMatmul::new(9, 20, 16, (1 << 28, 4));
    let plan = gpu().plan_blocking(&plan).unwrap();
    let zeros = product(&plan, &gpu().upload_bsr(&bsr.unwrap()).unwrap(), &x, 20);
    assert_eq!(zeros, [0.0; 180]);
    for block in [
        (1 << 30, 4),
        (1 << 31, 1),
        (2, usize::MAX),
        (usize::MAX, 2),
        (0, 4),
    ] {
        let plan = BsrMatmul::new(9, 20, 16, block);
        let error = gpu().plan_blocking(&plan).unwrap_err().to_string();
        let (br, bc) = block;
        assert_eq!(
            error,
            format!(
                "bsr_matmul: blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to \
                 multiples of 4"
            )
        );
    }
}

/// Nothing is computed, and sizes are counted all the same: four bytes for each of nearly 2^64 tokens are too many for a u64.
#[test]
fn products_without_elements_have_any_number_of_tokens() {
    let most = u32::MAX as usize;
    let problem = DenseMatmul {
        batch: Batch::Shared(most),
        split_k: Some(2),
        ..DenseMatmul::new(most, 0, 0)
    };
    gpu().plan_blocking(&problem).unwrap();
}

#[test]
fn tiles_that_no_kernel_has_are_refused() {
    let tile = |rows, cols, lanes| Some(Tile { rows, cols, lanes });
    for (tile, what) in [
        (
            tile(0, 8, 8),
            "tile.rows is 0, possible is 1, 2, 4, 8 or 16",
        ),
        (tile(8, 0, 8), "tile.cols is 0, possible is 4, 8, 12 or 16"),
        (
            tile(8, 8, 0),
            "tile.lanes is 0, possible is a power of two up to 256",
        ),
        (tile(8, usize::MAX, usize::MAX), "tile.cols is"),
    ] {
        let problem = DenseMatmul {
            tile,
            ..DenseMatmul::new(16, 16, 16)
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("dense_matmul: ") && error.contains(what),
            "{error}"
        );
        let shape = AttentionShape::try_new(1, 1, 1, 64, 64, 16).unwrap();
        let problem = XAttentionScore {
            tile,
            ..XAttentionScore::new(shape, XAttentionOptions::default())
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("xattention_score: ") && error.contains(what),
            "{error}"
        );
    }
    // Tiles that some products have, and these have not.
    let problem = DenseMatmul {
        tile: tile(4, 12, 4),
        ..DenseMatmul::new(16, 16, 16)
    };
    assert_eq!(
        gpu().plan_blocking(&problem).unwrap_err().to_string(),
        "dense_matmul: tile 4x12x4 takes 48 tokens at once; x is packed in panels of a power of two of tokens, or of a multiple of 32: take 4, 8 \
         or 16 columns, or 8 lanes or more"
    );
    let problem = DenseMatmul {
        tile: tile(2, 8, 8),
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..DenseMatmul::new(16, 16, 16)
    };
    let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
    assert!(
        error.starts_with("dense_matmul: ")
            && error.ends_with(": rows is 2, possible is 4, 8 or 16 where w is transposed"),
        "{error}"
    );
    // Before a row is looked at for each of a million blocks.
    let shape = AttentionShape::try_new(1, 1, 1, 1 << 20, 1 << 20, 16).unwrap();
    let options = XAttentionOptions {
        block: 1,
        stride: 1,
        ..XAttentionOptions::default()
    };
    let problem = XAttention {
        policy: Policy::auto(gpu()),
        ..XAttention::new(shape, options)
    };
    let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
    assert!(error.contains("multiples of 16"), "{error}");
    let attention = BlockAttention::new(attention_shape(1, 1, 1, 64, 64, 16));
    let direct = |lanes, keys, dims| AttentionTile::Direct {
        lanes,
        queries: 1,
        keys,
        dims,
    };
    let tiled = |queries, split| AttentionTile::Tiled { queries, split };
    for (tile, what) in [
        (direct(8, 0, 16), "tile.keys is 0, possible is 4, 8 or 16"),
        (
            direct(0, 4, 16),
            "tile.lanes is 0, possible is a power of two",
        ),
        (
            direct(8, 4, 0),
            "tile.dims is 0, possible is a multiple of 4 from 16 up",
        ),
        (
            direct(8, 4, 18),
            "tile.dims is 18, possible is a multiple of 4 from 16 up",
        ),
        (direct(usize::MAX, 4, 16), "tile.lanes is"),
        (tiled(64, 0), "tile.split is 0, possible is 4, 8 or 16"),
        (
            tiled(0, 8),
            "invocations of the tile is 0, possible is 1 to 256",
        ),
        (tiled(usize::MAX - 3, usize::MAX), "tile.split is"),
    ] {
        let problem = BlockAttention {
            tile: Some(tile),
            ..attention.clone()
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.starts_with("block_attention: ") && error.contains(what),
            "{tile}: {error}"
        );
    }
}

#[test]
fn numbers_that_f32_or_the_kernels_do_not_hold_are_refused() {
    let attention = BlockAttention::new(attention_shape(1, 1, 1, 64, 64, 16));
    for scale in [1e39, 1e-50, f64::NAN, -1.0] {
        let problem = BlockAttention {
            scale: Some(scale),
            ..attention.clone()
        };
        let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
        assert!(
            error.contains("is beyond what the kernels multiply by in f32"),
            "{error}"
        );
    }
    let problem = BlockAttention {
        block: 4_294_967_280,
        ..attention.clone()
    };
    let error = gpu().plan_blocking(&problem).err().unwrap().to_string();
    assert!(
        error.contains("block is 4294967280; possible are multiples of 16"),
        "{error}"
    );
}
