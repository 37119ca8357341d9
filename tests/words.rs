//! Kernels that move words of 64 bits, which processors get by default: the same results as with 32 bits, to the bit, and within the
//! bounds of the CPU references.

mod support {
    #![allow(unused_imports, reason = "every test binary uses another part")]

    #[macro_use]
    pub(crate) mod gpu;
    pub(crate) mod attention;
    pub(crate) mod matmul;
    pub(crate) mod product;
    pub(crate) mod xattention_run;
}

use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_core::{DType, Element, Nm};
use sparse_gpu::{
    AttentionTile, AttentionTypes, Batch, BlockAttention, Error, Gpu, NmVariant, Transposed, Words,
};
use support::attention;
use support::gpu::{in_words, open};
use support::matmul::{Case, EPILOGUES, Format, check, inputs};
use support::product::on_gpu;
use support::xattention_run::run;

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

fn formats() -> Vec<Format> {
    let nm = |pattern: &str| pattern.parse::<Nm>().unwrap_or_else(|e| panic!("{e}"));
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

/// The same to the bit in both words, and within the bounds of the reference.
fn check_both<X: Element, W: Element, Y: Element>(case: &Case) {
    let inputs = inputs::<X, W, Y>(case);
    let [narrow, wide] = Words::ALL.map(|words| in_words(words, || on_gpu(case, &inputs).0));
    assert_eq!(narrow, wide, "{case:?}");
    in_words(Words::Bits64, || check::<X, W, Y>(case));
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
        check_both::<half::f16, half::f16, half::f16>(&Case {
            transposed: Transposed {
                w: true,
                ..Transposed::NONE
            },
            ..Case::new(format, [35, 32, 40])
        });
    }
    check_both::<f32, f32, f32>(&Case {
        variant: Some(NmVariant::Branch),
        ..Case::new(Format::Nm("2:4".parse().unwrap()), [150, 24, 64])
    });
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
                ..BlockAttention::new(1, 2, 1, 130, 150, head_dim)
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
        let [(narrow, _), (wide, _)] = Words::ALL.map(|words| in_words(words, || case.run()));
        assert_eq!(narrow, wide, "{:?}", case.problem);
        in_words(Words::Bits64, || case.check());
    }
}

#[test]
fn long_loops_of_attention_are_the_same_within_bounds() {
    for dims in [4, 16, 20, 128] {
        let problem = BlockAttention {
            tile: Some(AttentionTile::Direct {
                lanes: 8,
                queries: 2,
                keys: 4,
                dims,
            }),
            ..BlockAttention::new(1, 1, 1, 200, 200, 72)
        };
        attention::Case::new(&problem, None).check();
    }
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
        let tensor = |heads, seed| {
            normal_tensor::<f32>(vec![1, heads, 512, head_dim], seed)
                .unwrap_or_else(|e| panic!("{e}"))
        };
        let (q, k, v) = (tensor(2, 1), tensor(1, 2), tensor(1, 3));
        let [narrow, wide] =
            Words::ALL.map(|words| in_words(words, || run([&q, &k, &v], &options)));
        assert_eq!(narrow, wide, "{options:?}");
        assert!(wide.out.iter().all(|x| x.is_finite()), "{options:?}");
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
}
