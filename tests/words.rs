//! Kernels that move words of 64 bits, which processors get by default: the same results as with 32 bits, to the bit, and within the
//! bounds of the CPU references.

mod support {
    #![allow(unused_imports, reason = "every test binary uses another part")]

    #[macro_use]
    pub(crate) mod gpu;
    pub(crate) mod attention;
    pub(crate) mod matmul;
    pub(crate) mod product;
    pub(crate) mod sddmm;
    pub(crate) mod varlen;
    pub(crate) mod xattention_run;
}

use std::fmt::Debug;

use half::{bf16, f16};
use sparse_core::attention::{HeadKind, PackedShape, Packing};
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_core::{DType, Element, Nm};
use sparse_gpu::{
    AttentionTile, AttentionTypes, Batch, BlockAttention, Error, Explanation, Gpu, NmVariant,
    TokenLayout, Transposed, VarlenAttention, Words,
};
use support::gpu::{gpu, in_words, open};
use support::matmul::{Case, EPILOGUES, Format, check, inputs};
use support::product::on_gpu;
use support::xattention_run::{rounded, run};
use support::{attention, sddmm, varlen};

/// Whether the adapter has 64-bit integers; where not, asking for them is refused, and says what to do.
fn available() -> bool {
    match open(Some(Words::Bits64)) {
        Ok(_) => true,
        Err(error @ Error::Unavailable { .. }) => {
            let message = error.to_string();
            println!("{message}");
            assert!(message.contains("SHADER_INT64"), "{message}");
            assert!(message.contains("Words::Bits32"), "{message}");
            assert!(
                !message.contains("llvmpipe"),
                "llvmpipe has them: {message}"
            );
            false
        }
        Err(error) => panic!("{error}"),
    }
}

/// What `run` gives in both words.
fn in_both<R>(run: impl Fn() -> R) -> [R; 2] {
    Words::ALL.map(|words| in_words(words, &run))
}

/// The first element that is not the same to the bit, which tells 0 from -0. Widening to f64 keeps apart what was.
fn first_difference(a: &[f64], b: &[f64]) -> Option<usize> {
    let bits = |x: &[f64], i: usize| x.get(i).map(|x| x.to_bits());
    (0..a.len().max(b.len())).find(|&i| bits(a, i) != bits(b, i))
}

#[track_caller]
fn same(what: &dyn Debug, [narrow, wide]: [&[f64]; 2]) {
    if let Some(i) = first_difference(narrow, wide) {
        let (narrow, wide) = (narrow.get(i), wide.get(i));
        panic!("{what:?}: element {i} is {narrow:?} in words of 32 bits, {wide:?} in words of 64");
    }
}

/// Both results of an attention are the same to the bit. Returns how they were computed in words of 64 bits.
#[track_caller]
fn same_attention(
    what: &dyn Debug,
    run: impl Fn() -> (attention::Outcome, Explanation),
) -> Explanation {
    let [(narrow, _), (wide, explanation)] = in_both(run);
    same(what, [&narrow.out, &wide.out]);
    same(what, [&narrow.lse, &wide.lse]);
    explanation
}

/// Whether the kernel moves words of 64 bits: a case in which it does not compares nothing.
#[track_caller]
fn is_wide(explanation: &Explanation) {
    assert!(explanation.kernel.ends_with("_u64"), "{explanation}");
}

fn nm(pattern: &str) -> Nm {
    pattern.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn formats() -> Vec<Format> {
    vec![
        Format::Dense,
        Format::Nm(nm("2:4")),
        Format::Nm(nm("8:2:8")),
        Format::Nm(nm("16:4:16")),
        Format::NmMatvec(nm("2:4")),
        Format::NmMatvec(nm("4:3:7")),
        Format::Bsr((16, 8), 0.5),
        Format::Bsr((5, 3), 0.6),
    ]
}

fn shapes(format: Format) -> &'static [[usize; 3]] {
    match format {
        Format::NmMatvec(_) => &[[1, 33, 130], [7, 20, 64]],
        _ => &[[1, 19, 40], [9, 7, 15], [70, 36, 64], [33, 17, 30]],
    }
}

