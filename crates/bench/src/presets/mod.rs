//! Which shapes `compare` measures, as plain data.

mod case;
mod cooperative;
mod decoding;
mod full;
mod gradients;
mod layers;
mod packed;
mod peers;
mod quick;

pub use case::{AttentionCase, Case, GradientCase, MatmulCase, PackedCase, SizeClass};
pub use cooperative::cooperative_cases;
pub use layers::{LENGTHS, LayerCase, LayerTask, auto_layers, planted_layers};

use crate::cli::{OperationList, PresetName};

/// The rows of a preset for an adapter class, in the order of the table, only those of `operations`.
pub fn cases(preset: PresetName, class: SizeClass, operations: &OperationList) -> Vec<Case> {
    let mut cases = match preset {
        PresetName::Quick => quick::cases(class),
        PresetName::Full => full::cases(class),
        // Its other rows are layers: `planted_layers` and `auto_layers`.
        PresetName::Attention => decoding::cases(class),
        PresetName::Peers => peers::cases(class),
    };
    cases.retain(|case| operations.contains(case.operation()));
    cases.sort_by_key(Case::operation);
    cases
}

#[cfg(test)]
mod tests {
    use sparse_measure::COLD_TOKENS;

    use super::*;
    use crate::cli::Operation;
    use sparse_core::attention::MaskHeads;

    const CLASSES: [SizeClass; 3] = [
        SizeClass::Software,
        SizeClass::Integrated,
        SizeClass::Discrete,
    ];

    #[test]
    fn every_preset_has_every_operation_of_one_length_and_only_legal_shapes() {
        for preset in [PresetName::Quick, PresetName::Full, PresetName::Peers] {
            for class in CLASSES {
                let all = cases(preset, class, &OperationList::default());
                for operation in Operation::ALL {
                    let has_row = all.iter().any(|case| case.operation() == operation);
                    let expected = !operation.is_of_full() || preset == PresetName::Full;
                    assert_eq!(has_row, expected, "{operation}");
                }
                for case in &all {
                    assert_eq!(case.violation(), None, "{case:?}");
                }
            }
        }
    }

    #[test]
    fn presets_with_attention_decode_against_many_keys() {
        for class in CLASSES {
            let decoding = |preset| {
                let all = cases(preset, class, &OperationList::default());
                let rows = all.into_iter().filter_map(|case| match case {
                    Case::Attention(row) if row.q_len <= COLD_TOKENS => Some(row),
                    _ => None,
                });
                rows.collect::<Vec<_>>()
            };
            let full = decoding(PresetName::Full);
            assert_eq!(full, decoding(PresetName::Attention));
            assert!(full.iter().any(|row| row.dense));
            let quick = decoding(PresetName::Quick);
            let heads: Vec<_> = quick.iter().map(|row| row.mask_heads).collect();
            assert_eq!(heads, [MaskHeads::Query, MaskHeads::Key]);
            for row in quick {
                assert!(!row.dense && row.q_len == 1 && row.k_len >= 4096);
                assert!(full.contains(&row));
            }
        }
    }

    #[test]
    fn only_the_operations_asked_for_are_kept() {
        let only = "nm_matvec".parse().unwrap();
        let kept = cases(PresetName::Quick, SizeClass::Software, &only);
        assert!(!kept.is_empty() && kept.iter().all(|c| c.operation() == Operation::NmMatvec));
    }

    #[test]
    fn the_software_quick_preset_holds_the_rows_that_the_project_is_judged_by() {
        let all = cases(
            PresetName::Quick,
            SizeClass::Software,
            &OperationList::default(),
        );
        let cube = |operation: Operation, pattern: &str| {
            all.iter().any(|case| match case {
                Case::Matmul(m) => {
                    m.operation == operation
                        && m.pattern.to_string() == pattern
                        && [m.tokens, m.n_out, m.k_in] == [1024; 3]
                        && m.dtype == sparse_core::DType::F32
                }
                _ => false,
            })
        };
        assert!(cube(Operation::DenseMatmul, "dense"));
        for pattern in ["2:4", "8:2:4", "8:2:8"] {
            assert!(cube(Operation::NmMatmul, pattern), "{pattern}");
        }
        for pattern in ["bsr:64x64@0.125", "bsr:32x32@0.25"] {
            assert!(cube(Operation::BsrMatmul, pattern), "{pattern}");
        }
        for operation in [Operation::BlockAttention, Operation::Xattention] {
            assert!(all.iter().any(|case| matches!(case, Case::Attention(a)
                if a.operation == operation && a.causal && a.q_len == 4096 && a.head_dim == 64)));
        }
    }
}
