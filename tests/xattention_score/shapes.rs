//! Every shape, stride, block, width of a head and tile.

use half::{bf16, f16};
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_gpu::Tile;

use crate::support::gpu::rounded;
use crate::{check, inputs};

#[test]
fn edge_shapes_in_every_mode_and_storage() {
    let shapes = [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 3, 70, 5],    // q_len < stride
        [1, 1, 1, 70, 3, 8],    // k_len < stride, q_len > k_len
        [1, 2, 1, 100, 200, 7], // odd head dimension
        [2, 4, 2, 130, 257, 12],
        [2, 6, 3, 65, 64, 33],
        [1, 1, 1, 300, 129, 4],
        [1, 3, 1, 0, 50, 4],
        [1, 2, 2, 50, 0, 4],
        [0, 2, 1, 40, 40, 4],
    ];
    for shape in shapes {
        let [q, k] = inputs(shape);
        // The last has more groups a block than a workgroup sums up at once.
        for (block, stride) in [(32, 4), (32, 32), (64, 8), (24, 3), (20, 1), (80, 1)] {
            for causal in [true, false] {
                for mode in [Mode::Exact, Mode::Reference(ReferenceOptions::default())] {
                    let mode = match mode {
                        Mode::Reference(options) => Mode::Reference(ReferenceOptions {
                            chunk: Some(2 * block),
                            ..options
                        }),
                        Mode::Exact => Mode::Exact,
                    };
                    let options = XAttentionOptions {
                        block,
                        stride,
                        causal,
                        mode,
                        ..XAttentionOptions::default()
                    };
                    let what = format!("{shape:?} {options:?}");
                    // Reference mode refuses more query chunks than key chunks.
                    if options
                        .layout(AttentionShape::of_qk(q.shape(), k.shape()).unwrap())
                        .is_err()
                    {
                        assert!(shape[3] > shape[4] && mode != Mode::Exact, "{what}");
                        continue;
                    }
                    check(&what, &q, &k, &options, None);
                    check(&what, &rounded::<f16>(&q), &rounded(&k), &options, None);
                    check(&what, &rounded::<bf16>(&q), &rounded(&k), &options, None);
                }
            }
        }
    }
}

#[test]
fn every_stride_and_block_of_models() {
    for (block, stride) in [32, 64, 128]
        .into_iter()
        .flat_map(|block| [4, 8, 16, 32, 64].map(|stride| (block, stride)))
        .filter(|(block, stride)| stride <= block)
    {
        let [q, k] = inputs([1, 4, 2, 331, 517, 32]);
        for causal in [true, false] {
            let options = XAttentionOptions {
                block,
                stride,
                causal,
                ..XAttentionOptions::default()
            };
            check(&format!("{options:?}"), &q, &k, &options, None);
        }
    }
}

#[test]
fn every_head_dimension_of_models() {
    for head_dim in [1, 2, 3, 31, 40, 64, 72, 80, 96, 128, 160, 192, 255, 256] {
        let [q, k] = inputs([1, 2, 1, 200, 200, head_dim]);
        let options = XAttentionOptions {
            block: 32,
            ..XAttentionOptions::default()
        };
        check(&format!("{head_dim}"), &q, &k, &options, None);
        check(
            &format!("{head_dim}"),
            &rounded::<f16>(&q),
            &rounded(&k),
            &options,
            None,
        );
    }
}

/// The longest and the shortest groups of the widest rows, in every block.
#[test]
fn the_widest_rows_at_every_block() {
    let [q, k] = inputs([1, 2, 1, 290, 290, 256]);
    for (block, stride) in [
        (32, 4),
        (32, 32),
        (64, 4),
        (64, 64),
        (128, 4),
        (128, 16),
        (128, 64),
    ] {
        let options = XAttentionOptions {
            block,
            stride,
            ..XAttentionOptions::default()
        };
        check(&format!("{options:?}"), &q, &k, &options, None);
        check(
            "f16",
            &rounded::<f16>(&q),
            &rounded::<f16>(&k),
            &options,
            None,
        );
    }
}

#[test]
fn every_tile_gives_the_same() {
    let [q, k] = inputs([1, 2, 1, 700, 700, 16]);
    for (rows, cols, lanes) in [
        (8, 8, 8),
        (8, 4, 32),
        (4, 8, 32),
        (16, 4, 64),
        (16, 8, 8),
        (1, 16, 8),
        (2, 4, 8),
    ] {
        let tile = Tile { rows, cols, lanes };
        // With 9 and 15 groups a block, the last tile of rows reaches into the next block.
        for (block, stride) in [(128, 8), (32, 16), (48, 4), (36, 4), (60, 4)] {
            let options = XAttentionOptions {
                block,
                stride,
                ..XAttentionOptions::default()
            };
            check(&format!("{tile}"), &q, &k, &options, Some(tile));
        }
    }
}