/// The same to the bit in both words, and within the bounds of the reference. Returns the result and how it was computed.
fn check_both<X: Element, W: Element, Y: Element>(case: &Case) -> (Vec<f64>, Explanation) {
    let inputs = inputs::<X, W, Y>(case);
    let [(narrow, _), (wide, explanation)] = in_both(|| on_gpu(case, &inputs));
    same(case, [&narrow, &wide]);
    in_words(Words::Bits64, || check::<X, W, Y>(case));
    (wide, explanation)
}

fn products<T: Element>() {
    for format in formats() {
        for &shape in shapes(format) {
            check_both::<T, T, T>(&Case::new(format, shape));
            check_both::<T, T, f32>(&Case {
                transposed: Transposed {
                    y: true,
                    ..Transposed::NONE
                },
                ..Case::new(format, [shape[0], shape[1] + shape[1] % 2, shape[2]])
            });
        }
    }
}

#[test]
fn products_of_every_format_are_the_same_to_the_bit() {
    if !available() {
        return;
    }
    for_each_dtype!(T => { products::<T>(); });
}

#[test]
fn products_with_epilogues_batches_and_parts() {
    if !available() {
        return;
    }
    for format in [Format::Dense, Format::Bsr((16, 8), 0.5)] {
        for (alpha, addend, bias, activation) in EPILOGUES {
            check_both::<f32, f32, f32>(&Case {
                alpha,
                addend,
                bias,
                activation,
                batch: Batch::Shared(2),
                ..Case::new(format, [35, 32, 40])
            });
        }
        check_both::<f32, f32, f32>(&Case {
            split_k: Some(3),
            ..Case::new(format, [20, 32, 512])
        });
        check_both::<f16, f16, f16>(&Case {
            transposed: Transposed {
                w: true,
                ..Transposed::NONE
            },
            ..Case::new(format, [35, 32, 40])
        });
    }
    for variant in [NmVariant::Branch, NmVariant::ExpandFirst] {
        check_both::<f32, f32, f32>(&Case {
            variant: Some(variant),
            ..Case::new(Format::Nm(nm("2:4")), [150, 24, 64])
        });
    }
}

#[test]
fn products_of_own_weights_and_of_every_transposed_operand() {
    if !available() {
        return;
    }
    let [x, w] = [(true, false), (false, true)].map(|(x, w)| Transposed { x, w, y: false });
    let formats = [
        Format::Dense,
        Format::Nm(nm("2:4")),
        Format::Nm(nm("8:2:8")),
        Format::Bsr((16, 8), 0.5),
    ];
    let tiled = formats.iter().flat_map(|&format| {
        let case = move |transposed| Case {
            transposed,
            ..Case::new(format, [36, 32, 40])
        };
        [case(x), case(w)]
    });
    let few = [(Format::NmMatvec(nm("2:4")), x), (Format::Dense, w)];
    let few = few.into_iter().map(|(format, transposed)| Case {
        transposed,
        ..Case::new(format, [4, 32, 40])
    });
    let own = [36, 4].map(|tokens| Case {
        batch: Batch::PerItem(3),
        ..Case::new(Format::Dense, [tokens, 32, 40])
    });
    for case in tiled.chain(few).chain(own) {
        is_wide(&check_both::<f32, f32, f32>(&case).1);
        is_wide(&check_both::<f16, bf16, f16>(&case).1);
    }
}

#[test]
fn the_comparison_sees_signs_of_zeros_lengths_and_nan() {
    assert_eq!(first_difference(&[1.0, -0.0], &[1.0, -0.0]), None);
    assert_eq!(first_difference(&[1.0, 0.0], &[1.0, -0.0]), Some(1));
    assert_eq!(first_difference(&[1.0], &[1.0, 2.0]), Some(1));
    assert_eq!(first_difference(&[f64::NAN], &[1.0]), Some(0));
}

