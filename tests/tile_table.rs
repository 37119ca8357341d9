//! Tables of tiles: read as written, refused where they make no sense, used where they fit, with equal results.

mod support;

use serde_json::{Value, json};
use sparse_core::attention::{AttentionOptions, AttentionShape, block_attention};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::synthetic::{integer_matrix, normal_tensor};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BlockBudget, BsrMatrix, DType, Matrix, Nm, NmMatrix, Tensor};
use sparse_gpu::{
    AttentionTile, BlockAttention, BsrMatmul, DenseMatmul, Error, Gpu, GpuTensor, KernelTile,
    MatmulPlan, MeasuredOn, NmMatmul, NmMatvec, Problem, Tile, TileEntry, TileMeasurement,
    TileOrigin, TileTable, TileTableError, TileWalk, TokenRange, VarlenAttention, Weights,
    XAttention, XAttentionScore,
};
use support::attention::attention_shape;
use support::gpu::{gpu, poisoned, read, submit};

fn elsewhere() -> MeasuredOn {
    MeasuredOn {
        adapter: "Example 3000".into(),
        backend: "vulkan".into(),
        driver: "example 1.2".into(),
        class: "other".into(),
    }
}

fn tile(rows: usize, cols: usize, lanes: usize) -> Tile {
    Tile { rows, cols, lanes }
}

fn matmul(walk: &str, tile: Tile) -> KernelTile {
    let walk = walk.parse::<TileWalk>().unwrap();
    KernelTile::Matmul { walk, tile }
}

fn entry(kernel: KernelTile, from: usize, to: usize) -> TileEntry {
    TileEntry {
        kernel,
        element_bytes: 4,
        tokens: TokenRange { from, to },
        measured: None,
    }
}

/// A table of this device with one tile, for all tokens that the kernel takes.
fn only(kernel: KernelTile) -> Gpu {
    let most = match kernel {
        KernelTile::Matvec { .. } => 8,
        _ => 100_000,
    };
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table.entries.push(entry(kernel, 1, most));
    gpu().with_tiles(&table).unwrap()
}

fn full_table() -> TileTable {
    let mut table = TileTable::new(elsewhere());
    let direct = AttentionTile::Direct {
        lanes: 8,
        queries: 2,
        keys: 4,
        dims: 16,
    };
    let tiled = AttentionTile::Tiled {
        queries: 32,
        split: 16,
    };
    let walk = |text: &str| text.parse().unwrap();
    table.entries = vec![
        entry(matmul("dense", tile(16, 8, 8)), 9, 512),
        entry(matmul("dense", tile(8, 8, 8)), 513, 4096),
        TileEntry {
            element_bytes: 2,
            ..entry(matmul("dense", tile(8, 8, 8)), 9, 512)
        },
        entry(matmul("nm 8:2:4", tile(8, 4, 64)), 9, 512),
        entry(matmul("bsr 32x16", tile(4, 4, 64)), 9, 512),
        entry(
            KernelTile::Matvec {
                walk: walk("nm_gather 1:2:4"),
                rows: 4,
                lanes: 16,
            },
            1,
            8,
        ),
        entry(
            KernelTile::BlockAttention {
                head_dim: 64,
                tile: direct,
            },
            1,
            4096,
        ),
        entry(
            KernelTile::BlockAttention {
                head_dim: 128,
                tile: tiled,
            },
            1,
            4096,
        ),
        TileEntry {
            measured: Some(TileMeasurement {
                problem: "8192 tokens".into(),
                default_tile: "16x4x8".into(),
                default_ms: 2.5,
                ms: 2.0,
                spread: 0.01,
            }),
            ..entry(
                KernelTile::XattentionScore {
                    groups_per_block: 8,
                    tile: tile(8, 8, 8),
                },
                1,
                16384,
            )
        },
    ];
    table
}

