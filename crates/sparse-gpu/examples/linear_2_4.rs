//! A 2:4 linear layer from dense weights: prune, check, upload, multiply, read back, compare with the CPU reference.

use sparse_gpu::sparse_core::nm::nm_matmul;
use sparse_gpu::sparse_core::prune::check_nm;
use sparse_gpu::sparse_core::synthetic::normal_matrix;
use sparse_gpu::sparse_core::{Activation, DType, Epilogue, Nm, NmMatrix, bounds};
use sparse_gpu::{Gpu, NmMatmul, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (tokens, n_out, k_in) = (48, 96, 128);
    let dense = normal_matrix::<f32>(n_out, k_in, 1)?;
    let x = normal_matrix::<f32>(tokens, k_in, 2)?;

    // Prune by magnitude, and see that the result has the pattern which the dense matrix did not have.
    let pruned = NmMatrix::prune(&dense, Nm::TWO_FOUR)?;
    if let Err(violation) = check_nm(&dense, Nm::TWO_FOUR) {
        println!("before pruning: {violation}");
    }
    check_nm(&pruned.to_dense()?, Nm::TWO_FOUR)?;
    println!(
        "after pruning: {} holds, density {}",
        Nm::TWO_FOUR,
        pruned.density()
    );

    let gpu = Gpu::new_blocking()?;
    let w = gpu.upload_nm(&pruned)?;
    let gx = gpu.upload(&x)?;
    let plan = gpu.plan_blocking(&NmMatmul::new(tokens, n_out, k_in, Nm::TWO_FOUR))?;
    let mut y = plan.new_y()?;
    print!("{}", plan.explain());

    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    plan.record(
        &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()),
        &w,
        &gx,
        &mut y,
    )?;
    gpu.queue().submit([encoder.finish()]);
    let y = gpu.read_blocking::<f32>(&y)?;

    let reference = nm_matmul(&x, &pruned, &Epilogue::default())?;
    let none = Activation::None;
    let bounds_of_y = bounds::matmul_bounds(&reference, pruned.kept_per_row(), none, DType::F32);
    let actual = y.data().iter().map(|&v| f64::from(v));
    let comparison = bounds::compare(actual, &reference.y, &bounds_of_y);
    println!("closest to its bound: {comparison}");
    if comparison.holds() {
        Ok(())
    } else {
        Err("a result lies outside of its bound".into())
    }
}