#[test]
fn zeros_keep_their_sign() {
    if !available() {
        return;
    }
    for (format, tokens) in [
        (Format::Dense, 20),
        (Format::Dense, 8),
        (Format::Bsr((4, 4), 0.2), 20),
    ] {
        let (y, explanation) = check_both::<f32, f32, f32>(&Case {
            alpha: -1.0,
            integers: true,
            ..Case::new(format, [tokens, 32, 8])
        });
        is_wide(&explanation);
        // WGSL lets a compiler take 0 for -0, and those of GPUs may.
        let negative = y.iter().any(|y| *y == 0.0 && y.is_sign_negative());
        assert!(negative || !gpu().is_software(), "{explanation}");
    }
}

#[test]
fn products_at_blocks_are_the_same_to_the_bit() {
    fn check_both<Y: Element, X: Element, W: Element>(case: &sddmm::Case) {
        let [(narrow, _), (wide, explanation)] = in_both(|| sddmm::run::<Y, X, W>(case));
        same(case, [&narrow, &wide]);
        is_wide(&explanation);
        in_words(Words::Bits64, || sddmm::check::<Y, X, W>(case));
    }
    if !available() {
        return;
    }
    for (block, alpha, beta) in [((8, 4), 1.0, 0.0), ((32, 32), 1.3, -0.7)] {
        let case = sddmm::Case {
            alpha,
            beta,
            ..sddmm::Case::new([33, 64, 72], block)
        };
        check_both::<f32, f32, f32>(&case);
        check_both::<f16, f16, f16>(&case);
        check_both::<bf16, f32, bf16>(&case);
    }
}

/// Attention with every tile, in turn with every storage type and with heads of widths that load as vectors and that do not.
fn attentions() -> impl Iterator<Item = attention::Case> {
    let kinds = [
        (DType::F32, 40),
        (DType::F16, 64),
        (DType::Bf16, 72),
        (DType::F32, 6),
    ];
    let tiles = attention::tiles(64).into_iter();
    tiles
        .zip(kinds.into_iter().cycle())
        .map(|(tile, (dtype, head_dim))| {
            let problem = BlockAttention {
                block: 64,
                types: AttentionTypes::all(dtype),
                tile: Some(tile),
                ..BlockAttention::new(attention::attention_shape(1, 2, 1, 130, 150, head_dim))
            };
            let mask = attention::scattered(&problem, 60);
            attention::Case::new(&problem, Some(mask))
        })
}

#[test]
fn attention_is_the_same_to_the_bit() {
    if !available() {
        return;
    }
    for case in attentions() {
        same_attention(&case.problem, || case.run());
        in_words(Words::Bits64, || case.check());
    }
}

/// The default of processors, and one of GPUs.
const TILES: [AttentionTile; 2] = [
    AttentionTile::Direct {
        lanes: 8,
        queries: 2,
        keys: 4,
        dims: 16,
    },
    AttentionTile::Tiled {
        queries: 16,
        split: 4,
    },
];

#[test]
fn attention_of_every_layout_and_walk_is_the_same_to_the_bit() {
    if !available() {
        return;
    }
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let mixed = [window, HeadKind::Sparse, HeadKind::Dense, window];
    let walks = [
        ("all_blocks", None, TokenLayout::TokenMajor, &DType::ALL[..]),
        (
            "streaming_blocks",
            Some([window; 4]),
            TokenLayout::HeadMajor,
            &[DType::F16],
        ),
        (
            "mixed_blocks",
            Some(mixed),
            TokenLayout::TokenMajor,
            &[DType::Bf16],
        ),
    ];
    for (walk, kinds, layout, dtypes) in walks {
        for tile in TILES {
            for &dtype in dtypes {
                let problem = BlockAttention {
                    block: 32,
                    types: AttentionTypes::all(dtype),
                    head_kinds: kinds.map(Vec::from),
                    layout,
                    tile: Some(tile),
                    ..BlockAttention::new(attention::attention_shape(1, 4, 2, 90, 130, 24))
                };
                let masked = kinds == Some(mixed);
                let mask = masked.then(|| attention::scattered(&problem, 50));
                let case = attention::Case::new(&problem, mask);
                let explanation = same_attention(&case.problem, || case.run());
                is_wide(&explanation);
                assert!(explanation.kernel.contains(walk), "{walk}: {explanation}");
                in_words(Words::Bits64, || case.check());
            }
        }
    }
}

