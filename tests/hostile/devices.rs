//! Adapters and devices: unknown, too small, lost, another than that of an operand.

use sparse_core::attention::{AttentionShape, PackedShape, Packing};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BlockMask, BsrMatrix, DType, Nm, NmMatrix};
use sparse_gpu::{
    BlockAttention, BsrMatmul, BsrSddmm, DenseMatmul, Error, Gpu, GpuOptions, NaiveMatmul,
    NmMatmul, NmSddmm, Policy, VarlenAttention, VarlenXAttention, XAttention, XAttentionScore,
    XAttentionSelect, wgpu,
};

use crate::support::gpu::{gpu, open, poisoned};
use crate::{matrix, refused};

#[test]
fn an_unknown_adapter_lists_those_there_are() {
    let options = GpuOptions {
        adapter: Some("voodoo 2".to_owned()),
        ..GpuOptions::default()
    };
    let error = Gpu::open_blocking(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("no adapter matches \"voodoo 2\"; there are: "),
        "{error}"
    );
    assert!(error.contains(&gpu().adapter().name), "{error}");
}

#[test]
fn a_device_with_too_little_is_refused() {
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 4,
        ..wgpu::Limits::defaults()
    };
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_limits: limits,
        ..Default::default()
    });
    let error = Gpu::from_device(device, queue).unwrap_err().to_string();
    assert_eq!(
        error,
        "sharing a device needs max_storage_buffers_per_shader_stage >= 8, the device has 4; \
         request wgpu::Limits::defaults() or better in the DeviceDescriptor"
    );
}

#[test]
fn reading_from_a_lost_device_is_an_error() {
    let gpu = open(None).unwrap();
    let [destroyed, tensor] = [0, 1].map(|_| gpu.upload(&matrix(4, 4)).unwrap());
    destroyed.buffer().destroy();
    let read = |tensor| gpu.read_blocking::<f32>(tensor).unwrap_err();
    let error = read(&destroyed);
    assert!(
        matches!(error, Error::Readback { bytes: 64, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("destroyed"), "{error}");
    gpu.device().destroy();
    let error = read(&tensor);
    assert!(
        matches!(error, Error::Readback { bytes: 64, .. }),
        "{error}"
    );
    let error = pollster::block_on(gpu.read::<f32>(&tensor)).unwrap_err();
    assert!(matches!(error, Error::Readback { .. }), "{error}");
}

#[test]
fn uploading_to_a_lost_device_is_an_error() {
    let gpu = open(None).unwrap();
    let w = matrix(4, 4);
    let nm = NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap();
    let bsr = BsrMatrix::from_dense(&w, (4, 4)).unwrap();
    let mask = BlockMask::dense(1, 1, 1, 1).unwrap();
    // All kernels are there: only scratch memory is missing.
    let split = DenseMatmul {
        split_k: Some(2),
        ..DenseMatmul::new(4, 4, 16)
    };
    gpu.plan_blocking(&split).unwrap();
    let there = gpu.upload_nm(&nm).unwrap();
    gpu.device().destroy();
    let errors = [
        gpu.upload(&w).unwrap_err(),
        gpu.empty_tensor(&[4, 4], DType::F32).unwrap_err(),
        gpu.upload_nm(&nm).unwrap_err(),
        gpu.empty_nm_like(&there, DType::F16).unwrap_err(),
        gpu.upload_bsr(&bsr).unwrap_err(),
        gpu.empty_bsr(bsr.selection(), DType::F16).unwrap_err(),
        gpu.upload_mask(&mask).unwrap_err(),
        gpu.empty_mask([1, 1, 1, 1]).unwrap_err(),
        gpu.plan_blocking(&split).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.starts_with("the device is lost, there is no "),
            "{message}"
        );
    }
    // Nothing has reached the device's handler: the program goes on with another device.
    let another = open(None).unwrap();
    let uploaded = another.upload(&w).unwrap();
    assert_eq!(
        another.read_blocking::<f32>(&uploaded).unwrap().data(),
        w.data()
    );
}

/// The first recording takes a buffer for the parameters of each dispatch, and a device may go at any time.
#[test]
fn recording_on_a_lost_device_is_an_error() {
    let gpu = open(None).unwrap();
    let w = matrix(16, 16);
    let [a, b, y] = [0, 1, 2].map(|_| gpu.upload(&w).unwrap());
    let nm = gpu.upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap());
    let bsr = gpu.upload_bsr(&BsrMatrix::from_dense(&w, (4, 4)).unwrap());
    let (nm, bsr) = (nm.unwrap(), bsr.unwrap());
    let dense_product = gpu.plan_blocking(&DenseMatmul::new(16, 16, 16)).unwrap();
    let nm_product = NmMatmul::new(16, 16, 16, Nm::TWO_FOUR);
    let nm_product = gpu.plan_blocking(&nm_product).unwrap();
    let bsr_product = BsrMatmul::new(16, 16, 16, (4, 4));
    let bsr_product = gpu.plan_blocking(&bsr_product).unwrap();
    let sampled = BsrSddmm::new(16, 16, 16, (4, 4));
    let sampled = gpu.plan_blocking(&sampled).unwrap();
    let slots = NmSddmm::new(16, 16, 16, Nm::TWO_FOUR);
    let slots = gpu.plan_blocking(&slots).unwrap();
    let naive = NaiveMatmul {
        tokens: 16,
        n_out: 16,
        k_in: 16,
        dtype: DType::F32,
    };
    let naive = gpu.plan_blocking(&naive).unwrap();

    let shape = AttentionShape::try_new(1, 2, 1, 40, 50, 8).unwrap();
    let options = XAttentionOptions::default();
    let [q, out] = [0, 1].map(|_| poisoned::<f32>(&gpu, &shape.q_shape()));
    let [k, v] = [0, 1].map(|_| poisoned::<f32>(&gpu, &shape.kv_shape()));
    let lse = poisoned::<f32>(&gpu, &shape.q_shape()[..3]);
    let attention = gpu.plan_blocking(&BlockAttention::new(shape)).unwrap();
    let score = XAttentionScore::new(shape, options.clone());
    let score = gpu.plan_blocking(&score).unwrap();
    let scores = poisoned::<f32>(&gpu, &score.score_shape());
    let select = XAttentionSelect::new(shape, options.clone());
    let select = gpu.plan_blocking(&select).unwrap();
    let mask = gpu.empty_mask(select.mask_shape()).unwrap();
    let [sparse, auto] = [Policy::Sparse, Policy::auto(&gpu)].map(|policy| {
        let problem = XAttention {
            policy,
            ..XAttention::new(shape, options.clone())
        };
        gpu.plan_blocking(&problem).unwrap()
    });
    let [queries, keys] = [vec![0, 5], vec![0, 7]].map(|at| Packing::try_new(at).unwrap());
    let items = PackedShape::try_new(1, 1, 8, queries, keys).unwrap();
    let packed = gpu
        .plan_blocking(&VarlenAttention::new(items.clone()))
        .unwrap();
    let selected = VarlenXAttention::new(items, options.clone());
    let selected = gpu.plan_blocking(&selected).unwrap();
    let [packed_q, packed_out] = [0, 1].map(|_| poisoned::<f32>(&gpu, &[5, 1, 8]));
    let packed_kv = poisoned::<f32>(&gpu, &[7, 1, 8]);
    let packed_lse = poisoned::<f32>(&gpu, &[1, 5]);

    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let pass = &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    gpu.device().destroy();
    let recorded = [
        dense_product.record(pass, &a, &b, &mut y.clone()),
        nm_product.record(pass, &nm, &b, &mut y.clone()),
        bsr_product.record(pass, &bsr, &b, &mut y.clone()),
        sampled.record(pass, &a, &b, &mut bsr.clone()),
        slots.record(pass, &a, &b, &mut nm.clone()),
        naive.record(pass, &a, &b, &mut y.clone()),
        attention.record(pass, &q, &k, &v, None, &mut out.clone(), &mut lse.clone()),
        score.record(pass, &q, &k, &mut scores.clone()),
        select.record(pass, &scores, &mut mask.clone()),
        sparse.record(pass, &q, &k, &v, &mut out.clone(), &mut lse.clone()),
        auto.record(pass, &q, &k, &v, &mut out.clone(), &mut lse.clone()),
        packed.record(
            pass,
            &packed_q,
            &packed_kv,
            &packed_kv.clone(),
            None,
            &mut packed_out.clone(),
            &mut packed_lse.clone(),
        ),
        selected.record(
            pass,
            &packed_q,
            &packed_kv,
            &packed_kv.clone(),
            &mut packed_out.clone(),
            &mut packed_lse.clone(),
        ),
    ];
    for (at, result) in recorded.into_iter().enumerate() {
        assert!(
            matches!(result, Err(Error::DeviceLost { .. })),
            "{at}: {result:?}"
        );
    }
}

