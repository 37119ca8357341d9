//! Adapters and devices: unknown, too small, lost, another than that of an operand.

use sparse_core::{BlockMask, BsrMatrix, DType, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, DenseMatmul, Error, Gpu, GpuOptions, NmMatmul, wgpu};

use crate::support::gpu::{gpu, open};
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
    gpu.device().destroy();
    let errors = [
        gpu.upload(&w).unwrap_err(),
        gpu.empty_tensor(&[4, 4], DType::F32).unwrap_err(),
        gpu.upload_nm(&nm).unwrap_err(),
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