#[test]
fn a_table_is_read_as_it_was_written() {
    let table = full_table();
    let text = table.to_json().unwrap();
    assert_eq!(TileTable::from_json(&text).unwrap(), table);
    // What people read in the file.
    for part in [
        "\"walk\": \"nm 8:2:4\"",
        "\"block_attention\"",
        "\"Example 3000\"",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_table_of_the_first_version_means_loops_over_128_dimensions() {
    let tile = |dims| KernelTile::BlockAttention {
        head_dim: 64,
        tile: AttentionTile::Direct {
            lanes: 8,
            queries: 2,
            keys: 4,
            dims,
        },
    };
    let mut expected = full_table();
    let mut older: Value = serde_json::from_str(&expected.to_json().unwrap()).unwrap();
    assert_eq!(older["version"], json!(2));
    older["version"] = json!(1);
    let direct = &mut older["entries"][6]["kernel"]["block_attention"]["tile"]["direct"];
    assert_eq!(
        direct.as_object_mut().unwrap().remove("dims"),
        Some(json!(16))
    );
    assert_eq!(expected.entries[6].kernel, tile(16));
    expected.entries[6].kernel = tile(128);
    let read = TileTable::from_json(&older.to_string()).unwrap();
    // Written again it has what its version knows.
    assert_eq!(read, expected);
    assert_eq!(read.to_json().unwrap(), expected.to_json().unwrap());
    // A list with the values of the header is no table either.
    let list = TileTable::from_json(r#"["sparse-gpu tiles", 1]"#).unwrap_err();
    assert!(matches!(list, TileTableError::Json { .. }), "{list}");
}

#[test]
fn a_table_of_the_second_version_names_the_dimensions_of_a_loop() {
    let error = refusal(|v| {
        let direct = &mut v["entries"][6]["kernel"]["block_attention"]["tile"]["direct"];
        direct.as_object_mut().unwrap().remove("dims");
    });
    let message = error.to_string();
    assert!(message.contains("missing field `dims`"), "{message}");
}

/// The refusal of the table whose JSON `change` has changed.
fn refusal(change: impl FnOnce(&mut Value)) -> TileTableError {
    let mut value: Value = serde_json::from_str(&full_table().to_json().unwrap()).unwrap();
    change(&mut value);
    TileTable::from_json(&value.to_string()).unwrap_err()
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let text = full_table().to_json().unwrap();
    // No prefix of a file is one, and none makes the reader panic.
    for end in (0..text.trim_end().len()).step_by(7) {
        let error = TileTable::from_json(&text[..end]).unwrap_err();
        assert!(matches!(error, TileTableError::Json { .. }), "{error}");
    }
    for other in ["", "[]", "null", "{\"heads\": []}", "\u{0}"] {
        let error = TileTable::from_json(other).unwrap_err().to_string();
        assert!(error.contains("sparse-bench tune"), "{error}");
    }
    let error = refusal(|v| v["format"] = json!("sparse-bench profile")).to_string();
    assert!(error.contains("sparse-bench profile"), "{error}");
    let error = refusal(|v| v["version"] = json!(3)).to_string();
    assert!(
        error.contains("version 3") && error.contains("newer"),
        "{error}"
    );
    let error = refusal(|v| v["version"] = json!(0)).to_string();
    assert!(error.contains("tune again"), "{error}");
    let error = refusal(|v| v["version"] = json!(-1)).to_string();
    assert!(error.contains("sparse-bench tune"), "{error}");
    let error = refusal(|v| v["entries"][0]["colour"] = json!("red")).to_string();
    assert!(error.contains("colour"), "{error}");
}

#[test]
fn kernels_and_walks_that_do_not_exist_are_refused_with_those_that_do() {
    let error = refusal(|v| v["entries"][0]["kernel"] = json!({"conv": {}})).to_string();
    assert!(
        error.contains("conv") && error.contains("matvec"),
        "{error}"
    );
    let error = refusal(|v| v["entries"][0]["kernel"]["matmul"]["walk"] = json!("csr"));
    assert!(error.to_string().contains("nm_expand V:N:M"), "{error}");
}

#[test]
fn tiles_that_no_kernel_can_be_made_with_are_refused() {
    let of_matmul = |key: &'static str, value: Value| {
        refusal(move |v| v["entries"][3]["kernel"]["matmul"]["tile"][key] = value)
    };
    for (key, value, says) in [
        ("rows", json!(3), "1, 2, 4, 8 or 16"),
        ("rows", json!(0), "1, 2, 4, 8 or 16"),
        ("cols", json!(6), "4, 8, 12 or 16"),
        ("lanes", json!(512), "up to 256"),
        ("lanes", json!(24), "a power of two"),
        ("lanes", json!(u32::MAX), "larger than"),
        ("rows", json!(u64::MAX), "larger than"),
        ("rows", json!(16), "8 share a list"),
        ("rows", json!(-8), "invalid value"),
        ("rows", json!(1.5), "invalid type"),
    ] {
        let error = of_matmul(key, value.clone()).to_string();
        assert!(error.contains(says), "{key} = {value}: {error}");
    }
    let of_direct = |key: &'static str, value: u64| {
        refusal(move |v| {
            v["entries"][6]["kernel"]["block_attention"]["tile"]["direct"][key] = json!(value);
        })
    };
    for (key, value, says) in [
        ("lanes", 0, "a power of two"),
        ("queries", 3, "1, 2 or 4"),
        ("keys", 32, "4, 8 or 16"),
        (
            "dims",
            0,
            "tile.dims is 0, possible is a multiple of 4 from",
        ),
        (
            "dims",
            4,
            "tile.dims is 4, possible is a multiple of 4 from",
        ),
        (
            "dims",
            18,
            "tile.dims is 18, possible is a multiple of 4 from",
        ),
        ("lanes", 256, "16384"),
        ("lanes", u64::MAX, "larger than"),
    ] {
        let error = of_direct(key, value).to_string();
        assert!(error.contains(says), "{key} = {value}: {error}");
    }
    let of_tiled = |key: &'static str, value: u64| {
        refusal(move |v| {
            v["entries"][7]["kernel"]["block_attention"]["tile"]["tiled"][key] = json!(value);
        })
    };
    for (key, value) in [("queries", 0), ("queries", 6), ("split", 0), ("split", 5)] {
        let error = of_tiled(key, value);
        assert!(
            matches!(error, TileTableError::Tile { .. }),
            "{key} = {value}: {error}"
        );
    }
    let error = refusal(|v| v["entries"][5]["kernel"]["matvec"]["lanes"] = json!(0));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
    let error =
        refusal(|v| v["entries"][8]["kernel"]["xattention_score"]["groups_per_block"] = json!(0));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
    // Lists of single rows are for few tokens.
    let error = refusal(|v| v["entries"][0]["kernel"]["matmul"]["walk"] = json!("nm_gather 1:2:4"));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
}

