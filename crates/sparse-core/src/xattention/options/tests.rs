//! Every rule of the options, broken once.

use super::*;
use crate::attention::{AttentionShape, MaskHeads};
use crate::xattention::ReferenceOptions;
use XAttentionError as E;

fn with(change: impl FnOnce(&mut XAttentionOptions)) -> Result<(), XAttentionError> {
    let mut options = XAttentionOptions::default();
    change(&mut options);
    options.validate()
}

fn with_reference(change: impl FnOnce(&mut ReferenceOptions)) -> XAttentionOptions {
    let mut reference = ReferenceOptions::default();
    change(&mut reference);
    XAttentionOptions {
        mode: Mode::Reference(reference),
        ..XAttentionOptions::default()
    }
}

#[test]
fn every_broken_rule_has_its_own_error() {
    assert_eq!(with(|_| ()), Ok(()));
    let max = XAttentionOptions::MAX_BLOCK;
    assert_eq!(with(|o| o.block = max), Ok(()));
    for block in [0, max + 1] {
        assert_eq!(with(|o| o.block = block), Err(E::Block { block, max }));
    }
    for stride in [0, 12, 256] {
        let block = 128;
        assert_eq!(
            with(|o| o.stride = stride),
            Err(E::Stride { stride, block })
        );
    }
    for threshold in [-0.1, 1.1, f64::INFINITY] {
        let expected = Err(E::Threshold { threshold });
        assert_eq!(with(|o| o.threshold = threshold.into()), expected);
        let per_head = Threshold::PerHead(vec![0.5, threshold]);
        assert_eq!(with(|o| o.threshold = per_head), expected);
    }
    assert!(matches!(
        with(|o| o.threshold = f64::NAN.into()),
        Err(E::Threshold { .. })
    ));
    for scale in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(with(|o| o.scale = Some(scale)), Err(E::Scale { scale }));
    }
    assert_eq!(with(|o| o.norm = 0.0), Err(E::Norm { norm: 0.0 }));
    assert_eq!(with(|o| o.top_k = Some(0)), Err(E::TopK));
    let top_k = 3;
    let counted = XAttentionOptions {
        top_k: Some(top_k),
        ..with_reference(|_| ())
    };
    assert_eq!(counted.validate(), Err(E::TopKInReference { top_k }));
    for (sink_blocks, recent_blocks) in [(1, 0), (0, 1)] {
        let forced = XAttentionOptions {
            sink_blocks,
            recent_blocks,
            ..with_reference(|_| ())
        };
        assert_eq!(
            forced.validate(),
            Err(E::ForcedColumnsInReference {
                sink_blocks,
                recent_blocks
            })
        );
    }
}

#[test]
fn a_chunk_is_a_multiple_of_the_block_and_no_longer_than_a_sequence() {
    let block = 128;
    for chunk in [0, 64, 200] {
        let options = with_reference(|r| r.chunk = Some(chunk));
        assert_eq!(options.validate(), Err(E::Chunk { chunk, block }));
    }
    let max = XAttentionOptions::MAX_BLOCK;
    let chunk = max * 2;
    let options = with_reference(|r| r.chunk = Some(chunk));
    assert_eq!(options.validate(), Err(E::ChunkTooLong { chunk, max }));
    // The wrapper's chunk is a power of two; a block of 96 cannot divide it.
    let options = XAttentionOptions {
        block: 96,
        ..with_reference(|_| ())
    };
    let shape = AttentionShape::try_new(1, 1, 1, 100, 100, 8).unwrap();
    let (chunk, block) = (2048, 96);
    let error = E::Chunk { chunk, block };
    assert_eq!(
        error.to_string(),
        "block 96 does not divide chunk 2048; give a chunk that is a multiple of the block (without one it is a power of two from 2048 up)"
    );
    assert_eq!(options.layout(shape), Err(error));
}

#[test]
fn options_must_fit_the_shape() {
    let shape = AttentionShape::try_new(1, 4, 1, 3000, 2000, 8).unwrap();
    for (given, heads, of) in [
        (3, 4, MaskHeads::Query),
        (5, 4, MaskHeads::Query),
        (4, 1, MaskHeads::Key),
    ] {
        let options = XAttentionOptions {
            threshold: Threshold::PerHead(vec![0.9; given]),
            mask_heads: of,
            ..XAttentionOptions::default()
        };
        assert_eq!(
            options.layout(shape),
            Err(E::ThresholdCount { given, heads, of })
        );
    }
    let per_query_head = BlockMask::dense(1, 4, 24, 16).unwrap();
    let shared = XAttentionOptions {
        forced: Some(per_query_head),
        mask_heads: MaskHeads::Key,
        ..XAttentionOptions::default()
    };
    assert_eq!(
        shared.layout(shape),
        Err(E::ForcedShape {
            given: [1, 4, 24, 16],
            expected: [1, 1, 24, 16]
        })
    );
    let expected = shape.mask_shape(128);
    for (axis, wrong) in [2, 5, 23, 15].into_iter().enumerate() {
        let mut given = expected;
        given[axis] = wrong;
        let [batch, heads, q_blocks, k_blocks] = given;
        let options = XAttentionOptions {
            forced: Some(BlockMask::dense(batch, heads, q_blocks, k_blocks).unwrap()),
            ..XAttentionOptions::default()
        };
        assert_eq!(
            options.layout(shape),
            Err(E::ForcedShape { given, expected })
        );
    }
    // Forced blocks are for sparse heads.
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let [batch, heads, q_blocks, k_blocks] = expected;
    let forced = |kinds: [HeadKind; 4]| XAttentionOptions {
        forced: Some(BlockMask::dense(batch, heads, q_blocks, k_blocks).unwrap()),
        head_kinds: Some(kinds.to_vec()),
        ..XAttentionOptions::default()
    };
    let (dense, sparse) = (HeadKind::Dense, HeadKind::Sparse);
    assert_eq!(
        forced([dense, streaming, dense, dense]).layout(shape),
        Err(E::ForcedWithoutSparse)
    );
    assert!(
        forced([dense, streaming, sparse, dense])
            .layout(shape)
            .is_ok()
    );
    let (q_len, k_len, chunk) = (3000, 2000, 2048);
    assert_eq!(
        with_reference(|_| ()).layout(shape),
        Err(E::MoreQueryChunks {
            q_len,
            k_len,
            chunk
        })
    );
    // More queries than keys are no more chunks.
    let shape = AttentionShape::try_new(1, 4, 1, 2000, 1000, 8).unwrap();
    assert!(with_reference(|_| ()).layout(shape).is_ok());
}

#[test]
fn a_message_says_what_to_do() {
    for (stride, block, possible) in [
        (12, 128, "8 or 16"),
        (8, 100, "5 or 10"),
        (0, 100, "1"),
        (200, 100, "100"),
        (8, 97, "1 or 97"),
    ] {
        let refusal = with(|o| (o.stride, o.block) = (stride, block)).unwrap_err();
        let expected = format!(
            "stride {stride} does not divide block {block}; give a divisor of the block, such as {possible}"
        );
        assert_eq!(refusal.to_string(), expected);
    }
}