#[test]
fn packed_attention_is_the_same_to_the_bit() {
    if !available() {
        return;
    }
    let [q, k] = [[40, 0, 1, 33, 17], [40, 5, 70, 100, 9]]
        .map(|lengths| Packing::of_lengths(&lengths).unwrap_or_else(|e| panic!("{e}")));
    for tile in TILES {
        for (dtype, head_dim) in [(DType::F32, 24), (DType::F16, 16), (DType::Bf16, 20)] {
            let shape = PackedShape::try_new(4, 2, head_dim, q.clone(), k.clone());
            let problem = VarlenAttention {
                block: 32,
                types: AttentionTypes::all(dtype),
                tile: Some(tile),
                ..VarlenAttention::new(shape.unwrap_or_else(|e| panic!("{e}")))
            };
            let mask = varlen::scattered(&problem, 60);
            let case = varlen::VarlenCase::new(&problem, Some(mask));
            is_wide(&same_attention(&case.problem, || case.run()));
            in_words(Words::Bits64, || case.check());
        }
    }
}

#[test]
fn long_loops_of_attention_are_the_same_within_bounds() {
    for dims in [16, 20, 64, 128] {
        let problem = BlockAttention {
            tile: Some(AttentionTile::Direct {
                lanes: 8,
                queries: 2,
                keys: 4,
                dims,
            }),
            ..BlockAttention::new(attention::attention_shape(1, 1, 1, 200, 200, 72))
        };
        attention::Case::new(&problem, None).check();
    }
}

fn xattention<T: Element>(options: &XAttentionOptions, head_dim: usize) {
    let tensor = |heads, seed| {
        let x = normal_tensor::<f32>(vec![1, heads, 512, head_dim], seed);
        rounded::<T>(&x.unwrap_or_else(|e| panic!("{e}")))
    };
    let (q, k, v) = (tensor(2, 1), tensor(1, 2), tensor(1, 3));
    let [narrow, wide] = in_both(|| run([&q, &k, &v], options));
    same(options, [&narrow.scores, &wide.scores]);
    assert_eq!(narrow.mask, wide.mask, "{options:?}");
    same(options, [&narrow.out, &wide.out]);
    same(options, [&narrow.lse, &wide.lse]);
    assert!(wide.out.iter().all(|x| x.is_finite()), "{options:?}");
}

#[test]
fn xattention_is_the_same_to_the_bit() {
    if !available() {
        return;
    }
    for (mode, stride, head_dim) in [
        (Mode::Exact, 8, 64),
        (Mode::Exact, 16, 40),
        (Mode::Reference(ReferenceOptions::default()), 16, 64),
        (Mode::Exact, 8, 6),
    ] {
        let options = XAttentionOptions {
            mode,
            stride,
            ..XAttentionOptions::default()
        };
        xattention::<f32>(&options, head_dim);
        if head_dim == 40 {
            xattention::<f16>(&options, head_dim);
            xattention::<bf16>(&options, head_dim);
        }
    }
}

#[test]
fn processors_get_64_bits_by_themselves() {
    let gpu = open(None).unwrap_or_else(|e| panic!("{e}"));
    let expected = if gpu.is_software() && available() {
        Words::Bits64
    } else {
        Words::Bits32
    };
    assert_eq!(gpu.words(), expected);
    let shared = Gpu::from_device(gpu.device().clone(), gpu.queue().clone())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shared.words(), expected);
    // A device without the feature, though the adapter may have it.
    let narrow = open(Some(Words::Bits32)).unwrap_or_else(|e| panic!("{e}"));
    let shared = Gpu::from_device(narrow.device().clone(), narrow.queue().clone())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shared.words(), Words::Bits32);
}