#[test]
fn entries_that_make_no_sense_are_refused() {
    let of = |at: usize, key: &'static str, value: Value| {
        refusal(move |v| v["entries"][at][key] = value)
    };
    let error = of(0, "element_bytes", json!(8)).to_string();
    assert!(error.contains("2 or 4"), "{error}");
    for (from, to) in [(0, 8), (9, 8)] {
        let error = of(0, "tokens", json!({"from": from, "to": to})).to_string();
        assert!(error.contains("no range"), "{error}");
    }
    let error = of(5, "tokens", json!({"from": 1, "to": 9})).to_string();
    assert!(error.contains("at most 8"), "{error}");
    let error = of(0, "tokens", json!({"from": 9, "to": 513})).to_string();
    assert!(
        error.contains("two tiles for matmul dense with 513 tokens"),
        "{error}"
    );
    // A table made in memory is checked, too.
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table
        .entries
        .push(entry(matmul("dense", tile(5, 4, 8)), 1, 9));
    assert!(matches!(table.to_json(), Err(TileTableError::Tile { .. })));
    let error = gpu().with_tiles(&table).unwrap_err();
    assert!(
        matches!(error, Error::Tiles(TileTableError::Tile { .. })),
        "{error}"
    );
}

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

fn integers(rows: usize, cols: usize, seed: u64) -> Matrix<f32> {
    integer_matrix(rows, cols, 3, seed).unwrap()
}

