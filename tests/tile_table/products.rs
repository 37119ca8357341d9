//! Products with the tile of a table equal those with the default.

use half::f16;
use sparse_core::{BlockBudget, BsrMatrix, DType, Nm, NmMatrix};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Gpu, GpuTensor, KernelTile, MatmulPlan, MatmulTypes, MeasuredOn,
    NmMatmul, NmMatvec, TileEntry, TileOrigin, TileTable, Weights,
};

use crate::support::gpu::{gpu, poisoned, read, submit};
use crate::support::matmul::integers;
use crate::{both, entry, matmul, only, tile};

/// Runs a plan on small integers, whose sums are exact.
fn product<'a>(
    gpu: &Gpu,
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    n_out: usize,
) -> Vec<f64> {
    let mut y = poisoned::<f32>(gpu, &[x.shape()[0], n_out]);
    let w = w.into();
    submit(gpu, |pass| plan.record(pass, w, x, &mut y).unwrap());
    read::<f32>(gpu, &y)
}

#[track_caller]
fn is_used(plans: &[MatmulPlan; 2], kernel: KernelTile) {
    let [default, tuned] = plans;
    assert_eq!(
        default.explain().tile_origin,
        Some(TileOrigin::ClassDefault)
    );
    assert_ne!(
        default.kernel_tile(),
        Some(kernel),
        "the test's tile is the default"
    );
    assert_eq!(tuned.explain().tile_origin, Some(TileOrigin::Table));
    assert_eq!(tuned.kernel_tile(), Some(kernel));
    let text = tuned.explain().to_string();
    assert!(text.contains("of the tuned table"), "{text}");
    assert_ne!(default.explain().kernel, tuned.explain().kernel);
}

#[test]
fn products_take_the_tile_of_the_table_and_stay_equal() {
    let (tokens, n_out, k_in) = (70, 48, 64);
    let w = integers(n_out, k_in, 2);
    let x = gpu().upload(&integers(tokens, k_in, 1)).unwrap();

    let kernel = matmul("dense", tile(2, 12, 16));
    let plans = both(&only(kernel), &DenseMatmul::new(tokens, n_out, k_in));
    is_used(&plans, kernel);
    let on_gpu = gpu().upload(&w).unwrap();
    let [default, tuned] = plans.map(|plan| product(gpu(), &plan, &on_gpu, &x, n_out));
    assert!(default.iter().any(|&y| y != 0.0));
    assert_eq!(default, tuned);

    for (pattern, walk) in [("8:2:4", "nm 8:2:4"), ("2:4", "nm_expand 1:2:4")] {
        let pattern: Nm = pattern.parse().unwrap();
        let kernel = matmul(walk, tile(4, 12, 16));
        let plans = both(&only(kernel), &NmMatmul::new(tokens, n_out, k_in, pattern));
        is_used(&plans, kernel);
        let on_gpu = gpu()
            .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
            .unwrap();
        let [default, tuned] = plans.map(|plan| product(gpu(), &plan, &on_gpu, &x, n_out));
        assert_eq!(default, tuned, "{walk}");
    }

    let kernel = matmul("bsr 16x8", tile(4, 12, 16));
    let plans = both(&only(kernel), &BsrMatmul::new(tokens, n_out, k_in, (16, 8)));
    is_used(&plans, kernel);
    let blocks = BsrMatrix::prune(&w, (16, 8), BlockBudget::Density(0.5)).unwrap();
    let on_gpu = gpu().upload_bsr(&blocks).unwrap();
    let [default, tuned] = plans.map(|plan| product(gpu(), &plan, &on_gpu, &x, n_out));
    assert_eq!(default, tuned);
}

#[test]
fn few_tokens_take_the_tile_of_the_table_and_stay_equal() {
    let (n_out, k_in) = (40, 96);
    let w = integers(n_out, k_in, 2);
    let walks = [
        ("2:4", "nm_select 1:2:4"),
        ("1:8", "nm_gather 1:1:8"),
        ("8:2:8", "nm 8:2:8"),
    ];
    for (pattern, walk) in walks {
        let pattern: Nm = pattern.parse().unwrap();
        let kernel = KernelTile::Matvec {
            walk: walk.parse().unwrap(),
            rows: 2,
            lanes: 4,
        };
        let on_gpu = gpu()
            .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
            .unwrap();
        for tokens in [1, 3, 8] {
            let x = gpu().upload(&integers(tokens, k_in, 1)).unwrap();
            let plans = both(&only(kernel), &NmMatvec::new(tokens, n_out, k_in, pattern));
            is_used(&plans, kernel);
            let [default, tuned] = plans.map(|plan| product(gpu(), &plan, &on_gpu, &x, n_out));
            assert_eq!(default, tuned, "{walk}, {tokens} tokens");
        }
    }
}

#[test]
fn half_width_products_take_panels_that_are_no_power_of_two() {
    let (tokens, n_out, k_in) = (97, 24, 40);
    let kernel = matmul("dense", tile(4, 12, 8));
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table.entries.push(TileEntry {
        element_bytes: 2,
        ..entry(kernel, 9, 1000)
    });
    let problem = DenseMatmul {
        types: MatmulTypes {
            y: DType::F32,
            ..MatmulTypes::all(DType::F16)
        },
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plans = both(&gpu().with_tiles(&table).unwrap(), &problem);
    is_used(&plans, kernel);
    let [x, w] = [(tokens, 1), (n_out, 2)].map(|(rows, seed)| {
        let halves = integers(rows, k_in, seed).cast::<f16>();
        gpu().upload(&halves).unwrap()
    });
    let [default, tuned] = plans.map(|plan| product(gpu(), &plan, &w, &x, n_out));
    assert!(default.iter().any(|&y| y != 0.0));
    assert_eq!(default, tuned);
}
