//! Costs with which a test knows what is decided.

use sparse_gpu::CostModel;

/// Nothing but attention costs anything, and sparse attention pays below a density of `efficiency`.
pub(crate) fn attention_alone(efficiency: f64) -> CostModel {
    CostModel {
        efficiency,
        estimate_factor: 0.0,
        pack_per_element: 0.0,
        select_per_block: 0.0,
        dispatch: 0.0,
        most_regret: 1.0,
        expected_density: None,
    }
}