/// Whether or not the devices come from one wgpu instance, whose buffers wgpu itself tells apart.
#[test]
fn operands_of_another_device_are_refused() {
    let (here, there) = (gpu(), open(None).unwrap());
    let w = matrix(4, 4);
    let [own, foreign] = [here, &there].map(|gpu| gpu.upload(&w).unwrap());
    let dense = here.plan_blocking(&DenseMatmul::new(4, 4, 4)).unwrap();
    assert_eq!(
        refused(&dense, &foreign, &own, &own.clone()),
        "dense_matmul: w lies on another device; use it with the Gpu that it was made with, or a clone of that"
    );
    for (x, y) in [(&foreign, &own), (&own, &foreign)] {
        let message = refused(&dense, &own, x, y);
        assert!(message.contains("lies on another device"), "{message}");
    }
    let pattern = Nm::try_new(2, 4, 1).unwrap();
    let nm = there.upload_nm(&NmMatrix::prune(&w, pattern).unwrap());
    let plan = here
        .plan_blocking(&NmMatmul::new(4, 4, 4, pattern))
        .unwrap();
    let message = refused(&plan, &nm.unwrap(), &own, &own.clone());
    assert!(
        message.contains("nm_matmul: w lies on another"),
        "{message}"
    );
    let blocks = BsrMatrix::from_dense(&w, (4, 4)).unwrap();
    let bsr = there.upload_bsr(&blocks).unwrap();
    let plan = here
        .plan_blocking(&BsrMatmul::new(4, 4, 4, (4, 4)))
        .unwrap();
    let message = refused(&plan, &bsr, &own, &own.clone());
    assert!(
        message.contains("bsr_matmul: w lies on another"),
        "{message}"
    );
    for error in [
        here.read_blocking::<f32>(&foreign).unwrap_err(),
        here.read_bsr_blocking::<f32>(&bsr).unwrap_err(),
        here.read_mask_blocking(&there.empty_mask([1, 1, 1, 1]).unwrap())
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    }
    // Another `Gpu` on the same device is none.
    let again = Gpu::from_device(here.device().clone(), here.queue().clone()).unwrap();
    assert_eq!(again.read_blocking::<f32>(&own).unwrap().data(), w.data());
}
