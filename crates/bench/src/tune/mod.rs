//! Finding the best tile of each kernel by measuring: candidates, a contest by turns, and what the winners make of a table.

mod attention;
mod candidates;
mod cases;
mod contest;
mod finding;
mod product;
mod ranges;
mod table;

use std::time::Duration;

use half::{bf16, f16};
use sparse_core::DType;
use sparse_core::attention::AttentionShape;

use self::cases::DECODING_GROUP;
use crate::compare::bench::Bench;

pub use candidates::candidates;
pub use cases::{TuneCase, TuneWork, cases};
pub use finding::{Best, Finding, Verdict};
pub use ranges::to_table;
pub use table::findings_table;

/// Measures one case for about `time`, at most `most` candidates.
///
/// # Errors
/// Where the default cannot be planned, or the device fails.
pub fn tune(
    bench: &Bench,
    case: &TuneCase,
    time: Duration,
    most: usize,
    after_round: &mut dyn FnMut(),
) -> anyhow::Result<Finding> {
    match case.dtype {
        DType::F32 => tune_typed::<f32>(bench, case, time, most, after_round),
        DType::F16 => tune_typed::<f16>(bench, case, time, most, after_round),
        DType::Bf16 => tune_typed::<bf16>(bench, case, time, most, after_round),
    }
}

fn tune_typed<T: sparse_core::Element>(
    bench: &Bench,
    case: &TuneCase,
    time: Duration,
    most: usize,
    after_round: &mut dyn FnMut(),
) -> anyhow::Result<Finding> {
    let race = contest::Race { bench, time, most };
    match case.work {
        TuneWork::Product {
            n_out,
            k_in,
            pattern,
        } => {
            let product =
                product::Product::<T>::new(&bench.gpu, [case.tokens, n_out, k_in], pattern)?;
            race.run(case, &product, after_round)
        }
        TuneWork::Attention { heads, head_dim } => {
            let tokens = case.tokens;
            let shape = AttentionShape::try_new(1, heads, heads, tokens, tokens, head_dim)?;
            race.run(
                case,
                &attention::Attention::<T>::new(&bench.gpu, shape)?,
                after_round,
            )
        }
        TuneWork::Decoding { kv_heads, head_dim } => {
            let heads = DECODING_GROUP * kv_heads;
            let shape = AttentionShape::try_new(1, heads, kv_heads, 1, case.tokens, head_dim)?;
            race.run(
                case,
                &attention::Attention::<T>::new(&bench.gpu, shape)?,
                after_round,
            )
        }
        TuneWork::Scores {
            heads,
            head_dim,
            stride,
        } => {
            let layer =
                attention::Scores::<T>::new(&bench.gpu, case.tokens, heads, head_dim, stride)?;
            race.run(case, &layer, after_round)
        }
    }
}
