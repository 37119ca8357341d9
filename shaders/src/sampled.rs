//! What the kernels that compute `dy^T x` at some elements only have in common: `shared/sampled_product.wgsl`.

use serde::Serialize;

use crate::output::Output;
use crate::storage::Storage;

/// dy, as it lies: `[tokens, n_out]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SampledDy {
    /// Its storage.
    pub storage: Storage,
    /// Tiles of rows start at multiples of four elements.
    pub vectors: bool,
}

/// x of such a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SampledX {
    /// Its storage, packed or not.
    pub storage: Storage,
    /// How it is read.
    pub reads: SampledReads,
}

/// How x is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SampledReads {
    /// As it lies, `[tokens, k_in]`, an element at a time.
    Elements,
    /// As it lies, four neighbours of a row at once: rows start at multiples of four elements, as do the columns that are read together.
    Quads,
    /// In panels of [`SampledReads::PANEL`] tokens ([`crate::PackKernel`], [`crate::PackHalvesKernel`]), four tokens of a column at once: for processors, where a word costs
    /// the same whatever is in it, and columns of a list are not side by side.
    Packed,
}

impl SampledReads {
    /// Tokens of a panel of packed x.
    pub const PANEL: usize = 4;

    /// Of x that is `packed`, or whose columns are side by side `in_quads`, or neither.
    pub const fn of(packed: bool, in_quads: bool) -> Self {
        match (packed, in_quads) {
            (true, _) => Self::Packed,
            (false, true) => Self::Quads,
            (false, false) => Self::Elements,
        }
    }
}

/// The result of such a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampledResult {
    /// Its storage.
    pub storage: Storage,
    /// alpha is not 1.
    pub scaled: bool,
    /// It is added to what is there, times beta.
    pub accumulate: bool,
}

impl SampledDy {
    /// The part of a kernel's name.
    pub(crate) fn label(self) -> String {
        let unaligned = if self.vectors { "" } else { "-unaligned" };
        format!("dy-{}{unaligned}", self.storage.name())
    }
}

impl SampledX {
    /// The part of a kernel's name; `listed` where columns are read one by one however x lies.
    pub(crate) fn label(self, listed: bool) -> String {
        let reads = match self.reads {
            SampledReads::Elements if listed => "",
            SampledReads::Elements => "-unaligned",
            SampledReads::Quads => "",
            SampledReads::Packed => "-packed",
        };
        format!("x-{}{reads}", self.storage.name())
    }
}

impl SampledResult {
    /// The sums as they are, in f32; where `accumulate`, added to what is there.
    pub const fn sums(accumulate: bool) -> Self {
        Self {
            storage: Storage::F32,
            scaled: false,
            accumulate,
        }
    }

    pub(crate) fn output(self) -> Output {
        Output {
            vectors: self.storage == Storage::F32,
            ..Output::of(self.storage).scaled_and_added(self.scaled, self.accumulate)
        }
    }

    /// The part of a kernel's name.
    pub(crate) fn label(self) -> String {
        let flag = |on: bool, name: &'static str| if on { name } else { "" };
        format!(
            "out-{}{}{}",
            self.storage.name(),
            flag(self.scaled, "_alpha"),
            flag(self.accumulate, "_beta")
        )
    }
}
