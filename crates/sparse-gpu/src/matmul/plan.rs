//! The plan of every matmul operation.

use std::marker::PhantomData;

use sparse_core::DType;

use super::Extras;
use super::engine::{Engine, MatmulProblem, Operands};
use super::weights::{Format, Weights};
use crate::problem::Explanation;
use crate::sparse::{GpuBsr, GpuNm};
use crate::{Error, GpuTensor};

/// A planned product with weights of type `W`: [`GpuTensor`], [`GpuNm`] or [`GpuBsr`].
#[derive(Debug)]
pub struct MatmulPlan<W> {
    engine: Engine,
    weights: PhantomData<fn(&W)>,
}

/// Weights that a [`MatmulPlan`] takes.
pub trait MatmulWeights: sealed::Sealed {}

impl<W: sealed::Sealed> MatmulWeights for W {}

pub(crate) mod sealed {
    use super::{Error, MatmulProblem, Weights};

    pub trait Sealed {
        #[expect(
            unnameable_types,
            reason = "sealed: the engine's view of the weights is private"
        )]
        fn weights(&self, problem: &MatmulProblem) -> Result<Weights<'_>, Error>;
    }
}

impl sealed::Sealed for GpuTensor {
    fn weights(&self, problem: &MatmulProblem) -> Result<Weights<'_>, Error> {
        self.expect(
            problem.operation,
            "w",
            &[problem.n_out, problem.k_in],
            problem.types.w,
        )?;
        Ok(Weights::Dense(self))
    }
}

impl sealed::Sealed for GpuNm {
    fn weights(&self, problem: &MatmulProblem) -> Result<Weights<'_>, Error> {
        expect(problem, self.shape(), self.dtype())?;
        if problem.format
            != (Format::Nm {
                pattern: self.pattern(),
                index_bits: self.index_bits,
            })
        {
            return Err(pattern_mismatch(problem, self.pattern().to_string()));
        }
        Ok(Weights::Nm(self))
    }
}

impl sealed::Sealed for GpuBsr {
    fn weights(&self, problem: &MatmulProblem) -> Result<Weights<'_>, Error> {
        expect(problem, self.shape(), self.dtype())?;
        if problem.format
            != (Format::Bsr {
                block: self.block(),
            })
        {
            let (br, bc) = self.block();
            return Err(pattern_mismatch(problem, format!("blocks of {br} x {bc}")));
        }
        Ok(Weights::Bsr(self))
    }
}

fn expect(problem: &MatmulProblem, shape: [usize; 2], dtype: DType) -> Result<(), Error> {
    let MatmulProblem {
        operation,
        n_out,
        k_in,
        types,
        ..
    } = *problem;
    if shape != [n_out, k_in] {
        let (expected, actual) = (vec![n_out, k_in], shape.to_vec());
        return Err(Error::ShapeMismatch {
            operation,
            tensor: "w",
            expected,
            actual,
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

fn pattern_mismatch(problem: &MatmulProblem, actual: String) -> Error {
    let expected = match problem.format {
        Format::Dense => "dense".to_owned(),
        Format::Nm { pattern, .. } => pattern.to_string(),
        Format::Bsr { block: (br, bc) } => format!("blocks of {br} x {bc}"),
    };
    Error::PatternMismatch {
        operation: problem.operation,
        tensor: "w",
        expected,
        actual,
    }
}

impl<W: MatmulWeights> MatmulPlan<W> {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            weights: PhantomData,
        }
    }

    /// Records `y = act(x w^T)` into the caller's pass; it runs when the caller submits. Many operations may share a pass, and a plan may
    /// be recorded any number of times.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::PatternMismatch`], [`Error::OperandMismatch`],
    /// [`Error::Aliased`]: nothing has been recorded then. [`Error::Unavailable`] where a single strip of w exceeds the binding limit.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        w: &W,
        x: &GpuTensor,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        self.record_with(pass, w, x, Extras::default(), y)
    }

    /// As [`MatmulPlan::record`], with a bias.
    ///
    /// # Errors
    /// Those of [`MatmulPlan::record`].
    pub fn record_with(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        w: &W,
        x: &GpuTensor,
        extras: Extras<'_>,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        let weights = w.weights(self.engine.problem())?;
        self.engine.record(
            pass,
            &Operands {
                weights,
                x,
                extras,
                y,
            },
        )
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.engine.explain()
    }
}
