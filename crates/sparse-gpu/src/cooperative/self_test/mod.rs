//! The self-test: the very kernels that plans use, on numbers whose products and sums are exact, so that results can be demanded to be equal.

mod cases;
mod operands;

use half::f16;
use sparse_core::{DType, Tensor};
use sparse_shaders::MatrixSize;

use self::cases::{CASES, Case};
use self::operands::{Operand, numbers, operand, plan, reference};
use super::{CooperativeReport, label};
use crate::matmul::Weights;
use crate::{Error, Gpu, GpuTensor};

/// How often each product runs. What one run leaves behind must not help the next.
const RUNS: usize = 2;

/// Runs all cases with matrices of `size`, which the adapter has to list.
///
/// # Errors
/// [`Error::Unavailable`] at the first result that is not as it should be, and what planning and reading back may say.
pub(super) async fn run(gpu: &Gpu, size: MatrixSize) -> Result<CooperativeReport, Error> {
    let trial = gpu.trial(size);
    let (mut kernels, mut elements) = (Vec::new(), 0);
    for case in &CASES {
        let (kernel, compared) = examine(&trial, case, size.side()).await?;
        elements += compared;
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    let side = u32::try_from(size.side()).unwrap_or(u32::MAX);
    let shape = label(&wgpu::CooperativeMatrixProperties {
        m_size: side,
        n_size: side,
        k_size: side,
        ab_type: wgpu::CooperativeScalarType::F16,
        cr_type: wgpu::CooperativeScalarType::F32,
        saturating_accumulation: false,
    });
    Ok(CooperativeReport {
        shape,
        kernels,
        elements,
        size,
    })
}

/// One case: the kernel's name, and how many elements were compared.
async fn examine(gpu: &Gpu, case: &Case, side: usize) -> Result<(String, usize), Error> {
    let sizes @ [tokens, n_out, k_in] =
        [case.tokens, case.n_out, case.k_in].map(|(matrices, rest)| matrices * side + rest);
    let x = numbers(tokens, k_in, case.numbers, true)?;
    let w = numbers(n_out, k_in, case.numbers, false)?;
    let w = operand(gpu, case, w, side)?;
    let plan = plan(gpu, case, sizes, side).await?;
    let expected = reference(&x, &w)?;
    let device_x = if case.transposed.x {
        gpu.upload(&x.transposed())?
    } else {
        gpu.upload(&x)?
    };
    let shape = if case.transposed.y {
        [n_out, tokens]
    } else {
        [tokens, n_out]
    };
    for _ in 0..RUNS {
        let mut y = poisoned(gpu, &shape, case.y)?;
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let weights = match &w {
            Operand::Dense(_, w) => Weights::Dense(w),
            Operand::Nm(_, w) => Weights::Nm(w),
            Operand::Bsr(_, w) => Weights::Bsr(w),
        };
        plan.record(&mut pass, weights, &device_x, &mut y)?;
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        let actual: Vec<f64> = match case.y {
            DType::F16 => values(gpu.read::<f16>(&y).await?.data()),
            _ => values(gpu.read::<f32>(&y).await?.data()),
        };
        compare(case, &plan.explain().kernel, &shape, &actual, &expected)?;
    }
    Ok((plan.explain().kernel.clone(), RUNS * expected.len()))
}

fn compare(
    case: &Case,
    kernel: &str,
    shape: &[usize; 2],
    actual: &[f64],
    expected: &[f64],
) -> Result<(), Error> {
    let [rows, cols] = *shape;
    // Where the reference, which has tokens as rows, has element i.
    let at = |i: usize| {
        if case.transposed.y {
            (i % cols) * rows + i / cols
        } else {
            i
        }
    };
    // A NaN is not equal either.
    let wrong: Vec<usize> = (0..rows * cols)
        .filter(|&i| actual.get(i) != expected.get(at(i)))
        .collect();
    let Some(&first) = wrong.first() else {
        return Ok(());
    };
    Err(Error::Unavailable {
        what: "enabling cooperative matrices".to_owned(),
        needs: format!(
            "a driver that computes with them exactly what is exact ({:?} numbers, kernel {kernel})",
            case.numbers
        ),
        has: format!(
            "{} of {} elements wrong, the first at row {}, column {}: {:?} instead of {:?}",
            wrong.len(),
            rows * cols,
            first / cols,
            first % cols,
            actual.get(first),
            expected.get(at(first)),
        ),
        hint: "use portable kernels, and report the driver's version".to_owned(),
    })
}

/// What a kernel leaves out stays visible.
fn poisoned(gpu: &Gpu, shape: &[usize; 2], dtype: DType) -> Result<GpuTensor, Error> {
    let len = shape[0] * shape[1];
    match dtype {
        DType::F16 => {
            let nan = Tensor::try_new(shape.to_vec(), vec![f16::NAN; len]).map_err(too_large)?;
            gpu.upload(&nan)
        }
        _ => {
            let nan = Tensor::try_new(shape.to_vec(), vec![f32::NAN; len]).map_err(too_large)?;
            gpu.upload(&nan)
        }
    }
}

fn values<T: sparse_core::Element>(data: &[T]) -> Vec<f64> {
    data.iter().map(|value| value.to_f64()).collect()
}

/// The sizes of the cases are legal; should a rule of a format change, this says which.
fn too_large(error: impl std::fmt::Display) -> Error {
    Error::invalid("self-test of cooperative matrices", error.to_string())
}
