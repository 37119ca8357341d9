//! What plans choose for adapters of every class, on whichever adapter there is: walks, kernels, tiles, orders and splits. Without these tests each
//! machine would see the choices of its own class only, and nobody without such a GPU those of a GPU.

mod support;

use half::f16;
use sparse_core::Nm;
use sparse_gpu::{AdapterClass, BlockAttention, NmMatmul, NmVariant, Tile, Transposed, defaults};
use sparse_shaders::Walk;
use support::attention;
use support::matmul::{Case, Format, check};

/// The classes of such drivers.
fn on_processors() -> impl Iterator<Item = AdapterClass> {
    AdapterClass::ALL
        .into_iter()
        .filter(|class| class.is_software())
}

/// Every format with the walk that many tokens take. Rows that share lists have tiles of their own where they are few.
fn formats() -> [(Case, Walk); 6] {
    let case = |format| Case::new(format, [0, 36, 52]);
    let vector_weights = true;
    let nm = |m, v, index_bits| Walk::Nm {
        n: 2,
        m,
        v,
        index_bits,
    };
    let expand = Case {
        variant: Some(NmVariant::Expand),
        ..case(Format::nm("2:4"))
    };
    let transposed = Case {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..case(Format::Dense)
    };
    [
        (case(Format::Dense), Walk::Dense { vector_weights }),
        (case(Format::nm("8:2:8")), nm(8, 8, 3)),
        (case(Format::nm("4:2:4")), nm(4, 4, 2)),
        (
            expand,
            Walk::NmExpand {
                n: 2,
                m: 4,
                v: 1,
                index_bits: 2,
            },
        ),
        (case(Format::Bsr((16, 8), 0.5)), Walk::Bsr { br: 16, bc: 8 }),
        (
            transposed,
            Walk::DenseTransposed {
                vector_weights,
                whole_steps: true,
            },
        ),
    ]
}

#[test]
fn classes_of_processors_have_tiles_of_their_own() {
    let dense = Walk::Dense {
        vector_weights: true,
    };
    let tiles: Vec<Tile> = on_processors()
        .map(|class| defaults::matmul_tile(dense, 1024, class))
        .collect();
    assert_eq!(tiles.len(), 2);
    assert_ne!(tiles[0], tiles[1]);
}

fn products_as_every_class_computes_them(tokens: [usize; 2]) {
    let branching = Case::new(Format::nm("2:4"), [0, 36, 52]);
    let cases = formats().map(|(case, _)| case);
    for class in AdapterClass::ALL {
        for case in cases.iter().chain([&branching]) {
            for tokens in tokens {
                check::<f16, f16, f32>(&Case {
                    tokens,
                    class: Some(class),
                    ..*case
                });
            }
        }
    }
}

#[test]
fn products_of_few_tokens_as_every_class_computes_them() {
    products_as_every_class_computes_them([1, 8]);
}

/// A few, and more than the tiles of GPUs have columns or branching begins with.
#[test]
fn products_of_many_tokens_as_every_class_computes_them() {
    products_as_every_class_computes_them([33, 150]);
}

#[test]
fn attention_as_every_class_computes_it() {
    for class in AdapterClass::ALL {
        for head_dim in [40, 128] {
            let problem = BlockAttention {
                block: 64,
                ..BlockAttention::new(attention::attention_shape(1, 2, 1, 130, 150, head_dim))
            };
            let mask = attention::scattered(&problem, 60);
            let case = attention::Case {
                class: Some(class),
                ..attention::Case::new(&problem, Some(mask))
            };
            case.check();
        }
    }
}

#[test]
fn attention_of_few_queries_as_every_class_computes_it() {
    for class in AdapterClass::ALL {
        for (q_len, masked) in [(1, false), (5, true)] {
            let problem = BlockAttention {
                block: 64,
                ..BlockAttention::new(attention::attention_shape(1, 4, 2, q_len, 700, 40))
            };
            let mask = masked.then(|| attention::scattered(&problem, 60));
            let case = attention::Case {
                class: Some(class),
                ..attention::Case::new(&problem, mask)
            };
            case.check();
        }
    }
}

#[test]
fn kernels_of_attention_count_blocks_as_the_defaults_say() {
    for class in AdapterClass::ALL {
        let gpu = support::gpu::gpu().with_class(class);
        for (q_len, masked) in [(1, false), (1, true), (130, false)] {
            let problem = BlockAttention {
                block: 64,
                masked,
                ..BlockAttention::new(attention::attention_shape(1, 2, 1, q_len, 150, 40))
            };
            let tile = defaults::attention_tile(&problem, class);
            let block = defaults::attention_block(&problem, tile);
            let plan = gpu.plan_blocking(&problem).unwrap();
            let kernel = &plan.explain().kernel;
            assert!(kernel.contains(&format!("_block-{block}_")), "{kernel}");
        }
    }
}

#[test]
fn the_class_that_the_program_says_decides() {
    let pattern = Nm::new(2, 4, 1);
    let kernels = [AdapterClass::Amd, AdapterClass::Software].map(|class| {
        let gpu = support::gpu::gpu().with_class(class);
        assert_eq!(gpu.class(), class);
        let plan = gpu.plan_blocking(&NmMatmul::new(150, 36, 52, pattern));
        plan.unwrap().explain().kernel.clone()
    });
    assert!(kernels[0].contains("nm_branch"), "{kernels:?}");
    assert!(kernels[1].contains("expand_weights"), "{kernels:?}");
}

#[test]
fn products_of_every_format() {
    for class in on_processors() {
        for (case, walk) in formats() {
            let tile = defaults::matmul_tile(walk, 1024, class);
            // Less than a panel of 128, a whole one, and one token of another.
            for tokens in [33, 127, 128, 129] {
                let case = Case {
                    tokens,
                    tile: Some(tile),
                    ..case
                };
                check::<f16, f16, f32>(&case);
            }
        }
    }
}

#[test]
fn attention_of_every_width_of_heads() {
    for class in on_processors() {
        for head_dim in [40, 96] {
            let problem = BlockAttention {
                block: 64,
                ..BlockAttention::new(attention::attention_shape(1, 2, 1, 130, 150, head_dim))
            };
            let tile = Some(defaults::attention_tile(&problem, class));
            let problem = BlockAttention { tile, ..problem };
            let mask = attention::scattered(&problem, 60);
            attention::Case::new(&problem, Some(mask)).check();
        }
    }
}
