//! The strategies of cubek, all of them.

use cubek_attention::forward::launch as attention;
use cubek_attention::forward::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;
use cubek_matmul::multi_level::Strategy as MultiLevel;
use cubek_matmul::multi_level::routines::TileSizeSelection;
use cubek_matmul::multi_level::routines::batch::double_unit::DoubleUnitSelectionArgs;
use cubek_matmul::multi_level::routines::batch::simple_unit::SimpleUnitSelectionArgs;
use cubek_matmul::routine::BlueprintStrategy;
use cubek_matmul::strategy::Strategy;
use cubek_matmul::tiled::Strategy as Tiled;
use cubek_matmul::tiled::cpu_gemm::CpuGemmStrategy;

/// Every matmul strategy, with its defaults, and those without matrix units also with their other settings. `Strategy::Auto` is left out:
/// it runs the first or, where there are no matrix units, the simple unit strategy.
pub(super) fn matmul_strategies() -> Vec<Strategy> {
    let mut all: Vec<Strategy> = vec![
        MultiLevel::SimpleCyclicCmma(Default::default()).into(),
        MultiLevel::SimpleCyclicMma(Default::default()).into(),
        MultiLevel::SimpleStridedCmma(Default::default()).into(),
        MultiLevel::SimpleStridedMma(Default::default()).into(),
        MultiLevel::SimpleTilewiseCmma(Default::default()).into(),
        MultiLevel::SimpleTilewiseMma(Default::default()).into(),
        MultiLevel::SimpleAsyncStridedCmma(Default::default()).into(),
        MultiLevel::SimpleAsyncStridedMma(Default::default()).into(),
        MultiLevel::SimpleAsyncCyclicCmma(Default::default()).into(),
        MultiLevel::SimpleAsyncCyclicMma(Default::default()).into(),
        MultiLevel::SimpleTmaCmma(Default::default()).into(),
        MultiLevel::SimpleTmaMma(Default::default()).into(),
        MultiLevel::DoubleCyclicCmma(Default::default()).into(),
        MultiLevel::DoubleCyclicMma(Default::default()).into(),
        MultiLevel::DoubleTilewiseCmma(Default::default()).into(),
        MultiLevel::DoubleTilewiseMma(Default::default()).into(),
        MultiLevel::DoubleHybridCmma(Default::default()).into(),
        MultiLevel::DoubleHybridMma(Default::default()).into(),
        MultiLevel::DoubleAsyncCyclicCmma(Default::default()).into(),
        MultiLevel::DoubleAsyncCyclicMma(Default::default()).into(),
        MultiLevel::DoubleAsyncStridedCmma(Default::default()).into(),
        MultiLevel::DoubleAsyncStridedMma(Default::default()).into(),
        MultiLevel::DoubleTmaCmma(Default::default()).into(),
        MultiLevel::DoubleTmaMma(Default::default()).into(),
        MultiLevel::SpecializedCyclicCmma(Default::default()).into(),
        MultiLevel::SpecializedCyclicMma(Default::default()).into(),
        MultiLevel::SpecializedStridedCmma(Default::default()).into(),
        MultiLevel::SpecializedStridedMma(Default::default()).into(),
        MultiLevel::SpecializedTmaCmma(Default::default()).into(),
        MultiLevel::SpecializedTmaMma(Default::default()).into(),
        MultiLevel::OrderedDoubleCmma(Default::default()).into(),
        MultiLevel::OrderedDoubleMma(Default::default()).into(),
        MultiLevel::SimpleVecMat(Default::default()).into(),
        MultiLevel::DoubleVecMat(Default::default()).into(),
        MultiLevel::GemvUnitPerpendicular(Default::default()).into(),
        MultiLevel::Gemm(Default::default()).into(),
        MultiLevel::Naive.into(),
        Tiled::Cmma(Default::default()).into(),
    ];
    for tile_size in [
        TileSizeSelection::MinTileSize,
        TileSizeSelection::MaxTileSize,
    ] {
        let simple = SimpleUnitSelectionArgs { tile_size };
        let double = DoubleUnitSelectionArgs { tile_size };
        all.push(MultiLevel::SimpleUnit(BlueprintStrategy::Inferred(simple)).into());
        all.push(MultiLevel::DoubleUnit(BlueprintStrategy::Inferred(double)).into());
    }
    for alpha in [0.0, 0.5, 1.0] {
        let gemm = CpuGemmStrategy { alpha };
        all.push(Tiled::CpuGemm(BlueprintStrategy::Inferred(gemm)).into());
    }
    all
}

/// Every attention strategy, the one for matrix units with several sizes.
pub(super) fn attention_strategies() -> Vec<(String, attention::Strategy)> {
    let unit = attention::Strategy::Unit(attention::BlueprintStrategy::Inferred(()));
    let mut all = vec![("unit".to_owned(), unit)];
    for (num_planes, seq_q, seq_kv) in [(1, 1, 1), (4, 1, 1), (4, 1, 2), (8, 1, 1)] {
        let strategy = BlackboxAcceleratedStrategy {
            num_planes,
            seq_q,
            seq_kv,
        };
        let strategy = attention::BlueprintStrategy::Inferred(strategy);
        all.push((
            format!("blackbox accelerated {num_planes}x{seq_q}x{seq_kv}"),
            attention::Strategy::BlackboxAccelerated(strategy),
        ));
    }
    all
}