/// Plans with the table and without, and tells the origins.
fn both<P: Problem>(tuned: &Gpu, problem: &P) -> [P::Plan; 2] {
    [gpu(), tuned].map(|gpu| gpu.plan_blocking(problem).unwrap())
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
fn attention_takes_the_tile_of_the_table_within_the_bound() {
    let shape = AttentionShape::try_new(1, 2, 1, 100, 100, 40).unwrap();
    let tensor =
        |heads, seed| -> Tensor<f32> { normal_tensor(vec![1, heads, 100, 40], seed).unwrap() };
    let (q, k, v) = (tensor(2, 1), tensor(1, 2), tensor(1, 3));
    let options = AttentionOptions {
        block: 32,
        ..AttentionOptions::default()
    };
    let reference = block_attention(&q, &k, &v, None, &options).unwrap();
    let bounds = attention_bounds(&reference, 6.0, DType::F32);
    let problem = BlockAttention {
        block: 32,
        causal: options.causal,
        ..BlockAttention::new(attention_shape(1, 2, 1, 100, 100, 40))
    };
    let [gq, gk, gv] = [&q, &k, &v].map(|t| gpu().upload(t).unwrap());
    let tiles = [
        AttentionTile::Direct {
            lanes: 4,
            queries: 1,
            keys: 8,
            dims: 16,
        },
        AttentionTile::Tiled {
            queries: 16,
            split: 4,
        },
    ];
    for tile in tiles {
        let kernel = KernelTile::BlockAttention { head_dim: 40, tile };
        let [default, tuned] = both(&only(kernel), &problem);
        assert_eq!(
            default.explain().tile_origin,
            Some(TileOrigin::ClassDefault)
        );
        assert_ne!(default.kernel_tile(), kernel);
        assert_eq!(tuned.explain().tile_origin, Some(TileOrigin::Table));
        assert_eq!(tuned.kernel_tile(), kernel);
        let mut out = poisoned::<f32>(gpu(), &shape.q_shape());
        let mut lse = poisoned::<f32>(gpu(), &shape.q_shape()[..3]);
        submit(gpu(), |pass| {
            tuned
                .record(pass, &gq, &gk, &gv, None, &mut out, &mut lse)
                .unwrap();
        });
        let comparison = compare(read::<f32>(gpu(), &out), &reference.out, &bounds.out);
        assert!(comparison.holds(), "{tile}: {comparison}");
        let comparison = compare(read::<f32>(gpu(), &lse), &reference.lse, &bounds.lse);
        assert!(comparison.holds(), "{tile}: {comparison}");
    }
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

#[test]
fn packed_attention_and_scores_look_into_the_table_too() {
    let tile_64 = AttentionTile::Direct {
        lanes: 4,
        queries: 4,
        keys: 4,
        dims: 16,
    };
    let kernel = KernelTile::BlockAttention {
        head_dim: 64,
        tile: tile_64,
    };
    let tuned = only(kernel);
    let packing = sparse_core::attention::Packing::of_lengths(&[20, 30]).unwrap();
    let packed =
        sparse_core::attention::PackedShape::try_new(1, 1, 64, packing.clone(), packing).unwrap();
    let plan = tuned.plan_blocking(&VarlenAttention::new(packed)).unwrap();
    assert_eq!(plan.explain().tile_origin, Some(TileOrigin::Table));
    assert_eq!(plan.explain().tile, tile_64.to_string());

    let options = XAttentionOptions {
        block: 64,
        stride: 16,
        ..XAttentionOptions::default()
    };
    let kernel = KernelTile::XattentionScore {
        groups_per_block: 4,
        tile: tile(2, 4, 16),
    };
    let tuned = only(kernel);
    let shape = AttentionShape::try_new(1, 2, 1, 300, 300, 64).unwrap();
    let problem = XAttentionScore::new(shape, options.clone());
    let [default, own] = both(&tuned, &problem);
    assert_eq!(
        default.explain().tile_origin,
        Some(TileOrigin::ClassDefault)
    );
    assert_eq!(own.explain().tile_origin, Some(TileOrigin::Table));
    assert_eq!(own.kernel_tile(), kernel);
    // End to end: each step looks for itself.
    let whole = tuned
        .plan_blocking(&XAttention::new(shape, options))
        .unwrap();
    let origins: Vec<_> = whole.steps().iter().map(|step| step.tile_origin).collect();
    assert_eq!(
        origins,
        [
            Some(TileOrigin::Table),
            None,
            Some(TileOrigin::ClassDefault)
        ]
    );
    assert_eq!(whole.explain().tile_origin, None);
}

#[test]
fn scores_with_the_tile_of_the_table_are_within_the_bound() {
    let shape = AttentionShape::try_new(1, 2, 1, 300, 300, 64).unwrap();
    let options = XAttentionOptions {
        block: 64,
        stride: 16,
        ..XAttentionOptions::default()
    };
    let tensor =
        |heads, seed| -> Tensor<f32> { normal_tensor(vec![1, heads, 300, 64], seed).unwrap() };
    let (q, k) = (tensor(2, 1), tensor(1, 2));
    let reference = sparse_core::xattention::xattention_score(&q, &k, &options).unwrap();
    let layout = options.layout(shape).unwrap();
    let bounds = sparse_core::bounds::block_score_bounds(&reference, &layout);
    let tuned = only(KernelTile::XattentionScore {
        groups_per_block: 4,
        tile: tile(2, 4, 16),
    });
    let plan = tuned
        .plan_blocking(&XAttentionScore::new(shape, options))
        .unwrap();
    let [q, k] = [&q, &k].map(|t| gpu().upload(t).unwrap());
    let mut scores = poisoned::<f32>(gpu(), &plan.score_shape());
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &mut scores).unwrap();
    });
    let comparison = compare(
        read::<f32>(gpu(), &scores),
        reference.scores.data(),
        &bounds,
    );
    assert!(comparison.holds(), "{comparison}");
}
