//! Planning a product.

use super::check::{check_problem, normal};
use super::passes::Passes;
use super::schedule::Schedule;
use super::{Engine, MatmulProblem};
use crate::matmul::choose::choose;
use crate::problem::Explanation;
use crate::{Error, Gpu};

impl Engine {
    pub(crate) async fn plan(gpu: &Gpu, asked: MatmulProblem) -> Result<Self, Error> {
        check_problem(&asked)?;
        let problem = normal(asked.clone());
        let mut notes = Vec::new();
        let choice = choose(gpu, &problem, &mut notes)?;
        let schedule = Schedule::plan(gpu, problem, choice)?;
        notes.extend(schedule.notes());
        let passes = Passes::plan(gpu, &schedule).await?;
        let explanation = Explanation {
            operation: schedule.problem.operation,
            kernel: passes.kernel_names(),
            tile: schedule.kernel.describe(schedule.walk),
            tile_origin: choice.origin,
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
