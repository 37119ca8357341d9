//! What is measured: the rows of a preset, and those of real tensors.

use sparse_gpu::Tier;
use sparse_measure::counted;

use crate::cli::{CompareArgs, Operation, OperationList};
use crate::compare::attention::by;
use crate::compare::source::{GENERATED, MatmulRow, source_of_qkv};
use crate::presets::{AttentionCase, Case, GradientCase, LayerCase, LayerTask, PackedCase};
use crate::tensors::Qkv;

/// A row and where its numbers come from.
#[derive(Clone, Debug)]
pub(super) enum Row {
    Matmul(MatmulRow),
    Gradient(GradientCase),
    /// With generated tensors.
    Attention(AttentionCase),
    /// With those of a file.
    RealAttention(AttentionCase),
    Packed(PackedCase),
    Layer(LayerCase),
}

impl Row {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Matmul(row) => row.case.operation,
            Self::Gradient(case) => case.operation,
            Self::Attention(case) | Self::RealAttention(case) => case.operation,
            Self::Packed(_) => Operation::VarlenXattention,
            Self::Layer(case) => case.operation(),
        }
    }

    /// Whether there can be such tensors: a length that nothing takes is told before minutes of measuring.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Matmul(_) | Self::Gradient(_) => {}
            Self::Attention(case) | Self::RealAttention(case) => drop(case.attention_shape()?),
            Self::Packed(case) => drop(case.packed_shape()?),
            Self::Layer(case) => drop(case.shape()?),
        }
        Ok(())
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Matmul(row) => {
                let case = &row.case;
                let tier = match row.tier {
                    Tier::Portable => "",
                    _ => " on cooperative matrices",
                };
                format!(
                    "{} {} x {} x {} {} {}{tier}",
                    case.operation, case.tokens, case.n_out, case.k_in, case.dtype, case.pattern
                )
            }
            Self::Gradient(case) => format!(
                "{} {} x {} x {} {} {}",
                case.operation, case.tokens, case.n_out, case.k_in, case.dtype, case.pattern
            ),
            Self::Attention(case) | Self::RealAttention(case) => {
                let rule = match (case.dense, case.top_k) {
                    (true, _) => "dense".into(),
                    (false, Some(count)) => format!("top {count}"),
                    (false, None) => format!("threshold {}", case.threshold),
                };
                let tokens = match (case.q_len, case.k_len) {
                    (queries, keys) if queries == keys => format!("{keys} tokens"),
                    (queries, keys) => format!("{queries} of {keys} tokens"),
                };
                format!(
                    "{} {tokens} x {} {} {rule}{}",
                    case.operation,
                    case.head_dim,
                    case.dtype,
                    by(case.mask_heads)
                )
            }
            Self::Packed(case) => {
                let queries: usize = case.lengths.iter().map(|&(queries, _)| queries).sum();
                format!(
                    "varlen_xattention {} of {queries} tokens x {} {} threshold {}{}{}",
                    counted(case.lengths.len(), "item"),
                    case.head_dim,
                    case.dtype,
                    case.threshold,
                    by(case.mask_heads),
                    if case.auto { " auto" } else { "" }
                )
            }
            Self::Layer(case) => {
                let task = match case.task {
                    LayerTask::Steps { density } => format!("step by step at density {density}"),
                    LayerTask::Auto => "auto".into(),
                };
                format!("xattention {} tokens {} {task}", case.tokens, case.dtype)
            }
        }
    }

    /// What a record says of the operands.
    pub(super) fn source(&self, args: &CompareArgs) -> String {
        match (self, &args.qkv) {
            (Self::Matmul(row), _) => row.source(args.weights.as_deref()),
            (Self::RealAttention(_), Some(path)) => source_of_qkv(path),
            // The layers that are measured step by step are planted ones.
            (Self::Layer(case), Some(path)) if case.task == LayerTask::Auto => source_of_qkv(path),
            _ => GENERATED.into(),
        }
    }

    pub(super) fn of_real_weights(&self) -> bool {
        matches!(self, Self::Matmul(row) if row.tensor.is_some())
    }
}

