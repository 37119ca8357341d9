//! Where a plan takes the tile of the table, and where the default.

use sparse_core::DType;
use sparse_gpu::{
    AttentionTile, BlockAttention, DenseMatmul, KernelTile, MeasuredOn, NmMatmul, TileOrigin,
    TileTable,
};

use crate::support::attention::attention_shape;
use crate::support::gpu::gpu;
use crate::{both, entry, full_table, matmul, only, tile};

#[test]
fn a_table_of_another_adapter_is_used_only_when_asked() {
    let table = full_table();
    let error = gpu().with_tiles(&table).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Example 3000"), "{text}");
    assert!(text.contains(&gpu().adapter().name), "{text}");
    let tuned = gpu().with_tiles_of_any_adapter(&table).unwrap();
    let plan = tuned.plan_blocking(&DenseMatmul::new(512, 64, 64)).unwrap();
    assert_eq!(plan.explain().tile_origin, Some(TileOrigin::Table));
    let notes = plan.explain().notes.join("\n");
    assert!(notes.contains("Example 3000"), "{notes}");
    // Another driver is no other adapter.
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table.measured_on.driver = "an older one".into();
    assert!(gpu().with_tiles(&table).is_ok());
    table.measured_on.backend = "another".into();
    assert!(gpu().with_tiles(&table).is_err());
}

#[test]
fn what_does_not_fit_these_tokens_takes_the_default() {
    let matvec = |walk: &str, rows, lanes| KernelTile::Matvec {
        walk: walk.parse().unwrap(),
        rows,
        lanes,
    };
    // 8 rows x 4 tokens x 129 sums are more than workgroup memory holds; of one token they fit.
    let table = only(matvec("dense", 8, 128));
    let origin = |tokens| {
        let [_, tuned] = both(&table, &DenseMatmul::new(tokens, 40, 96));
        tuned.explain().tile_origin
    };
    assert_eq!(origin(1), Some(TileOrigin::Table));
    assert_eq!(origin(2), Some(TileOrigin::ClassDefault));
    // A panel of 48 tokens cannot be packed.
    let [_, tuned] = both(
        &only(matmul("dense", tile(8, 12, 4))),
        &DenseMatmul::new(33, 40, 96),
    );
    assert_eq!(tuned.explain().tile_origin, Some(TileOrigin::ClassDefault));
}

#[test]
fn another_width_pattern_or_number_of_tokens_takes_the_default() {
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table
        .entries
        .push(entry(matmul("nm 8:2:4", tile(2, 12, 16)), 20, 40));
    let tuned = gpu().with_tiles(&table).unwrap();
    let problem = NmMatmul::new(30, 64, 64, "8:2:4".parse().unwrap());
    let origin = |problem: &NmMatmul| tuned.plan_blocking(problem).unwrap().explain().tile_origin;
    let default = Some(TileOrigin::ClassDefault);
    for (tokens, expected) in [
        (19, default),
        (20, Some(TileOrigin::Table)),
        (40, Some(TileOrigin::Table)),
        (41, default),
    ] {
        assert_eq!(
            origin(&NmMatmul { tokens, ..problem }),
            expected,
            "{tokens}"
        );
    }
    let half = sparse_gpu::MatmulTypes::all(DType::F16);
    assert_eq!(
        origin(&NmMatmul {
            types: half,
            ..problem
        }),
        default
    );
    let other = "8:1:4".parse().unwrap();
    assert_eq!(
        origin(&NmMatmul {
            pattern: other,
            ..problem
        }),
        default
    );
    // The problem's own tile comes first, and the untuned device is as it was.
    let asked = NmMatmul {
        tile: Some(tile(4, 4, 8)),
        ..problem
    };
    assert_eq!(origin(&asked), Some(TileOrigin::Caller));
    let plan = tuned.without_tiles().plan_blocking(&problem).unwrap();
    assert_eq!(plan.explain().tile_origin, default);
}

#[test]
fn a_tile_that_does_not_divide_the_block_is_not_taken() {
    let tile = AttentionTile::Direct {
        lanes: 16,
        queries: 4,
        keys: 4,
        dims: 16,
    };
    let tuned = only(KernelTile::BlockAttention { head_dim: 64, tile });
    let origin = |block| {
        let problem = BlockAttention {
            block,
            ..BlockAttention::new(attention_shape(1, 1, 1, 96, 96, 64))
        };
        tuned.plan_blocking(&problem).unwrap().explain().tile_origin
    };
    assert_eq!(origin(64), Some(TileOrigin::Table));
    assert_eq!(origin(48), Some(TileOrigin::ClassDefault));
}
