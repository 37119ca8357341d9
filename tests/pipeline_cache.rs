//! Pipelines saved by one device and taken by another.

mod support;

use sparse_core::synthetic::integer_matrix;
use sparse_core::{Matrix, Nm, NmMatrix};
use sparse_gpu::{Error, Gpu, GpuOptions, NmMatmul, PipelineCacheError};
use support::gpu::{gpu, poisoned, read, submit};

fn open(pipeline_cache: bool) -> Gpu {
    let options = GpuOptions {
        adapter: Some(gpu().adapter().name.clone()),
        default_limits: true,
        pipeline_cache,
        ..GpuOptions::default()
    };
    Gpu::open_blocking(&options).unwrap()
}

fn run(gpu: &Gpu) -> Vec<f64> {
    let pattern: Nm = "8:2:4".parse().unwrap();
    let w: Matrix<f32> = integer_matrix(32, 64, 3, 2).unwrap();
    let w = gpu
        .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
        .unwrap();
    let x = gpu
        .upload(&integer_matrix::<f32>(40, 64, 3, 1).unwrap())
        .unwrap();
    let plan = gpu
        .plan_blocking(&NmMatmul::new(40, 32, 64, pattern))
        .unwrap();
    let mut y = poisoned::<f32>(gpu, &[40, 32]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    read::<f32>(gpu, &y)
}

#[expect(
    unsafe_code,
    reason = "the bytes are those that the test has just saved, or damaged so that they are refused"
)]
fn saved(gpu: &Gpu, bytes: &[u8]) -> Result<Gpu, Error> {
    // SAFETY: `pipeline_cache_data` returned the bytes in this process; changed ones do not match their checksum and go no further.
    unsafe { gpu.with_saved_pipeline_cache(bytes) }
}

#[test]
fn a_device_without_the_feature_says_how_to_get_it() {
    let gpu = open(false);
    assert_eq!(gpu.pipeline_cache_data(), None);
    let error = gpu.with_pipeline_cache().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("GpuOptions { pipeline_cache: true"),
        "{error}"
    );
}

#[test]
fn saved_pipelines_are_taken_by_the_next_device_and_compute_the_same() {
    if gpu().adapter().backend != "vulkan" {
        let error = open(true).with_pipeline_cache().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        return;
    }
    let expected = run(gpu());
    let first = open(true).with_pipeline_cache().unwrap();
    assert_eq!(run(&first), expected);
    let data = first.pipeline_cache_data().unwrap();
    let second = saved(&open(true), &data).unwrap();
    assert_eq!(run(&second), expected);
    // What comes of it can be saved again.
    let again = second.pipeline_cache_data().unwrap();
    assert!(saved(&open(true), &again).is_ok());
}

#[test]
fn damaged_bytes_are_refused_before_anybody_looks_at_them() {
    if gpu().adapter().backend != "vulkan" {
        let error = saved(&open(true), b"anything").unwrap_err();
        assert!(matches!(error, Error::PipelineCache(_)), "{error}");
        return;
    }
    let gpu = open(true);
    let with = gpu.with_pipeline_cache().unwrap();
    run(&with);
    let data = with.pipeline_cache_data().unwrap();
    let refused = |bytes: &[u8]| match saved(&gpu, bytes).unwrap_err() {
        Error::PipelineCache(error) => error,
        error => panic!("{error}"),
    };
    assert_eq!(refused(b""), PipelineCacheError::Format);
    assert_eq!(refused(b"WGPUPLCH and more"), PipelineCacheError::Format);
    let short = refused(&data[..data.len() - 1]);
    assert!(
        matches!(short, PipelineCacheError::Damaged { .. }),
        "{short}"
    );
    for at in [12, data.len() / 2, data.len() - 1] {
        let mut changed = data.clone();
        changed[at] ^= 1;
        let error = refused(&changed);
        assert!(
            matches!(error, PipelineCacheError::Damaged { .. }),
            "{at}: {error}"
        );
        assert!(
            error.to_string().contains("begin with an empty cache"),
            "{error}"
        );
    }
}
