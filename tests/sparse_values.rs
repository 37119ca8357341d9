//! The values of sparse weights in kernels of the program's own: a training step between a gradient and the next product.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use half::f16;
use sparse_core::bsr::bsr_sddmm;
use sparse_core::nm::nm_sddmm;
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{BsrMatrix, DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, BsrSddmm, Error, GpuTensor, NmMatmul, NmSddmm, Transposed, wgpu};
use support::gpu::{gpu, open, poisoned, read, submit};

/// `w -= 2 dw`, as a program would write it.
const STEP: &str = "
    @group(0) @binding(0) var<storage, read_write> w: array<f32>;
    @group(0) @binding(1) var<storage, read> dw: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < arrayLength(&w) {
            w[id.x] -= 2.0 * dw[id.x];
        }
    }";

fn bind(binding: u32, tensor: &GpuTensor) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: tensor.buffer(),
            offset: tensor.offset(),
            size: wgpu::BufferSize::new(tensor.bytes()),
        }),
    }
}

fn step(pass: &mut wgpu::ComputePass<'_>, w: &GpuTensor, dw: &GpuTensor) {
    let device = gpu().device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(STEP.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[bind(0, w), bind(1, dw)],
    });
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    let groups = u32::try_from(w.len().div_ceil(64)).unwrap();
    pass.dispatch_workgroups(groups, 1, 1);
}

fn integers(rows: usize, cols: usize, seed: u64) -> Matrix<f32> {
    integer_matrix(rows, cols, 3, seed).unwrap()
}

/// Gradient, step and product in one pass, over blocks with padding and edges; both ways through the same weights.
#[test]
fn a_training_step_changes_the_weights_of_the_next_product() {
    let (tokens, n_out, k_in, block) = (5, 14, 22, (4, 6));
    let dense = integers(n_out, k_in, 1);
    let w = BsrMatrix::prune(&dense, block, BlockBudget::Density(0.5)).unwrap();
    let (dy, x) = (integers(tokens, n_out, 2), integers(tokens, k_in, 3));
    let gw = gpu().upload_bsr(&w).unwrap();
    let mut dw = gpu().empty_bsr_like(&gw, DType::F32).unwrap();
    assert_eq!(gw.values().shape(), [w.nnz_blocks(), 4, 8]);
    let (gdy, gx) = (gpu().upload(&dy).unwrap(), gpu().upload(&x).unwrap());
    let gradient = BsrSddmm::new(tokens, n_out, k_in, block);
    let gradient = gpu().plan_blocking(&gradient).unwrap();
    let product = BsrMatmul::new(tokens, n_out, k_in, block);
    let product = gpu().plan_blocking(&product).unwrap();
    let back = BsrMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..BsrMatmul::new(tokens, k_in, n_out, block)
    };
    let back = gpu().plan_blocking(&back).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[tokens, n_out]);
    let mut dx = poisoned::<f32>(gpu(), &[tokens, k_in]);
    submit(gpu(), |pass| {
        gradient.record(pass, &gdy, &gx, &mut dw).unwrap();
        step(pass, &gw.values(), &dw.values());
        // Clones share the values.
        product.record(pass, &gw.clone(), &gx, &mut y).unwrap();
        back.record(pass, &gw, &gdy, &mut dx).unwrap();
    });
    let expected = bsr_sddmm(&dy, &x, w.selection(), 1.0, 0.0, None::<&BsrMatrix<f32>>).unwrap();
    let values = w.values().iter().zip(&expected.y);
    let values = values.map(|(w, dw)| f64::from(*w) - 2.0 * dw);
    let values: Vec<f64> = values.collect();
    let after = gpu().read_bsr_blocking::<f32>(&gw).unwrap();
    let actual: Vec<f64> = after.values().iter().map(|&w| w.into()).collect();
    assert_eq!(actual, values);
    assert!(after.values() != w.values(), "nothing was learnt");
    let after = after.to_dense().unwrap();
    let sum = |n: usize, of: &dyn Fn(usize) -> f32| (0..n).map(|i| f64::from(of(i))).sum::<f64>();
    for (t, y) in read::<f32>(gpu(), &y).chunks(n_out).enumerate() {
        let expected = |o| sum(k_in, &|k| x.row(t)[k] * after.row(o)[k]);
        assert_eq!(y, (0..n_out).map(expected).collect::<Vec<_>>());
    }
    for (t, dx) in read::<f32>(gpu(), &dx).chunks(k_in).enumerate() {
        let expected = |k| sum(n_out, &|o| dy.row(t)[o] * after.row(o)[k]);
        assert_eq!(dx, (0..k_in).map(expected).collect::<Vec<_>>());
    }
    // Six columns and two of padding.
    for values in [gw.values(), dw.values()] {
        let rows = read::<f32>(gpu(), &values);
        let mut padding = rows.chunks(8).flat_map(|row| &row[6..]);
        assert!(padding.all(|&v| v == 0.0), "padding was written");
    }
}

