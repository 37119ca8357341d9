//! What the steps of XAttention cost, as far as the choice between sparse and dense attention depends on it.

use crate::{AdapterClass, Error, Gpu};

/// When XAttention attends over the selected blocks only, and when over all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// Score, select, and attend over the selected blocks, however many they are.
    #[default]
    Sparse,
    /// As the cost model says: dense attention without any scoring where that is sure, or likely, to be faster; else score and select, and
    /// let the device run the kernel that is faster for the blocks that came out.
    Auto(CostModel),
}

impl Policy {
    /// [`Policy::Auto`] with the numbers of this device's class.
    pub fn auto(gpu: &Gpu) -> Self {
        Self::Auto(CostModel::of_class(gpu.class()))
    }

    /// The costs to predict with, checked; where nothing is decided by them those of the device's class.
    pub(crate) fn model(self, gpu: &Gpu, operation: &'static str) -> Result<CostModel, Error> {
        let model = match self {
            Self::Sparse => CostModel::of_class(gpu.class()),
            Self::Auto(model) => model,
        };
        model.check(operation)?;
        Ok(model)
    }
}

/// Costs relative to dense attention: the unit is the time that the dense kernel takes for one multiply-add.
///
/// Dense attention over `n` pairs of a query and a key costs `2 head_dim n`. Over a share `d` of the blocks the sparse kernel costs
/// `d / efficiency` of that. Before it come the scores, `estimate_factor / (2 stride)` of dense attention (more where panels of queries reach
/// over the diagonal of short sequences), the packing of q, the selection, and [`CostModel::DISPATCHES`] dispatches.
///
/// Plain data: change what you know better. Efficiency and factor come out of any benchmark that times the steps on your device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostModel {
    /// Rate of the sparse kernel, as a share of the dense one's: the density from which on dense attention is as fast.
    pub efficiency: f64,
    /// Time of a multiply-add of the scores.
    pub estimate_factor: f64,
    /// Time of packing one element of q.
    pub pack_per_element: f64,
    /// Time of selecting from one block.
    pub select_per_block: f64,
    /// Fixed time of a dispatch.
    pub dispatch: f64,
    /// The largest share of dense attention's time that scoring and selection may cost where nothing is known of the density: so much is lost
    /// where all blocks turn out to be needed. Above it, [`CostModel::expected_density`] decides.
    pub most_regret: f64,
    /// The density to expect, from earlier runs of the same layer. `None`: that of [`CostModel::usual_density`].
    pub expected_density: Option<f64>,
}

impl CostModel {
    /// Dispatches beyond those of dense attention: packing of q and k, scores, reduction, selection, count, decision, the kernel that finds
    /// its grid empty, and two of the driver's own that check grids in buffers. One more adds up the scores of heads that share a mask.
    pub const DISPATCHES: u32 = 10;

    /// The numbers of a class of adapters.
    ///
    /// Software: measured on lavapipe (`docs/tuning/attention.md`), each number on the careful side. The others are estimates, not measured:
    /// 0.9 for a list of blocks instead of all, scores at two thirds of the dense kernel's rate, and at 5e12 multiply-adds a second 4
    /// microseconds a dispatch and 500 GB/s of memory.
    pub const fn of_class(class: AdapterClass) -> Self {
        match class {
            AdapterClass::Software | AdapterClass::SoftwareAvx512 => Self {
                efficiency: 0.93,
                estimate_factor: 1.0,
                pack_per_element: 30.0,
                select_per_block: 2e3,
                dispatch: 2e6,
                most_regret: 0.04,
                expected_density: None,
            },
            _ => Self {
                efficiency: 0.9,
                estimate_factor: 1.5,
                pack_per_element: 80.0,
                select_per_block: 1e3,
                dispatch: 2e7,
                most_regret: 0.04,
                expected_density: None,
            },
        }
    }

    /// The density to expect over so many keys where nothing else is known: `(1024 / keys)^0.3`, at most 1. It goes through what a small
    /// language model (Gemma 3 270M, global layers, threshold 0.9, blocks of 128) showed at 4096, 8192 and 16 384 tokens: 0.66, 0.55, 0.44.
    /// Larger models are reported to be sparser.
    pub fn usual_density(keys: usize) -> f64 {
        (1024.0 / keys.max(1024) as f64).powf(0.3)
    }

    /// Refuses numbers that are no costs.
    fn check(&self, operation: &'static str) -> Result<(), Error> {
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let expected = self.expected_density.unwrap_or(1.0);
        let rules = [
            (
                "efficiency",
                self.efficiency,
                self.efficiency.is_finite() && self.efficiency > 0.0,
                "a positive number, about 0.9",
            ),
            (
                "estimate_factor",
                self.estimate_factor,
                not_negative(self.estimate_factor),
                "0 or more, about 1.3",
            ),
            (
                "pack_per_element",
                self.pack_per_element,
                not_negative(self.pack_per_element),
                "0 or more multiply-adds",
            ),
            (
                "select_per_block",
                self.select_per_block,
                not_negative(self.select_per_block),
                "0 or more multiply-adds",
            ),
            (
                "dispatch",
                self.dispatch,
                not_negative(self.dispatch),
                "0 or more multiply-adds",
            ),
            (
                "most_regret",
                self.most_regret,
                not_negative(self.most_regret),
                "a share of dense attention's time, such as 0.04",
            ),
            (
                "expected_density",
                expected,
                share(expected),
                "a share from 0 to 1",
            ),
        ];
        match rules.iter().find(|(_, _, holds, _)| !holds) {
            Some((name, value, _, possible)) => {
                let reason = format!("the cost model's {name} is {value}; give {possible}");
                Err(Error::invalid(operation, reason))
            }
            None => Ok(()),
        }
    }
}

/// Costs of one problem, in the unit of [`CostModel`], of its sparse heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Costs {
    pub(crate) model: CostModel,
    /// Dense attention.
    pub(crate) dense: f64,
    /// Scores, selection and dispatches, as a share of dense attention.
    pub(crate) estimate: f64,
}

impl Costs {
    /// Time of scoring, selecting and attending over a share `density` of the blocks by the sparse kernel, as a share of dense attention's.
    pub(crate) fn sparse(&self, density: f64) -> f64 {
        density / self.model.efficiency + self.estimate
    }

    /// Time of dense attention over that of scoring, selecting and attending over a share `density` of the blocks.
    pub(crate) fn speed_up(&self, density: f64) -> f64 {
        self.sparse(density).recip()
    }
}
