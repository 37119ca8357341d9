//! A layer of a safetensors file: `from_safetensors FILE TENSOR` multiplies an f32 or f16 weight matrix, kept as 32 x 32 blocks at a
//! quarter of its density. Without arguments it makes a small file first.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sparse_gpu::sparse_core::half::f16;
use sparse_gpu::sparse_core::prune::BlockBudget;
use sparse_gpu::sparse_core::synthetic::normal_matrix;
use sparse_gpu::sparse_core::{BsrMatrix, Matrix};
use sparse_gpu::{BsrMatmul, Gpu, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (file, bytes, name) = match (arguments.next(), arguments.next()) {
        (Some(file), Some(name)) => {
            let bytes = std::fs::read(&file).map_err(|error| format!("{error}: {file}"))?;
            (file, bytes, name)
        }
        (None, None) => {
            let bytes = small_file()?;
            ("a small file".to_owned(), bytes, "layer.weight".to_owned())
        }
        _ => return Err("usage: from_safetensors [FILE TENSOR]".into()),
    };
    let weights = weights(&bytes, &name).map_err(|error| format!("{name}: {error}: {file}"))?;
    let (n_out, k_in, tokens) = (weights.rows(), weights.cols(), 16);
    let sparse = BsrMatrix::prune(&weights, (32, 32), BlockBudget::Density(0.25))?;
    println!(
        "{name}: {n_out} x {k_in}, {} of {} blocks kept",
        sparse.nnz_blocks(),
        sparse.block_rows() * sparse.block_cols()
    );

    let gpu = Gpu::new_blocking()?;
    let w = gpu.upload_bsr(&sparse)?;
    let x = gpu.upload(&normal_matrix::<f32>(tokens, k_in, 1)?)?;
    let plan = gpu.plan_blocking(&BsrMatmul::new(tokens, n_out, k_in, (32, 32)))?;
    let mut y = plan.new_y()?;
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    plan.record(
        &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
        &w,
        &x,
        &mut y,
    )?;
    gpu.queue().submit([encoder.finish()]);
    println!(
        "{}y[0, 0] = {}",
        plan.explain(),
        gpu.read_blocking::<f32>(&y)?.data()[0]
    );
    Ok(())
}

fn weights(bytes: &[u8], name: &str) -> Result<Matrix<f32>, Box<dyn std::error::Error>> {
    matrix(&SafeTensors::deserialize(bytes)?.tensor(name)?)
}

/// The tensor as f32; its bytes may lie anywhere in the file, so nothing is assumed of their alignment.
fn matrix(view: &TensorView<'_>) -> Result<Matrix<f32>, Box<dyn std::error::Error>> {
    let &[rows, cols] = view.shape() else {
        return Err(format!("shape {:?} is no matrix", view.shape()).into());
    };
    let data = match view.dtype() {
        Dtype::F32 => view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
        Dtype::F16 => view
            .data()
            .chunks_exact(2)
            .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect(),
        other => {
            return Err(format!("storage type {other:?} is not read here; f32 and f16 are").into());
        }
    };
    Ok(Matrix::try_new(rows, cols, data)?)
}

fn small_file() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let weights = normal_matrix::<f32>(64, 96, 7)?;
    let bytes: Vec<u8> = weights
        .data()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let view = TensorView::new(Dtype::F32, vec![64, 96], &bytes)?;
    Ok(safetensors::serialize([("layer.weight", view)], None)?)
}