#[test]
fn a_matrix_like_another_shares_lists_and_not_values() {
    let dense = integers(32, 32, 1);
    let w = BsrMatrix::prune(&dense, (8, 8), BlockBudget::Density(0.5)).unwrap();
    let gw = gpu().upload_bsr(&w).unwrap();
    for dtype in DType::ALL {
        let like = gpu().empty_bsr_like(&gw, dtype).unwrap();
        assert_eq!(like.dtype(), dtype);
        assert!(like.selection() == gw.selection(), "other blocks");
        assert!(like.values().buffer() != gw.values().buffer(), "its values");
    }
    let halves = gpu().empty_bsr_like(&gw, DType::F16).unwrap();
    let zeros = gpu().read_bsr_blocking::<f16>(&halves).unwrap();
    assert!(zeros.values().iter().all(|&v| v == f16::ZERO), "not zero");
    assert_eq!(gpu().read_bsr_blocking::<f32>(&gw).unwrap(), w);
    let there = open(None).unwrap();
    let error = there.empty_bsr_like(&gw, DType::F32).unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    let error = there.read_blocking::<f32>(&gw.values()).unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
}

/// Gradient, step and product in one pass, over rows with padding and slots that stand for no column.
#[test]
fn a_training_step_changes_the_nm_weights_of_the_next_product() {
    let (tokens, n_out, k_in) = (5, 14, 21);
    for pattern in [Nm::TWO_FOUR, Nm::new(3, 4, 8)] {
        let w = NmMatrix::prune(&integers(n_out, k_in, 1), pattern).unwrap();
        let selection = w.selection().unwrap();
        let (dy, x) = (integers(tokens, n_out, 2), integers(tokens, k_in, 3));
        let gw = gpu().upload_nm(&w).unwrap();
        let mut dw = gpu().empty_nm_like(&gw, DType::F32).unwrap();
        let (gdy, gx) = (gpu().upload(&dy).unwrap(), gpu().upload(&x).unwrap());
        let gradient = NmSddmm::new(tokens, n_out, k_in, pattern);
        let gradient = gpu().plan_blocking(&gradient).unwrap();
        let product = NmMatmul::new(tokens, n_out, k_in, pattern);
        let product = gpu().plan_blocking(&product).unwrap();
        let mut y = poisoned::<f32>(gpu(), &[tokens, n_out]);
        submit(gpu(), |pass| {
            gradient.record(pass, &gdy, &gx, &mut dw).unwrap();
            step(pass, &gw.values(), &dw.values());
            // Clones share the values.
            product.record(pass, &gw.clone(), &gx, &mut y).unwrap();
        });
        let expected = nm_sddmm(&dy, &x, &selection, 1.0, 0.0, None::<&NmMatrix<f32>>).unwrap();
        let values = w.values().iter().zip(&expected.y);
        let values: Vec<f64> = values.map(|(w, dw)| f64::from(*w) - 2.0 * dw).collect();
        // Which refuses slots of no column that hold something.
        let after = gpu().read_nm_blocking::<f32>(&gw).unwrap();
        let actual: Vec<f64> = after.values().iter().map(|&w| w.into()).collect();
        assert_eq!(actual, values);
        assert!(after.values() != w.values(), "nothing was learnt");
        let after = after.to_dense().unwrap();
        for (t, y) in read::<f32>(gpu(), &y).chunks(n_out).enumerate() {
            let products = |o| {
                x.row(t)
                    .iter()
                    .zip(after.row(o))
                    .map(|(x, w)| f64::from(x * w))
            };
            let expected = (0..n_out).map(|o| products(o).sum::<f64>());
            assert_eq!(y, expected.collect::<Vec<_>>());
        }
        let kept = w.kept_per_row();
        for values in [gw.values(), dw.values()] {
            let rows = read::<f32>(gpu(), &values);
            let rows = rows.chunks(kept.next_multiple_of(4));
            let mut padding = rows.flat_map(|row| &row[kept..]);
            assert!(padding.all(|&v| v == 0.0), "padding was written");
        }
    }
}

