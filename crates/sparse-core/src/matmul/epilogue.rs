//! What happens to each output after its sum over k.

use crate::shape::{ShapeError, room_for_elements};
use crate::{Activation, DType, Element, MatrixView};

/// What is done to each output `[t, o]` after its sum: `activation(alpha * sum + beta * c[t, o] + bias[o])`.
///
/// ```
/// use sparse_core::{Activation, Epilogue};
/// let epilogue = Epilogue::NONE.with_bias(&[0.5_f32, -1.0]).with_activation(Activation::Silu);
/// assert_eq!(epilogue.bias, Some(vec![0.5, -1.0]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Epilogue {
    /// Times the sum. With `alpha = 0`, as in BLAS, nothing of the product comes through, infinities and NaN neither.
    pub alpha: f64,
    /// `beta * c`, if something is added.
    pub addend: Option<Addend>,
    /// One number per output feature, already widened from its storage type.
    pub bias: Option<Vec<f64>>,
    /// The storage type of the bias: what is subnormal in it may be read as zero.
    pub bias_dtype: DType,
    /// Applied last.
    pub activation: Activation,
}

/// `beta * c`: what a product is added to, made by [`Epilogue::with_addend`]. With `beta = 0`, as in BLAS, nothing of `c` comes through.
#[derive(Clone, Debug, PartialEq)]
pub struct Addend {
    /// The factor.
    pub(crate) beta: f64,
    /// Rows and columns of c, which make its length: `[tokens, n_out]`.
    pub(crate) shape: (usize, usize),
    /// Row-major, already widened from its storage type.
    pub(crate) c: Vec<f64>,
    /// The storage type of c: what is subnormal in it may be read as zero.
    pub(crate) dtype: DType,
}

impl Epilogue {
    /// The sum as it is.
    pub const NONE: Self = Self {
        alpha: 1.0,
        addend: None,
        bias: None,
        bias_dtype: DType::F32,
        activation: Activation::None,
    };

    /// Whether all numbers that enter a result are finite; of an addend with `beta = 0` none does.
    pub fn is_finite(&self) -> bool {
        let are_finite = |numbers: &[f64]| numbers.iter().all(|x| x.is_finite());
        let added = self.addend.as_ref().filter(|added| added.beta != 0.0);
        self.alpha.is_finite()
            && self.bias.as_deref().is_none_or(are_finite)
            && added.is_none_or(|added| added.beta.is_finite() && are_finite(&added.c))
    }

    /// This epilogue with the sum multiplied by `alpha`.
    #[must_use]
    pub fn with_alpha(self, alpha: f32) -> Self {
        Self {
            alpha: f64::from(alpha),
            ..self
        }
    }

    /// This epilogue with `beta` times the stored `c [tokens, n_out]` added.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice:
    /// a view that repeats a row or a column may have any number of elements.
    pub fn with_addend<'a, T: Element>(
        self,
        beta: f32,
        c: impl Into<MatrixView<'a, T>>,
    ) -> Result<Self, ShapeError> {
        let c = c.into();
        let mut widened = room_for_elements(&[c.rows(), c.cols()])?;
        for t in c.filled_rows() {
            widened.extend((0..c.cols()).map(|o| c.get(t, o).to_f64()));
        }
        Ok(Self {
            addend: Some(Addend {
                beta: f64::from(beta),
                shape: (c.rows(), c.cols()),
                c: widened,
                dtype: T::DTYPE,
            }),
            ..self
        })
    }

    /// This epilogue with the stored `bias`, one number per output feature.
    #[must_use]
    pub fn with_bias<T: Element>(self, bias: &[T]) -> Self {
        Self {
            bias: Some(bias.iter().map(|b| b.to_f64()).collect()),
            bias_dtype: T::DTYPE,
            ..self
        }
    }

    /// This epilogue with `activation`.
    #[must_use]
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
}

impl Default for Epilogue {
    fn default() -> Self {
        Self::NONE
    }
}
