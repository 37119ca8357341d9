//! Attention over every tile, layout and walk, and XAttention.

use std::fmt::Debug;

use half::{bf16, f16};
use sparse_core::attention::{HeadKind, PackedShape, Packing};
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_core::{DType, Element};
use sparse_gpu::{
    AttentionTile, AttentionTypes, BlockAttention, Explanation, TokenLayout, VarlenAttention,
    VarlenXAttention, Words,
};

use crate::support::attention::{Kernel, TILES};
use crate::support::gpu::{has_wide_words, in_words, rounded};
use crate::support::packed_xattention;
use crate::support::xattention_run::run;
use crate::support::{attention, varlen};
use crate::{in_both, is_wide, same};

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

/// With every tile of a kernel.
fn attention_is_the_same(kernel: Kernel) {
    if !has_wide_words() {
        return;
    }
    let of_kernel = |case: &attention::Case| case.problem.tile.map(Kernel::of) == Some(kernel);
    let cases: Vec<_> = attentions().filter(of_kernel).collect();
    assert!(!cases.is_empty(), "no tile of {kernel:?}");
    for case in cases {
        same_attention(&case.problem, || case.run());
        in_words(Words::Bits64, || case.check());
    }
}

#[test]
fn attention_with_direct_tiles_is_the_same_to_the_bit() {
    attention_is_the_same(Kernel::Direct);
}

#[test]
fn attention_with_tiles_of_gpus_is_the_same_to_the_bit() {
    attention_is_the_same(Kernel::Tiled);
}

#[test]
fn attention_with_tiles_for_few_queries_is_the_same_to_the_bit() {
    attention_is_the_same(Kernel::Few);
}

const WINDOW: HeadKind = HeadKind::Streaming {
    sink_blocks: 1,
    recent_blocks: 1,
};

/// With a tile of each kernel.
fn walk_is_the_same(walk: &str, kinds: Option<[HeadKind; 4]>, layout: TokenLayout, dtype: DType) {
    if !has_wide_words() {
        return;
    }
    for tile in TILES {
        let problem = BlockAttention {
            block: 32,
            types: AttentionTypes::all(dtype),
            head_kinds: kinds.map(Vec::from),
            layout,
            tile: Some(tile),
            ..BlockAttention::new(attention::attention_shape(1, 4, 2, 90, 130, 24))
        };
        let masked = kinds.is_some_and(|kinds| kinds.contains(&HeadKind::Sparse));
        let mask = masked.then(|| attention::scattered(&problem, 50));
        let case = attention::Case::new(&problem, mask);
        let explanation = same_attention(&case.problem, || case.run());
        is_wide(&explanation);
        assert!(explanation.kernel.contains(walk), "{walk}: {explanation}");
        in_words(Words::Bits64, || case.check());
    }
}

#[test]
fn attention_to_all_blocks_of_f32_is_the_same_to_the_bit() {
    walk_is_the_same("all_blocks", None, TokenLayout::TokenMajor, DType::F32);
}

#[test]
fn attention_to_all_blocks_of_f16_is_the_same_to_the_bit() {
    walk_is_the_same("all_blocks", None, TokenLayout::TokenMajor, DType::F16);
}

#[test]
fn attention_to_all_blocks_of_bf16_is_the_same_to_the_bit() {
    walk_is_the_same("all_blocks", None, TokenLayout::TokenMajor, DType::Bf16);
}

#[test]
fn attention_to_windows_is_the_same_to_the_bit() {
    let kinds = Some([WINDOW; 4]);
    walk_is_the_same(
        "streaming_blocks",
        kinds,
        TokenLayout::HeadMajor,
        DType::F16,
    );
}

#[test]
fn attention_of_heads_of_several_kinds_is_the_same_to_the_bit() {
    let kinds = Some([WINDOW, HeadKind::Sparse, HeadKind::Dense, WINDOW]);
    walk_is_the_same("mixed_blocks", kinds, TokenLayout::TokenMajor, DType::Bf16);
}

