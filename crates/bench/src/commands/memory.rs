//! `sparse-bench memory`: what XAttention holds, length by length.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table};
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;

use super::{open, print};
use crate::cli::MemoryArgs;
use crate::memory::MemoryRow;
use crate::progress;

pub(crate) fn run(args: &MemoryArgs) -> anyhow::Result<ExitCode> {
    let options = XAttentionOptions {
        block: args.block,
        stride: args.stride,
        causal: !args.full,
        ..XAttentionOptions::default()
    };
    let shapes = args
        .lengths
        .iter()
        .map(|&length| shape(args, length, &options))
        .collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(
        args.lengths.is_sorted_by(|a, b| a < b),
        "--lengths must ascend, for the growth from one to the next: {:?}",
        args.lengths
    );
    let gpu = open(args.adapter.as_deref())?;
    let bar = progress::rounds(shapes.len());
    bar.set_message("plan");
    let mut rows: Vec<MemoryRow> = Vec::with_capacity(shapes.len());
    let mut failure = None;
    for shape in shapes {
        match MemoryRow::of(&gpu, shape, &options, args.dtype, rows.last()) {
            Ok(row) => rows.push(row),
            // What holds shorter lengths is told all the same.
            Err(error) => {
                let length = format!("{} tokens", shape.q_len());
                failure = Some(anyhow::Error::from(error).context(length));
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        print(serde_json::to_string_pretty(&rows)?)?;
    } else {
        print(table(&rows))?;
        print(format_args!(
            "on {}: {} x {} heads (k, v: {}) of {}, {}, blocks of {}, stride {}",
            gpu.adapter().name,
            args.batch,
            args.heads,
            args.kv_heads.unwrap_or(args.heads),
            args.head_dim,
            args.dtype,
            args.block,
            args.stride
        ))?;
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn shape(
    args: &MemoryArgs,
    length: usize,
    options: &XAttentionOptions,
) -> anyhow::Result<AttentionShape> {
    let kv_heads = args.kv_heads.unwrap_or(args.heads);
    let shape = AttentionShape::try_new(
        args.batch,
        args.heads,
        kv_heads,
        length,
        length,
        args.head_dim,
    )?;
    options.layout(shape)?;
    Ok(shape)
}

fn table(rows: &[MemoryRow]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "tokens",
        "q k v out lse",
        "scores",
        "mask",
        "scratch",
        "total",
        "factor",
        "factor beside tensors",
        "(all group scores)",
    ]);
    let factor = |growth: Option<f64>| growth.map_or_else(|| "-".into(), |g| format!("{g:.2}"));
    for row in rows {
        table.add_row([
            row.length.to_string(),
            mebibytes(row.tensor_bytes),
            mebibytes(row.score_bytes),
            mebibytes(row.mask_bytes),
            mebibytes(row.scratch_bytes),
            mebibytes(row.total_bytes),
            factor(row.growth),
            factor(row.growth_beside_tensors),
            mebibytes(row.group_scores_bytes),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[expect(
    clippy::cast_precision_loss,
    reason = "three digits of a number of bytes are shown"
)]
fn mebibytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    let decimals = match mib {
        mib if mib >= 100.0 => 0,
        mib if mib >= 1.0 => 1,
        _ => 3,
    };
    format!("{mib:.decimals$} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_three_digits() {
        assert_eq!(
            [512, 3 << 19, 1 << 30].map(mebibytes),
            ["0.000 MiB", "1.5 MiB", "1024 MiB"]
        );
    }
}
