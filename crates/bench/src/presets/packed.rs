//! XAttention of prompts of different lengths that are read together.

use sparse_core::DType;
use sparse_core::attention::MaskHeads;

use super::case::{Case, PackedCase, SizeClass};

/// Query heads that share keys.
const GROUP: usize = 4;

/// Long prompts, all of them sparse; and prompts of which some are too short for scores to pay, with a chunk of one on top of what a cache holds of it, as
/// the policy decides.
pub(super) fn cases(class: SizeClass) -> Vec<Case> {
    let (kv_heads, scale) = match class {
        SizeClass::Software => (1, 1),
        SizeClass::Integrated => (4, 2),
        SizeClass::Discrete => (8, 4),
    };
    let prompt = |tokens: usize| (tokens, tokens);
    // No length is a multiple of the block: packed sequences have no padding to hide that.
    let long = [2000, 1700, 1300].map(|tokens| prompt(scale * tokens));
    let mixed = [
        prompt(scale * 2000),
        prompt(640),
        prompt(200),
        prompt(77),
        (scale * 500, scale * 2500),
    ];
    let row = |lengths: &[(usize, usize)], auto| {
        Case::Packed(PackedCase {
            model: "Llama-3 8B, prompts",
            heads: GROUP * kv_heads,
            kv_heads,
            head_dim: 128,
            lengths: lengths.to_vec(),
            dtype: DType::F16,
            causal: true,
            block: 128,
            stride: 16,
            threshold: 0.9,
            mask_heads: MaskHeads::Query,
            auto,
        })
    };
    vec![row(&long, false), row(&mixed, true)]
}

#[cfg(test)]
mod tests {
    use sparse_gpu::{AdapterClass, CostModel, Decision, Policy};

    use super::*;
    use crate::commands::open;

    #[test]
    fn long_prompts_are_scored_and_of_mixed_ones_the_short_ones_are_not() {
        let gpu = open(None).unwrap();
        for (class, adapter) in [
            (SizeClass::Software, AdapterClass::Software),
            (SizeClass::Integrated, AdapterClass::Intel),
            (SizeClass::Discrete, AdapterClass::Nvidia),
        ] {
            let decisions = |case: &Case, policy| -> Vec<Decision> {
                let Case::Packed(case) = case else {
                    panic!("{case:?}");
                };
                assert_eq!(case.auto, policy != Policy::Sparse);
                let problem = case.problem(policy).unwrap();
                let plan = gpu.plan_blocking(&problem).unwrap();
                plan.decisions().collect()
            };
            let rows = cases(class);
            let (sparse, dense) = (Decision::Sparse, Decision::Dense);
            assert_eq!(decisions(&rows[0], Policy::Sparse), [sparse; 3]);
            let auto = Policy::Auto(CostModel::of_class(adapter));
            let expected = [sparse, dense, dense, dense, sparse];
            assert_eq!(decisions(&rows[1], auto), expected, "{class:?}");
        }
    }
}
