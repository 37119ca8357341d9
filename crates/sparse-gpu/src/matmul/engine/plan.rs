//! Planning a product.

use super::check::{check_problem, normal};
use super::passes::Passes;
use super::schedule::Schedule;
use super::{Engine, MatmulProblem};
use crate::matmul::choose::{Choice, choose};
use crate::problem::Explanation;
use crate::{Error, Gpu};

impl Engine {
    pub(crate) async fn plan(gpu: &Gpu, asked: MatmulProblem) -> Result<Self, Error> {
        check_problem(&asked)?;
        let problem = normal(asked.clone());
        let mut notes = Vec::new();
        let choice = choose(gpu, &problem, &mut notes)?;
        let schedule = Schedule::plan(gpu, problem, choice)?;
        let origin = if schedule.kernel == choice.kernel {
            choice.origin
        } else {
            notes.push(smaller_tile(&choice));
            None
        };
        notes.extend(origin.and_then(|origin| gpu.note_of_origin(origin)));
        notes.extend(schedule.notes());
        let passes = Passes::plan(gpu, &schedule).await?;
        let explanation = Explanation {
            operation: schedule.problem.operation,
            kernel: passes.kernel_names(),
            tile: schedule.kernel.describe(schedule.walk),
            tile_origin: origin,
            tier: schedule.kernel.tier(),
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: passes.scratch_bytes(),
            notes,
        };
        Ok(Self {
            gpu: gpu.clone(),
            asked,
            schedule,
            passes,
            explanation,
        })
    }
}

/// What there is to say where the tile of `choice` has been made smaller.
fn smaller_tile(choice: &Choice) -> String {
    let whose = choice
        .origin
        .map_or(String::new(), |origin| format!(", {origin},"));
    format!(
        "the tile {}{whose} takes more tokens at once than can be bound: a smaller one is in its place",
        choice.kernel.describe(choice.walk)
    )
}
