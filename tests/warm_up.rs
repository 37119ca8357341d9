//! Compiling ahead and in several threads: each kernel once, and none after it.

mod support;

use std::sync::Barrier;

use sparse_core::synthetic::integer_matrix;
use sparse_core::{Matrix, Nm};
use sparse_gpu::{
    BlockAttention, BsrMatmul, DenseMatmul, Error, Gpu, GpuOptions, NmMatmul, NmMatvec, Problem,
    WarmUp,
};
use support::attention::attention_shape;
use support::gpu::{gpu, poisoned, read, submit};

/// A device of its own, on which nothing has been compiled.
fn fresh() -> Gpu {
    let options = GpuOptions {
        adapter: Some(gpu().adapter().name.clone()),
        default_limits: true,
        ..GpuOptions::default()
    };
    Gpu::open_blocking(&options).unwrap()
}

fn nm(tokens: usize) -> NmMatmul {
    NmMatmul::new(tokens, 64, 64, "8:2:8".parse::<Nm>().unwrap())
}

fn attention() -> BlockAttention {
    BlockAttention {
        masked: true,
        ..BlockAttention::new(attention_shape(1, 2, 1, 200, 200, 32))
    }
}

fn several() -> WarmUp<'static> {
    let two_four: Nm = "2:4".parse().unwrap();
    WarmUp::new()
        .with(DenseMatmul::new(70, 64, 64))
        .with(nm(70))
        .with(nm(71))
        .with(NmMatvec::new(1, 64, 64, two_four))
        .with(BsrMatmul::new(70, 64, 64, (16, 16)))
        .with(attention())
}

#[test]
fn plans_after_a_warm_up_compile_nothing() {
    let gpu = fresh();
    assert_eq!(gpu.compiled_kernels(), 0);
    let problems = several();
    assert_eq!(problems.len(), 6);
    let done = gpu.warm_up_blocking(&problems).unwrap();
    assert_eq!(done.problems, 6);
    assert_eq!(done.kernels, gpu.compiled_kernels());
    assert!(done.kernels >= 6, "{done:?}");
    assert!((1..=6).contains(&done.threads), "{done:?}");

    // One after the other, without threads, on another device: as many, so that none was compiled twice.
    let one_by_one = fresh();
    one_by_one
        .plan_blocking(&DenseMatmul::new(70, 64, 64))
        .unwrap();
    one_by_one.plan_blocking(&nm(70)).unwrap();
    one_by_one.plan_blocking(&nm(71)).unwrap();
    let two_four: Nm = "2:4".parse().unwrap();
    one_by_one
        .plan_blocking(&NmMatvec::new(1, 64, 64, two_four))
        .unwrap();
    one_by_one
        .plan_blocking(&BsrMatmul::new(70, 64, 64, (16, 16)))
        .unwrap();
    one_by_one.plan_blocking(&attention()).unwrap();
    assert_eq!(one_by_one.compiled_kernels(), done.kernels);

    let before = gpu.compiled_kernels();
    gpu.plan_blocking(&nm(70)).unwrap();
    gpu.plan_blocking(&attention()).unwrap();
    // Clones share the kernels.
    gpu.with_longest_dispatch(1).plan_blocking(&nm(71)).unwrap();
    assert_eq!(gpu.compiled_kernels(), before);
    let again = gpu.warm_up_blocking(&problems).unwrap();
    assert_eq!((again.problems, again.kernels), (6, 0));
    // And a kernel that is not there is compiled.
    gpu.plan_blocking(&BlockAttention {
        causal: false,
        ..attention()
    })
    .unwrap();
    assert!(gpu.compiled_kernels() > before);
}

#[test]
fn a_kernel_that_many_threads_want_at_once_is_compiled_once() {
    let alone = fresh();
    alone.plan_blocking(&nm(70)).unwrap();
    let kernels = alone.compiled_kernels();
    let gpu = fresh();
    let threads = 8;
    let start = Barrier::new(threads);
    let w = integer_matrix::<f32>(64, 64, 3, 2).unwrap();
    let x: Matrix<f32> = integer_matrix(70, 64, 3, 1).unwrap();
    let w = sparse_core::NmMatrix::prune(&w, "8:2:8".parse().unwrap()).unwrap();
    let (w, x) = (gpu.upload_nm(&w).unwrap(), gpu.upload(&x).unwrap());
    let results = std::thread::scope(|scope| {
        let plans: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let plan = gpu.plan_blocking(&nm(70)).unwrap();
                    let mut y = poisoned::<f32>(&gpu, &[70, 64]);
                    submit(&gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
                    y
                })
            })
            .collect();
        let results = plans.into_iter().map(|plan| plan.join().unwrap());
        results.collect::<Vec<_>>()
    });
    assert_eq!(gpu.compiled_kernels(), kernels);
    let first = read::<f32>(&gpu, &results[0]);
    assert!(first.iter().any(|&y| y != 0.0));
    for y in &results {
        assert_eq!(read::<f32>(&gpu, y), first);
    }
}

#[test]
fn a_problem_that_cannot_be_planned_does_not_keep_the_others_cold() {
    let gpu = fresh();
    let impossible = BlockAttention {
        block: 17,
        ..attention()
    };
    let other = NmMatvec::new(9, 64, 64, "2:4".parse::<Nm>().unwrap());
    let problems = WarmUp::new()
        .with(nm(70))
        .with(impossible.clone())
        .with(other)
        .with(attention());
    // The first in the order of the problems, whichever thread was faster.
    for _ in 0..4 {
        let error = gpu.warm_up_blocking(&problems).unwrap_err();
        assert_eq!(error, gpu.plan_blocking(&impossible).map(drop).unwrap_err());
        assert!(matches!(error, Error::InvalidProblem { .. }), "{error}");
    }
    let before = gpu.compiled_kernels();
    gpu.plan_blocking(&nm(70)).unwrap();
    gpu.plan_blocking(&attention()).unwrap();
    assert_eq!(gpu.compiled_kernels(), before);
}

#[test]
fn nothing_to_warm_up_is_nothing_done() {
    let done = fresh().warm_up_blocking(&WarmUp::new()).unwrap();
    assert_eq!((done.problems, done.kernels, done.threads), (0, 0, 0));
}

/// Programs plan in tasks that move between threads.
#[test]
fn planning_and_warming_up_are_tasks_that_can_move() {
    fn movable<T: Send>(_: T) {}
    let (problem, problems) = (nm(70), several());
    movable(problem.plan(gpu()));
    movable(gpu().warm_up(&problems));
    // A task that owns all it needs outlives whoever starts it.
    let gpu = fresh();
    let task = async move {
        let problems = several();
        gpu.plan(&problem).await.map(drop)?;
        gpu.warm_up(&problems).await
    };
    let compiled = std::thread::spawn(|| pollster::block_on(task));
    assert_eq!(compiled.join().unwrap().unwrap().problems, 6);
}
