//! The operands of a case on both sides, its plan, and what its result has to be.

use half::f16;
use sparse_core::bsr::bsr_matmul;
use sparse_core::matmul::dense_matmul;
use sparse_core::nm::nm_matmul;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, DType, Epilogue, Matrix, Nm, NmMatrix};

use super::cases::{Case, Format, Numbers};
use super::too_large;
use crate::matmul::MatmulPlan;
use crate::{
    BsrMatmul, DenseMatmul, Error, Gpu, GpuBsr, GpuNm, GpuTensor, MatmulTypes, NmMatmul, Tier,
};

/// Weights on both sides.
pub(super) enum Operand {
    Dense(Matrix<f16>, GpuTensor),
    Nm(NmMatrix<f16>, GpuNm),
    Bsr(BsrMatrix<f16>, Box<GpuBsr>),
}

/// Asymmetric, and such that no product and no sum of the case is rounded.
pub(super) fn numbers(
    rows: usize,
    cols: usize,
    numbers: Numbers,
    of_x: bool,
) -> Result<Matrix<f16>, Error> {
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

pub(super) fn operand(
    gpu: &Gpu,
    case: &Case,
    w: Matrix<f16>,
    side: usize,
) -> Result<Operand, Error> {
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

pub(super) async fn plan(
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
pub(super) fn reference(x: &Matrix<f16>, w: &Operand) -> Result<Vec<f64>, Error> {
    let epilogue = Epilogue::default();
    let product = match w {
        Operand::Dense(w, _) => dense_matmul(x, w, &epilogue),
        Operand::Nm(w, _) => nm_matmul(x, w, &epilogue),
        Operand::Bsr(w, _) => bsr_matmul(x, w, &epilogue),
    };
    Ok(product.map_err(too_large)?.y)
}