/// The rows of the preset, those of linear layers and those of attention each replaced where there are real tensors for them. Packed sequences keep
/// generated ones, since a file has one length, and gradients do, since no file has that of an output.
pub(super) fn rows(
    generated: Vec<Case>,
    real_weights: Option<Vec<MatmulRow>>,
    qkv: Option<&Qkv>,
    operations: &OperationList,
) -> Vec<Row> {
    let (mut matmul, mut gradients) = (Vec::new(), Vec::new());
    let (mut attention, mut packed) = (Vec::new(), Vec::new());
    for case in generated {
        match case {
            Case::Matmul(case) => matmul.push(MatmulRow {
                case,
                tensor: None,
                tier: Tier::Portable,
            }),
            Case::Gradient(case) => gradients.push(Row::Gradient(case)),
            Case::Attention(case) => attention.push(Row::Attention(case)),
            Case::Packed(case) => packed.push(Row::Packed(case)),
        }
    }
    if let Some(qkv) = qkv {
        attention = [Operation::BlockAttention, Operation::Xattention]
            .map(|operation| Row::RealAttention(AttentionCase::of_real(operation, qkv)))
            .into();
    }
    let matmul = real_weights.unwrap_or(matmul).into_iter().map(Row::Matmul);
    matmul
        .chain(gradients)
        .chain(attention)
        .chain(packed)
        .filter(|row| operations.contains(row.operation()))
        .collect()
}

/// Name and shape of every tensor of real weights behind these rows, once each.
pub(super) fn real_weights(rows: &[Row]) -> Vec<[String; 2]> {
    let mut all = Vec::new();
    for row in rows {
        if let Row::Matmul(MatmulRow {
            case,
            tensor: Some(tensor),
            ..
        }) = row
        {
            let named = [tensor.clone(), format!("[{}, {}]", case.n_out, case.k_in)];
            if !all.contains(&named) {
                all.push(named);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use sparse_core::attention::AttentionShape;

    use super::*;
    use crate::cli::{Cli, Command, PresetName};
    use crate::compare::attention::planted;
    use crate::presets::{SizeClass, auto_layers, cases, planted_layers};
    use crate::tensors::AnyTensor;

    #[test]
    fn a_record_says_which_rows_take_the_tensors_of_a_file() {
        let sources = |line: &str| {
            let line = format!("sparse-bench compare {line}");
            let Command::Compare(args) = Cli::parse_from(line.split_whitespace()).command else {
                panic!("{line} is another command");
            };
            let all = cases(
                PresetName::Quick,
                SizeClass::Software,
                &OperationList::default(),
            );
            let case = |row: &Case| match row {
                Case::Matmul(case) => Some(case.clone()),
                _ => None,
            };
            let case = all.iter().find_map(case).unwrap();
            let weights = |tensor: Option<&str>| {
                Row::Matmul(MatmulRow {
                    case: case.clone(),
                    tensor: tensor.map(Into::into),
                    tier: Tier::Portable,
                })
            };
            let attention = all.iter().find_map(|row| match row {
                Case::Attention(case) => Some(case.clone()),
                _ => None,
            });
            let attention = attention.unwrap();
            let steps = planted_layers(SizeClass::Software)[0];
            let auto = auto_layers([1, 1, 64], sparse_core::DType::F32, &[64])[0];
            [
                weights(None),
                weights(Some("layer.0")),
                Row::Attention(attention.clone()),
                Row::RealAttention(attention),
                Row::Layer(steps),
                Row::Layer(auto),
            ]
            .map(|row| row.source(&args))
        };
        let qkv = "q, k and v of b";
        assert_eq!(
            sources("--weights a --qkv b"),
            [
                GENERATED,
                "w \"layer.0\" of a, x generated",
                GENERATED,
                qkv,
                GENERATED,
                qkv
            ]
        );
        let planted = sources("--preset attention");
        assert_eq!([&planted[4], &planted[5]], [GENERATED; 2]);
    }

    #[test]
    fn few_queries_are_told_from_long_ones_and_shared_masks_from_others() {
        let only: OperationList = "block_attention".parse().unwrap();
        let cases = cases(PresetName::Quick, SizeClass::Software, &only);
        let words: Vec<String> = rows(cases, None, None, &only)
            .iter()
            .map(Row::words)
            .collect();
        let expected = [
            "block_attention 4096 tokens x 64 f32 threshold 0.9",
            "block_attention 1 of 4096 tokens x 128 f16 top 8",
            "block_attention 1 of 4096 tokens x 128 f16 top 8 by key head",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn packed_rows_tell_their_items_and_stay_beside_real_tensors() {
        let only: OperationList = "xattention,varlen_xattention".parse().unwrap();
        let shape = AttentionShape::try_new(1, 2, 1, 40, 40, 32).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let [q, k, v] = [inputs.q, inputs.k, inputs.v].map(AnyTensor::F32);
        let qkv = Qkv { q, k, v, shape };
        let cases = cases(PresetName::Full, SizeClass::Software, &only);
        let words: Vec<String> = rows(cases, None, Some(&qkv), &only)
            .iter()
            .map(Row::words)
            .collect();
        let expected = [
            "xattention 40 tokens x 32 f32 threshold 0.9",
            "varlen_xattention 3 items of 5000 tokens x 128 f16 threshold 0.9",
            "varlen_xattention 5 items of 3417 tokens x 128 f16 threshold 0.9 auto",
        ];
        assert_eq!(words, expected);
    }
}
