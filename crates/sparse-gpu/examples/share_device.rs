//! A program that owns its wgpu device records a pruned linear layer into its own encoder and submits once.

use sparse_gpu::sparse_core::{Matrix, Nm, NmMatrix};
use sparse_gpu::{Gpu, NmMatmul, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // The program's own device, with whatever else it does on it.
    let instance = wgpu::Instance::default();
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions::default())
        .await?;
    // Besides what the program wants: 64-bit integers, with which drivers that run shaders on the processor are faster.
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & wgpu::Features::SHADER_INT64,
            ..wgpu::DeviceDescriptor::default()
        })
        .await?;

    // A linear layer of 64 features, pruned to 2 of every 8 weights, 8 rows sharing a pattern.
    let pattern = Nm::try_new(2, 8, 8)?;
    let weights = Matrix::try_new(
        64,
        64,
        (0..64 * 64).map(|i| (i % 13) as f32 - 6.0).collect(),
    )?;
    let weights = NmMatrix::prune(&weights, pattern)?;
    let x = Matrix::try_new(32, 64, (0..32 * 64).map(|i| (i % 7) as f32).collect())?;

    // Share the device; upload and plan once.
    let gpu = Gpu::from_device(device.clone(), queue.clone())?;
    let w = gpu.upload_nm(&weights)?;
    let x = gpu.upload(&x)?;
    let plan = gpu.plan(&NmMatmul::new(32, 64, 64, pattern)).await?;
    let mut y = plan.new_y()?;

    // Record into the program's own encoder, beside its own work, and submit once.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    plan.record(&mut pass, &w, &x, &mut y)?;
    drop(pass);
    queue.submit([encoder.finish()]);

    let y = gpu.read::<f32>(&y).await?;
    println!("{}y[0] = {:?} ...", plan.explain(), &y.data()[..4]);
    Ok(())
}
