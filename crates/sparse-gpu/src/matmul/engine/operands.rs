//! Whether operands are what the plan was made for.

use sparse_core::DType;

use super::{Engine, MatmulProblem, Operands};
use crate::matmul::epilogue::Addend;
use crate::matmul::problem::Batch;
use crate::matmul::weights::Weights;
use crate::operand::refuse_aliases;
use crate::{Error, GpuTensor};

impl MatmulProblem {
    /// The shape of x or y as it lies in memory.
    fn shape_of(&self, rows: usize, cols: usize, transposed: bool) -> Vec<usize> {
        if transposed {
            self.batch.shape(cols, rows)
        } else {
            self.batch.shape(rows, cols)
        }
    }

    fn y_shape(&self) -> Vec<usize> {
        self.shape_of(self.tokens, self.n_out, self.transposed.y)
    }
}

impl Engine {
    /// A tensor for y.
    pub(crate) fn new_y(&self) -> Result<GpuTensor, Error> {
        let y = self.asked.types.y;
        self.gpu.empty_tensor(&self.asked.y_shape(), y)
    }

    pub(super) fn check_operands(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            tokens,
            n_out,
            k_in,
            types,
            epilogue,
            transposed,
            ..
        } = self.asked;
        let x_shape = self.asked.shape_of(tokens, k_in, transposed.x);
        let y_shape = self.asked.y_shape();
        operands
            .x
            .expect(&self.gpu, operation, "x", &x_shape, types.x)?;
        self.check_weights(operands.weights)?;
        operands
            .y
            .expect(&self.gpu, operation, "y", &y_shape, types.y)?;
        let residual = match epilogue.addend {
            Addend::Residual { dtype, .. } => Some(dtype),
            _ => None,
        };
        let extras = operands.extras;
        self.check_extra(["bias", "a bias"], epilogue.bias, extras.bias, &[n_out])?;
        self.check_extra(
            ["residual", "a residual"],
            residual,
            extras.residual,
            &y_shape,
        )?;
        let (w, _) = operands.weights.values();
        let mut read = vec![("x", operands.x.buffer()), ("w", w)];
        read.extend(extras.bias.map(|bias| ("bias", bias.buffer())));
        read.extend(
            extras
                .residual
                .map(|residual| ("residual", residual.buffer())),
        );
        refuse_aliases(operation, ("y", operands.y.buffer()), &read)
    }

    fn check_extra(
        &self,
        [name, tensor]: [&'static str; 2],
        planned: Option<DType>,
        given: Option<&GpuTensor>,
        shape: &[usize],
    ) -> Result<(), Error> {
        let operation = self.asked.operation;
        let (planned, given) = match (planned, given) {
            (Some(dtype), Some(tensor)) => {
                return tensor.expect(&self.gpu, operation, name, shape, dtype);
            }
            (None, None) => return Ok(()),
            (Some(_), None) => ("with", "without"),
            (None, Some(_)) => ("without", "with"),
        };
        Err(Error::OperandMismatch {
            operation,
            tensor,
            planned,
            given,
        })
    }

    fn check_weights(&self, weights: Weights<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            n_out,
            k_in,
            types,
            format,
            batch,
            transposed,
            ..
        } = self.asked;
        weights.expect_device(&self.gpu, operation)?;
        let (actual, shape, dtype) = weights.describe();
        if actual != format {
            let (expected, actual) = (format.to_string(), actual.to_string());
            return Err(Error::PatternMismatch {
                operation,
                tensor: "w",
                expected,
                actual,
            });
        }
        let (rows, cols) = if transposed.w {
            (k_in, n_out)
        } else {
            (n_out, k_in)
        };
        let expected = match batch {
            Batch::PerItem(items) => vec![items, rows, cols],
            _ => vec![rows, cols],
        };
        if shape != expected {
            return Err(Error::ShapeMismatch {
                operation,
                tensor: "w",
                expected,
                actual: shape,
            });
        }
        if dtype != types.w {
            return Err(Error::DTypeMismatch {
                operation,
                tensor: "w",
                expected: types.w,
                actual: dtype,
            });
        }
        Ok(())
    }
}
