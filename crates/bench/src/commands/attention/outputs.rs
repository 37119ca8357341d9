//! The files of `--out` and `--heatmap`.

use std::borrow::Cow;
use std::path::Path;

use sparse_core::xattention::XAttentionOptions;

use super::rule::Rule;
use crate::cli::AttentionArgs;
use crate::commands::check_outs;
use crate::compare::attention::AttentionResult;
use crate::report::{AttentionMap, PictureFormat, draw};
use crate::tensors::{OutTensor, Qkv, write_file, write_tensors};

/// Measuring must not end at a file that cannot be written.
pub(super) fn check_files(args: &AttentionArgs, qkv: &Path) -> anyhow::Result<()> {
    check_outs(
        &[
            ("--out", Some(&args.out)),
            ("--heatmap", args.heatmap.as_deref()),
        ],
        &[
            Some(qkv),
            args.profile.as_deref(),
            args.head_kinds_file(),
            args.tiles.tiles.as_deref(),
        ],
    )
}

/// The picture of `--heatmap`, where it is asked for, and what is told of the layer there: whether dense attention ran, and what decided about each head.
pub(super) fn draw_heads(
    args: &AttentionArgs,
    qkv: &Qkv,
    options: &XAttentionOptions,
    result: &AttentionResult,
    (is_dense, rule): (bool, &dyn Fn(usize) -> Rule),
) -> anyhow::Result<()> {
    let Some((path, format)) = args
        .heatmap
        .as_deref()
        .and_then(|path| Some((path, PictureFormat::of(path)?)))
    else {
        return Ok(());
    };
    let quality = &result.quality;
    let shape = qkv.shape;
    let title = format!(
        "{} {}, {} tokens, {} heads of {}, blocks of {}, stride {}: density {:.3}, mass kept {:.3}, error {:.3}",
        if options.causal { "Causal" } else { "Full" },
        if is_dense {
            "dense attention"
        } else {
            "XAttention"
        },
        shape.q_len(),
        shape.q_heads(),
        shape.head_dim(),
        options.block,
        options.stride,
        quality.density,
        quality.kept_mass,
        quality.relative_l2_error
    );
    // Scores of zero are drawn as what nobody computed.
    let scores = match &result.scores {
        Some(scores) => Cow::Borrowed(scores.data()),
        None => Cow::Owned(vec![0.0; result.mask.shape().iter().product()]),
    };
    let map = AttentionMap::of(
        title,
        &scores,
        &result.mask,
        &result.reachable,
        quality,
        &|head| rule(head).to_string(),
    );
    write_file(path, &draw(&map, format)?)?;
    Ok(())
}

/// The tensors of `--out`; no block scores where none were computed.
pub(super) fn write(
    args: &AttentionArgs,
    qkv: &Qkv,
    result: &AttentionResult,
) -> anyhow::Result<()> {
    let bools = result.mask.to_bools()?;
    let mask: Vec<u8> = bools.into_iter().map(u8::from).collect();
    let q_shape = qkv.shape.q_shape();
    let scores = result.scores.as_ref();
    let mut tensors: Vec<_> = scores
        .map(|scores| ("block_scores", OutTensor::from(scores)))
        .into_iter()
        .collect();
    tensors.extend([
        ("mask", OutTensor::from_u8(&result.mask.shape(), mask)),
        ("out", OutTensor::new(&q_shape, &result.attended.out)),
        ("lse", OutTensor::new(&q_shape[..3], &result.attended.lse)),
    ]);
    write_tensors(&args.out, &tensors)?;
    Ok(())
}
