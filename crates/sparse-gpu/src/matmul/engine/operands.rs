//! Whether operands are what the plan was made for.

use super::{Engine, MatmulProblem, Operands};
use crate::Error;
use crate::matmul::weights::Weights;

impl Engine {
    pub(super) fn check_operands(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            tokens,
            n_out,
            k_in,
            types,
            epilogue,
            ..
        } = self.problem;
        operands
            .x
            .expect(operation, "x", &[tokens, k_in], types.x)?;
        self.check_weights(operands.weights)?;
        operands
            .y
            .expect(operation, "y", &[tokens, n_out], types.y)?;
        match (epilogue.bias, operands.extras.bias) {
            (Some(dtype), Some(bias)) => bias.expect(operation, "bias", &[n_out], dtype)?,
            (None, None) => {}
            (planned, _) => {
                let (planned, given) = if planned.is_some() {
                    ("with", "without")
                } else {
                    ("without", "with")
                };
                return Err(Error::OperandMismatch {
                    operation,
                    tensor: "a bias",
                    planned,
                    given,
                });
            }
        }
        let (w, _) = operands.weights.values();
        let mut read = vec![("x", operands.x.buffer()), ("w", w)];
        read.extend(operands.extras.bias.map(|bias| ("bias", bias.buffer())));
        for (input, buffer) in read {
            if buffer == operands.y.buffer() {
                return Err(Error::Aliased {
                    operation,
                    output: "y",
                    input,
                });
            }
        }
        Ok(())
    }

    fn check_weights(&self, weights: Weights<'_>) -> Result<(), Error> {
        let MatmulProblem {
            operation,
            n_out,
            k_in,
            types,
            format,
            ..
        } = self.problem;
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
        if shape != [n_out, k_in] {
            let expected = vec![n_out, k_in];
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
