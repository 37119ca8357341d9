//! Block-sparse attention from q, k, v to the output, and the selected blocks as a picture in the terminal.

use sparse_gpu::sparse_core::BlockMask;
use sparse_gpu::sparse_core::attention::AttentionShape;
use sparse_gpu::sparse_core::synthetic::PlantedAttention;
use sparse_gpu::sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{Gpu, XAttention, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Two query heads share a key head; sinks, local windows, stripes and slashes are planted in the inputs.
    let shape = AttentionShape::try_new(1, 2, 1, 2048, 2048, 32)?;
    let inputs = PlantedAttention {
        shape,
        density: 0.3,
        seed: 1,
    }
    .generate::<f32>()?;

    let gpu = Gpu::new_blocking()?;
    let [q, k, v] = [
        gpu.upload(&inputs.q)?,
        gpu.upload(&inputs.k)?,
        gpu.upload(&inputs.v)?,
    ];
    let options = XAttentionOptions {
        stride: 16,
        block: 64,
        ..Default::default()
    };
    let plan = gpu.plan_blocking(&XAttention::new(shape, options))?;
    let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);

    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    plan.record(&mut pass, &q, &k, &v, &mut out, &mut lse)?;
    drop(pass);
    gpu.queue().submit([encoder.finish()]);

    let out = gpu.read_blocking::<f32>(&out)?;
    let mask = plan.mask().ok_or("a dense plan has no mask")?;
    let mask = gpu.read_mask_blocking(mask)?;
    for head in 0..mask.heads() {
        println!("head {head}: every row of blocks, its selected key blocks filled");
        print!("{}", picture(&mask, head));
    }
    println!(
        "{} blocks attended to, out[0] = {:.3} ...",
        mask.count(),
        out.data()[0]
    );
    Ok(())
}

/// One character for two rows of blocks.
fn picture(mask: &BlockMask, head: usize) -> String {
    let selected = |i, j| i < mask.q_blocks() && mask.get(0, head, i, j);
    let mut picture = String::new();
    for i in (0..mask.q_blocks()).step_by(2) {
        for j in 0..mask.k_blocks() {
            picture.push(match (selected(i, j), selected(i + 1, j)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => '\u{b7}',
            });
        }
        picture.push('\n');
    }
    picture
}
