//! One kernel's row.

use serde::{Deserialize, Serialize};

use crate::assembly::{Loop, Mix};
use crate::driver::Numbers;

/// What is known of one kernel and one of its hot loops. The numbers of the whole kernel repeat in the rows of its loops.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The kernel's name: variant and tile.
    pub kernel: String,
    /// Invocations of a subgroup.
    pub subgroup: u32,
    /// Vector registers of an invocation; Intel: the most that are live.
    pub registers: u32,
    /// Registers moved out for want of room.
    pub spills: u32,
    /// Subgroups at a time, for each SIMD (AMD), multiprocessor (NVIDIA) or core (Adreno).
    pub waves: Option<u32>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Bytes of machine code.
    pub code_bytes: u32,
    /// Instructions of the whole kernel.
    pub instructions: u32,
    /// The driver's estimate of the time; see `driver::Numbers`.
    pub cycles: Option<u64>,
    /// Cycles against the dense twin's, which does as many multiply-adds a step; without cycles the issues of the hot loop.
    pub against_dense: Option<f64>,
    /// Which hot loop of how many.
    pub hot_loop: String,
    /// Multiply-adds in it.
    pub fma: u32,
    /// Other vector arithmetic.
    pub vector: u32,
    /// Scalar arithmetic.
    pub scalar: u32,
    /// Vector memory.
    pub memory: u32,
    /// Scalar memory.
    pub scalar_memory: u32,
    /// Workgroup memory.
    pub workgroup: u32,
    /// Jumps, barriers, waits.
    pub control: u32,
    /// Multiply-adds in a hundred instructions of the loop.
    pub fma_percent: f64,
    /// Multiply-adds in a hundred vector instructions of the loop.
    pub fma_percent_of_vector: f64,
    /// What takes most of the rest.
    pub held_back_by: String,
    /// Vector arithmetic for each k, multiply-adds included, that a turn executes on its shortest way. These four: of kernels that go by
    /// patterns of single rows, and of their dense twins.
    pub path_least: Option<f64>,
    /// The same on average over the patterns.
    pub path_mean: Option<f64>,
    /// The same on the longest way.
    pub path_most: Option<f64>,
    /// All instructions for each k, on average.
    pub path_all: Option<f64>,
    /// Who decides on the ways, where there are several: see `assembly::Decided`.
    pub branches: String,
    /// [`Row::path_mean`] against the dense twin's.
    pub path_against_dense: Option<f64>,
    /// [`Row::path_all`] against the dense twin's.
    pub path_all_against_dense: Option<f64>,
}

impl Row {
    /// Puts a row together.
    pub fn new(
        kernel: &str,
        workgroup_bytes: u32,
        numbers: &Numbers,
        hot_loop: String,
        mix: &Mix,
    ) -> Self {
        Self {
            kernel: kernel.to_owned(),
            subgroup: numbers.subgroup,
            registers: whole(numbers.registers),
            spills: whole(numbers.spills),
            waves: numbers.waves.map(whole),
            workgroup_bytes,
            code_bytes: whole(numbers.code_bytes),
            instructions: whole(numbers.instructions),
            cycles: numbers.cycles.map(|cycles| u64::from(whole(cycles))),
            against_dense: None,
            hot_loop,
            fma: mix.fma,
            vector: mix.vector,
            scalar: mix.scalar,
            memory: mix.memory,
            scalar_memory: mix.scalar_memory,
            workgroup: mix.workgroup,
            control: mix.control,
            fma_percent: tenth(mix.fma_share()),
            fma_percent_of_vector: tenth(mix.fma_share_of_vector()),
            held_back_by: mix.held_back_by(),
            path_least: None,
            path_mean: None,
            path_most: None,
            path_all: None,
            branches: String::new(),
            path_against_dense: None,
            path_all_against_dense: None,
        }
    }

    /// Sets what a turn executes for each of the `k` that it covers.
    pub fn set_path(&mut self, one: &Loop, k: u32) {
        let Some(ways) = &one.ways else { return };
        let of = |count: f64| Some(hundredth(count / f64::from(k)));
        self.path_least = of(ways.vector.least);
        self.path_mean = of(ways.vector.mean);
        self.path_most = of(ways.vector.most);
        self.path_all = of(ways.all.mean);
        self.branches = ways.decided.map_or(String::new(), |d| d.name().to_owned());
    }

    /// What stands for the time of the kernel.
    pub fn time(&self) -> f64 {
        match self.cycles {
            #[expect(clippy::cast_precision_loss, reason = "estimates of a few digits")]
            Some(cycles) => cycles as f64,
            None => f64::from(
                self.fma
                    + self.vector
                    + self.scalar
                    + self.memory
                    + self.scalar_memory
                    + self.workgroup
                    + self.control,
            ),
        }
    }

    /// Sets [`Row::against_dense`].
    pub fn set_twin(&mut self, twin: &Self) {
        self.against_dense = Some(hundredth(self.time() / twin.time()));
    }

    /// Sets how the path compares with the dense twin's.
    pub fn set_path_twin(&mut self, twin: &Self) {
        let ratio = |own: Option<f64>, twin: Option<f64>| Some(hundredth(own? / twin?));
        self.path_against_dense = ratio(self.path_mean, twin.path_mean);
        self.path_all_against_dense = ratio(self.path_all, twin.path_all);
    }
}

fn hundredth(value: f64) -> f64 {
    (100.0 * value).round() / 100.0
}

fn tenth(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

/// Statistics are counts: whole and not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
fn whole(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}
