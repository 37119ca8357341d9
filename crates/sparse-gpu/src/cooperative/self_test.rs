//! The self-test: the very kernels that plans use, on numbers whose products and sums are exact, so that results can be demanded to be equal.

use half::f16;
use sparse_core::bsr::bsr_matmul;
use sparse_core::matmul::dense_matmul;
use sparse_core::nm::nm_matmul;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, DType, Epilogue, Matrix, Nm, NmMatrix, Tensor};
use sparse_shaders::MatrixSize;

use super::{CooperativeReport, label};
use crate::matmul::{MatmulPlan, Weights};
use crate::{
    BsrMatmul, DenseMatmul, Error, Gpu, GpuBsr, GpuNm, GpuTensor, MatmulTypes, NmMatmul, Tier,
    Transposed,
};

/// How often each product runs. What one run leaves behind must not help the next.
const RUNS: usize = 2;

/// How weights are stored.
#[derive(Clone, Copy, Debug)]
enum Format {
    Dense,
    /// Weights kept, of how many, with as many rows to a pattern as a matrix has, times this.
    Nm(usize, usize, usize),
    /// Sides of blocks, in matrices.
    Bsr(usize, usize),
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// -3 to 3.
    Small,
    /// Some of 2048, so that sums need all of the 24 bits that f32 has.
    Wide,
    /// x is a multiple of `2^-24`, the smallest f16: subnormal.
    Subnormal,
}

/// A product. Sizes are in matrices, and elements beyond.
#[derive(Clone, Copy, Debug)]
struct Case {
    format: Format,
    tokens: (usize, usize),
    n_out: (usize, usize),
    k_in: (usize, usize),
    y: DType,
    transposed: Transposed,
    split_k: Option<usize>,
    numbers: Numbers,
}

const PLAIN: Case = Case {
    format: Format::Dense,
    tokens: (33, 0),
    n_out: (6, 0),
    k_in: (5, 0),
    y: DType::F32,
    transposed: Transposed::NONE,
    split_k: Some(1),
    numbers: Numbers::Small,
};

/// x and y lie as their transposes.
const TURNED: Transposed = Transposed {
    x: true,
    w: false,
    y: true,
};

/// Every kind of kernel, several row tiles and panels each, whole matrices and odd rests.
const CASES: [Case; 12] = [
    PLAIN,
    Case {
        numbers: Numbers::Wide,
        ..PLAIN
    },
    Case {
        numbers: Numbers::Subnormal,
        ..PLAIN
    },
    // Weights that do not fill matrices: rows of four elements, and of one.
    Case {
        n_out: (3, 3),
        k_in: (2, 4),
        y: DType::F16,
        ..PLAIN
    },
    Case {
        tokens: (20, 5),
        n_out: (3, 2),
        k_in: (2, 3),
        y: DType::F16,
        transposed: TURNED,
        ..PLAIN
    },
    Case {
        transposed: TURNED,
        numbers: Numbers::Wide,
        ..PLAIN
    },
    // Few tokens take the smallest tile.
    Case {
        tokens: (0, 3),
        ..PLAIN
    },
    Case {
        k_in: (9, 0),
        split_k: Some(3),
        ..PLAIN
    },
    // Lists of k, with weights that fill matrices and such as do not.
    Case {
        format: Format::Nm(2, 4, 1),
        k_in: (6, 0),
        ..PLAIN
    },
    Case {
        format: Format::Nm(2, 8, 2),
        n_out: (5, 3),
        k_in: (3, 5),
        y: DType::F16,
        ..PLAIN
    },
    Case {
        format: Format::Bsr(1, 2),
        k_in: (8, 0),
        ..PLAIN
    },
    Case {
        format: Format::Bsr(2, 1),
        n_out: (7, 3),
        k_in: (7, 3),
        y: DType::F16,
        transposed: TURNED,
        ..PLAIN
    },
];

/// Weights on both sides.
enum Operand {
    Dense(Matrix<f16>, GpuTensor),
    Nm(NmMatrix<f16>, GpuNm),
    Bsr(BsrMatrix<f16>, Box<GpuBsr>),
}

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
        gpu.upload(&turned(&x)?)?
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
    let wrong: Vec<usize> = (0..rows * cols)
        .filter(|&i| {
            let at = if case.transposed.y {
                (i % cols) * rows + i / cols
            } else {
                i
            };
            // A NaN is not equal either.
            actual.get(i) != expected.get(at)
        })
        .collect();
    let Some(&first) = wrong.first() else {
        return Ok(());
    };
    let at = if case.transposed.y {
        (first % cols) * rows + first / cols
    } else {
        first
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
            expected.get(at),
        ),
        hint: "use portable kernels, and report the driver's version".to_owned(),
    })
}