fn packed_attention_is_the_same(kernel: Kernel) {
    if !has_wide_words() {
        return;
    }
    let [q, k] = [[40, 0, 1, 33, 17], [40, 5, 70, 100, 9]]
        .map(|lengths| Packing::of_lengths(&lengths).unwrap_or_else(|e| panic!("{e}")));
    for (dtype, head_dim) in [(DType::F32, 24), (DType::F16, 16), (DType::Bf16, 20)] {
        let shape = PackedShape::try_new(4, 2, head_dim, q.clone(), k.clone());
        let problem = VarlenAttention {
            block: 32,
            types: AttentionTypes::all(dtype),
            tile: Some(kernel.tile()),
            ..VarlenAttention::new(shape.unwrap_or_else(|e| panic!("{e}")))
        };
        let mask = varlen::scattered(&problem, 60);
        let case = varlen::VarlenCase::new(&problem, Some(mask));
        is_wide(&same_attention(&case.problem, || case.run()));
        in_words(Words::Bits64, || case.check());
    }
}

#[test]
fn packed_attention_with_direct_tiles_is_the_same_to_the_bit() {
    packed_attention_is_the_same(Kernel::Direct);
}

#[test]
fn packed_attention_with_tiles_of_gpus_is_the_same_to_the_bit() {
    packed_attention_is_the_same(Kernel::Tiled);
}

#[test]
fn packed_attention_with_tiles_for_few_queries_is_the_same_to_the_bit() {
    packed_attention_is_the_same(Kernel::Few);
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

/// What `f` does with such options, where there are words of 64 bits.
fn with_options(mode: Mode, stride: usize, f: impl Fn(&XAttentionOptions)) {
    if has_wide_words() {
        f(&XAttentionOptions {
            mode,
            stride,
            ..XAttentionOptions::default()
        });
    }
}

#[test]
fn xattention_is_the_same_to_the_bit() {
    with_options(Mode::Exact, 8, |options| xattention::<f32>(options, 64));
}

#[test]
fn xattention_of_every_storage_type_is_the_same_to_the_bit() {
    with_options(Mode::Exact, 16, |options| {
        xattention::<f32>(options, 40);
        xattention::<f16>(options, 40);
        xattention::<bf16>(options, 40);
    });
}

#[test]
fn xattention_in_reference_mode_is_the_same_to_the_bit() {
    let mode = Mode::Reference(ReferenceOptions::default());
    with_options(mode, 16, |options| xattention::<f32>(options, 64));
}

#[test]
fn xattention_of_rows_that_are_no_vec4s_is_the_same_to_the_bit() {
    with_options(Mode::Exact, 8, |options| xattention::<f32>(options, 6));
}

/// Items that begin at any token, of rows that are vec4s and that are not.
#[test]
fn xattention_of_packed_sequences_is_the_same_to_the_bit() {
    with_options(Mode::Exact, 16, |options| {
        xattention_of_items::<f32>(options, 40);
        xattention_of_items::<f16>(options, 40);
        xattention_of_items::<bf16>(options, 6);
    });
}

fn xattention_of_items<T: Element>(options: &XAttentionOptions, head_dim: usize) {
    let shape = packed_xattention::packed(&[(33, 50), (0, 3), (300, 301)], [2, 1, head_dim]);
    let qkv = packed_xattention::packed_inputs::<T>(&shape);
    let problem = VarlenXAttention::new(shape, options.clone());
    let [narrow, wide] = in_both(|| packed_xattention::run_packed(&problem, &qkv));
    assert_eq!(narrow.mask, wide.mask, "{options:?}");
    same(options, [&narrow.out, &wide.out]);
    same(options, [&narrow.lse, &wide.lse]);
    assert!(wide.out.iter().all(|x| x.is_finite()), "{options:?}");
}
