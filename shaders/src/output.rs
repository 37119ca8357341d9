//! From a sum to an element of y: what `shared/epilogue.wgsl` does.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::storage::Storage;

/// `y = act(alpha * sum + beta * c + bias[o])`, and how y lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// Storage of y.
    pub storage: Storage,
    /// Four neighbours are stored at once: f32, and each row of y starts at a multiple of four elements.
    pub vectors: bool,
    /// y is `[n_out, tokens]` rather than `[tokens, n_out]`.
    pub transposed: bool,
    /// alpha is not 1.
    pub scaled: bool,
    /// c.
    pub addend: Addend,
    /// Storage of the bias, if there is one.
    pub bias: Option<Storage>,
    /// Applied last.
    pub activation: Activation,
}

/// What is added to a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Addend {
    /// Nothing.
    #[default]
    None,
    /// What y held before.
    Previous,
    /// Another array, laid out as y is.
    Residual(Storage),
}

/// What is applied to `sum + bias` before it is stored: which WGSL is written for it. What is right is said by the enum of the same
/// names in `sparse-core`, which knows nothing of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// 0 where `v < 0`, else `v`.
    Relu,
    /// `v * (1 + erf(v / sqrt 2)) / 2`.
    Gelu,
    /// `v / (1 + exp(-v))`.
    Silu,
}

impl Activation {
    /// All activations.
    pub const ALL: [Self; 4] = [Self::None, Self::Relu, Self::Gelu, Self::Silu];

    /// `none`, `relu`, `gelu` or `silu`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }
}

impl Output {
    /// The sums as they are.
    pub const F32: Self = Self::of(Storage::F32);

    /// The sums, rounded to `storage`.
    pub const fn of(storage: Storage) -> Self {
        Self {
            storage,
            vectors: false,
            transposed: false,
            scaled: false,
            addend: Addend::None,
            bias: None,
            activation: Activation::None,
        }
    }

    /// The same times alpha where that is not 1, and with what y held before where that is added.
    #[must_use]
    pub const fn scaled_and_added(self, scaled: bool, accumulate: bool) -> Self {
        let addend = if accumulate {
            Addend::Previous
        } else {
            Addend::None
        };
        Self {
            scaled,
            addend,
            ..self
        }
    }

    /// The part of a kernel's name.
    pub(crate) fn label(&self) -> String {
        let mut label = format!("y-{}", self.storage.name());
        if self.vectors {
            label.push_str("-vec4");
        }
        if self.transposed {
            label.push_str("-transposed");
        }
        if self.scaled {
            label.push_str("_alpha");
        }
        match self.addend {
            Addend::None => {}
            Addend::Previous => label.push_str("_beta"),
            Addend::Residual(storage) => {
                label.push_str("_residual-");
                label.push_str(storage.name());
            }
        }
        if let Some(bias) = self.bias {
            label.push_str("_bias-");
            label.push_str(bias.name());
        }
        label.push('_');
        label.push_str(self.activation.name());
        label
    }

    /// Whether a tile of `rows` rows in strips of `strip_rows` can store this.
    pub(crate) fn check(
        &self,
        kernel: &dyn Fn() -> String,
        rows: usize,
        strip_rows: usize,
    ) -> Result<(), ConfigError> {
        // Neighbours of a transposed y are tokens, which always come in fours.
        let in_groups_of =
            |n: usize| self.transposed || (rows.is_multiple_of(n) && strip_rows.is_multiple_of(n));
        require(
            self.storage == Storage::F32 || in_groups_of(2),
            kernel,
            "tile.rows",
            rows,
            "even rows of tile and strip, for half-width results",
        )?;
        require(
            !self.vectors || (self.storage == Storage::F32 && in_groups_of(4)),
            kernel,
            "tile.rows",
            rows,
            "rows of tile and strip in fours and f32, for vec4 results",
        )
    }
}

impl Serialize for Output {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            storage: Storage,
            vectors: bool,
            transposed: bool,
            scaled: bool,
            addend: &'static str,
            residual: Option<Storage>,
            bias: Option<Storage>,
            activation: Activation,
        }
        let (addend, residual) = match self.addend {
            Addend::None => ("none", None),
            Addend::Previous => ("previous", None),
            Addend::Residual(storage) => ("residual", Some(storage)),
        };
        Variables {
            storage: self.storage,
            vectors: self.vectors,
            transposed: self.transposed,
            scaled: self.scaled,
            addend,
            residual,
            bias: self.bias,
            activation: self.activation,
        }
        .serialize(serializer)
    }
}