#[test]
fn nm_weights_like_others_share_indices_and_not_values() {
    let w = NmMatrix::prune(&integers(6, 10, 1), Nm::new(2, 4, 4)).unwrap();
    let gw = gpu().upload_nm(&w).unwrap();
    for dtype in DType::ALL {
        let like = gpu().empty_nm_like(&gw, dtype).unwrap();
        assert_eq!((like.dtype(), like.shape()), (dtype, gw.shape()));
        assert_eq!(like.pattern(), gw.pattern());
        assert!(like.values().buffer() != gw.values().buffer(), "its values");
    }
    let halves = gpu().empty_nm_like(&gw, DType::F16).unwrap();
    let zeros = gpu().read_nm_blocking::<f16>(&halves).unwrap();
    assert!(zeros.values().iter().all(|&v| v == f16::ZERO), "not zero");
    assert_eq!(zeros.packed_indices(), w.packed_indices());
    assert_eq!(gpu().read_nm_blocking::<f32>(&gw).unwrap(), w);
    // Without rows and without columns.
    for (rows, cols) in [(0, 6), (3, 0)] {
        let none = NmMatrix::prune(&integers(rows, cols, 1), Nm::TWO_FOUR).unwrap();
        let none = gpu().upload_nm(&none).unwrap();
        let like = gpu().empty_nm_like(&none, DType::F32).unwrap();
        assert_eq!(
            gpu().read_nm_blocking::<f32>(&like).unwrap().values(),
            [0.0; 0]
        );
    }
    let error = open(None).unwrap().empty_nm_like(&gw, DType::F32);
    assert!(matches!(error, Err(Error::OtherDevice { .. })), "{error:?}");
}

#[test]
fn values_of_nm_weights_are_padded_rows() {
    // Ten columns: five slots a row, of which the last stands for column 8 or 9.
    let (tokens, n_out, k_in) = (3, 6, 10);
    let w = NmMatrix::prune(&integers(n_out, k_in, 1), Nm::new(1, 2, 2)).unwrap();
    let x = integers(tokens, k_in, 2);
    let gw = gpu().upload_nm(&w).unwrap();
    let kept = w.kept_per_row();
    assert_eq!((kept, gw.values().shape()), (5, &[n_out, 8][..]));
    let rows = read::<f32>(gpu(), &gw.values());
    for (row, padded) in rows.chunks(8).enumerate() {
        let values = &w.values()[row * kept..][..kept];
        let values = values.iter().map(|&v| f64::from(v));
        assert_eq!(padded, values.chain([0.0; 3]).collect::<Vec<_>>());
    }
    // The step with the weights themselves as their gradient: w - 2 w.
    let same = gpu().upload_nm(&w).unwrap();
    let plan = NmMatmul::new(tokens, n_out, k_in, w.pattern());
    let plan = gpu().plan_blocking(&plan).unwrap();
    let [mut before, mut after] = [(); 2].map(|()| poisoned::<f32>(gpu(), &[tokens, n_out]));
    let gx = gpu().upload(&x).unwrap();
    submit(gpu(), |pass| {
        plan.record(pass, &gw, &gx, &mut before).unwrap();
        step(pass, &gw.values(), &same.values());
        plan.record(pass, &gw, &gx, &mut after).unwrap();
    });
    let trained = gpu().read_nm_blocking::<f32>(&gw).unwrap();
    let negative: Vec<f32> = w.values().iter().map(|w| -w).collect();
    assert_eq!(trained.values(), negative);
    assert_eq!(trained.packed_indices(), w.packed_indices());
    let negated: Vec<f64> = read::<f32>(gpu(), &before).iter().map(|y| -y).collect();
    assert!(negated.iter().any(|&y| y != 0.0), "nothing to compare");
    assert_eq!(read::<f32>(gpu(), &after), negated);
}

#[test]
fn nm_weights_come_back_as_they_were() {
    let sizes = [(0, 6), (3, 0), (1, 1), (6, 10), (37, 100), (70, 64)];
    let patterns = [(1, 2, 1), (2, 4, 1), (2, 8, 8), (3, 5, 2), (2, 32, 16)];
    for (rows, cols) in sizes {
        for (n, m, v) in patterns {
            let w = NmMatrix::prune(&integers(rows, cols, 1), Nm::new(n, m, v)).unwrap();
            let gw = gpu().upload_nm(&w).unwrap();
            assert_eq!(gpu().read_nm_blocking::<f32>(&gw).unwrap(), w);
            let future = pollster::block_on(gpu().read_nm::<f32>(&gw));
            assert_eq!(future.unwrap(), w, "{rows} x {cols}, {v}:{n}:{m}");
        }
    }
    let w = NmMatrix::prune(&integers(6, 10, 1), Nm::TWO_FOUR).unwrap();
    let gw = gpu().upload_nm(&w).unwrap();
    let error = gpu().read_nm_blocking::<f16>(&gw).unwrap_err();
    assert!(matches!(error, Error::ReadAs { .. }), "{error}");
    let error = open(None).unwrap().read_nm_blocking::<f32>(&gw);
    assert!(matches!(error, Err(Error::OtherDevice { .. })), "{error:?}");
}