/// Asymmetric, and such that no product and no sum of the case is rounded.
fn numbers(rows: usize, cols: usize, numbers: Numbers, of_x: bool) -> Result<Matrix<f16>, Error> {
    let seed = if of_x { 11 } else { 12 };
    let mut matrix = integer_matrix::<f16>(rows, cols, 3, seed).map_err(too_large)?;
    let data = matrix.data_mut();
    match numbers {
        Numbers::Small => {}
        // Three products of 2^22 to a sum: below 2^24, with ones beside them.
        Numbers::Wide => {
            for (row, line) in data.chunks_mut(cols).enumerate() {
                for k in [0, cols / 2, cols - 1] {
                    line[k] = f16::from_f32(if of_x || row % 3 > 0 { 2048.0 } else { -2048.0 });
                }
            }
        }
        Numbers::Subnormal if of_x => {
            for value in data.iter_mut() {
                *value = f16::from_f32(value.to_f32() * 2.0_f32.powi(-24));
            }
        }
        Numbers::Subnormal => {}
    }
    Ok(matrix)
}

fn operand(gpu: &Gpu, case: &Case, w: Matrix<f16>, side: usize) -> Result<Operand, Error> {
    Ok(match case.format {
        Format::Dense => {
            let device = gpu.upload(&w)?;
            Operand::Dense(w, device)
        }
        Format::Nm(..) => {
            let w = NmMatrix::prune(&w, pattern(case.format, side)?).map_err(too_large)?;
            let device = gpu.upload_nm(&w)?;
            Operand::Nm(w, device)
        }
        Format::Bsr(br, bc) => {
            let w = BsrMatrix::prune(&w, (br * side, bc * side), BlockBudget::Density(0.5))
                .map_err(too_large)?;
            let device = Box::new(gpu.upload_bsr(&w)?);
            Operand::Bsr(w, device)
        }
    })
}

fn pattern(format: Format, side: usize) -> Result<Nm, Error> {
    let (n, m, v) = match format {
        Format::Nm(n, m, strips) => (n, m, strips * side),
        Format::Dense | Format::Bsr(..) => (1, 2, 1),
    };
    Nm::try_new(n, m, v).map_err(too_large)
}

async fn plan(
    gpu: &Gpu,
    case: &Case,
    [tokens, n_out, k_in]: [usize; 3],
    side: usize,
) -> Result<MatmulPlan, Error> {
    let types = MatmulTypes {
        y: case.y,
        ..MatmulTypes::all(DType::F16)
    };
    let (transposed, split_k, tier) = (case.transposed, case.split_k, Tier::CooperativeMatrix);
    match case.format {
        Format::Dense => {
            let problem = DenseMatmul {
                types,
                transposed,
                split_k,
                tier,
                ..DenseMatmul::new(tokens, n_out, k_in)
            };
            gpu.plan(&problem).await
        }
        Format::Nm(..) => {
            let problem = NmMatmul {
                types,
                transposed,
                split_k,
                tier,
                ..NmMatmul::new(tokens, n_out, k_in, pattern(case.format, side)?)
            };
            gpu.plan(&problem).await
        }
        Format::Bsr(br, bc) => {
            let problem = BsrMatmul {
                types,
                transposed,
                split_k,
                tier,
                ..BsrMatmul::new(tokens, n_out, k_in, (br * side, bc * side))
            };
            gpu.plan(&problem).await
        }
    }
}

/// `y`, tokens by outputs.
fn reference(x: &Matrix<f16>, w: &Operand) -> Result<Vec<f64>, Error> {
    let epilogue = Epilogue::default();
    let product = match w {
        Operand::Dense(w, _) => dense_matmul(x, w, &epilogue),
        Operand::Nm(w, _) => nm_matmul(x, w, &epilogue),
        Operand::Bsr(w, _) => bsr_matmul(x, w, &epilogue),
    };
    Ok(product.map_err(too_large)?.y)
}

fn turned(matrix: &Matrix<f16>) -> Result<Matrix<f16>, Error> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let data = (0..cols)
        .flat_map(|c| (0..rows).map(move |r| (r, c)))
        .map(|(r, c)| matrix.data()[r * cols + c])
        .collect();
    Matrix::try_new(cols, rows, data).map_err(too_large)
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
