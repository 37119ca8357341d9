//! What happens to each output after its sum over k.

use crate::{Activation, Element};

/// What is done to each output `[t, o]` after its sum: `activation(sum + bias[o])`.
///
/// ```
/// use sparse_core::{Activation, Epilogue};
/// let epilogue = Epilogue::NONE.with_bias(&[0.5_f32, -1.0]).with_activation(Activation::Silu);
/// assert_eq!(epilogue.bias, Some(vec![0.5, -1.0]));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epilogue {
    /// One number per output feature, already widened from its storage type.
    pub bias: Option<Vec<f64>>,
    /// Applied last.
    pub activation: Activation,
}

impl Epilogue {
    /// No bias, no activation.
    pub const NONE: Self = Self {
        bias: None,
        activation: Activation::None,
    };

    /// This epilogue with the stored `bias`, one number per output feature.
    #[must_use]
    pub fn with_bias<T: Element>(self, bias: &[T]) -> Self {
        Self {
            bias: Some(bias.iter().map(|b| b.to_f64()).collect()),
            ..self
        }
    }

    /// This epilogue with `activation`.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}
