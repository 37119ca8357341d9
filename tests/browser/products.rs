//! Products of every format, storage type and size class, what is added to them, and the gradients of blocks and slots.

use half::{bf16, f16};
use sparse_gpu::sparse_core::bounds::matmul_bounds;
use sparse_gpu::sparse_core::bsr::{bsr_matmul, bsr_sddmm};
use sparse_gpu::sparse_core::matmul::dense_matmul;
use sparse_gpu::sparse_core::nm::{nm_matmul, nm_matmul_transposed, nm_sddmm};
use sparse_gpu::sparse_core::prune::BlockBudget;
use sparse_gpu::sparse_core::synthetic::normal_matrix;
use sparse_gpu::sparse_core::{
    self, BsrMatrix, DType, Element, Epilogue, MatmulReference, Matrix, Nm, NmMatrix,
};
use sparse_gpu::{
    Activation, BsrMatmul, BsrSddmm, DenseMatmul, Extras, Gpu, GpuTensor, MatmulPlan, MatmulTypes,
    NmMatmul, NmMatvec, NmSddmm, Transposed, Weights,
};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::support::{assert_within, open, poisoned, read, submit};

/// Tokens, rows and columns of w: none, one, some and many tokens; rows and columns that tiles do not divide.
const SHAPES: [[usize; 3]; 5] = [
    [0, 8, 8],
    [1, 96, 200],
    [7, 61, 97],
    [33, 48, 100],
    [150, 96, 256],
];
const PATTERNS: [(usize, usize, usize); 4] = [(2, 4, 1), (2, 4, 8), (2, 8, 8), (4, 8, 16)];
const BLOCKS: [(usize, usize); 3] = [(16, 16), (8, 32), (5, 7)];

fn matrix<T: Element>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    normal_matrix(rows, cols, seed).unwrap()
}

/// Runs a plan and compares its result with the reference of sums of at most `terms` products.
async fn check(
    gpu: &Gpu,
    plan: &MatmulPlan,
    (w, x): (Weights<'_>, &GpuTensor),
    reference: &MatmulReference,
    terms: usize,
) {
    let mut y = poisoned(gpu, &[reference.tokens, reference.n_out]);
    submit(gpu, |pass| plan.record(pass, w, x, &mut y));
    let bounds = matmul_bounds(reference, terms, sparse_core::Activation::None, DType::F32);
    let what = &plan.explain().kernel;
    assert_within(what, read(gpu, &y).await, &reference.y, &bounds);
}

async fn every_format<T: Element>() {
    let gpu = &open().await;
    let types = MatmulTypes {
        x: T::DTYPE,
        w: T::DTYPE,
        y: DType::F32,
    };
    for [tokens, n_out, k_in] in SHAPES {
        let (x, w) = (matrix::<T>(tokens, k_in, 1), matrix::<T>(n_out, k_in, 2));
        let on_gpu = &gpu.upload(&x).unwrap();

        let dense = DenseMatmul {
            types,
            ..DenseMatmul::new(tokens, n_out, k_in)
        };
        let plan = gpu.plan(&dense).await.unwrap();
        let reference = dense_matmul(&x, &w, &Epilogue::NONE).unwrap();
        check(
            gpu,
            &plan,
            ((&gpu.upload(&w).unwrap()).into(), on_gpu),
            &reference,
            k_in,
        )
        .await;

        for (n, m, v) in PATTERNS {
            let pattern = Nm::try_new(n, m, v).unwrap();
            let pruned = NmMatrix::prune(&w, pattern).unwrap();
            let plan = if tokens <= 8 {
                let matvec = NmMatvec {
                    types,
                    ..NmMatvec::new(tokens, n_out, k_in, pattern)
                };
                gpu.plan(&matvec).await.unwrap()
            } else {
                let matmul = NmMatmul {
                    types,
                    ..NmMatmul::new(tokens, n_out, k_in, pattern)
                };
                gpu.plan(&matmul).await.unwrap()
            };
            let reference = nm_matmul(&x, &pruned, &Epilogue::NONE).unwrap();
            let terms = pruned.kept_per_row();
            let pruned = gpu.upload_nm(&pruned).unwrap();
            check(gpu, &plan, ((&pruned).into(), on_gpu), &reference, terms).await;
        }

        for block in BLOCKS {
            let pruned = BsrMatrix::prune(&w, block, BlockBudget::Density(0.4)).unwrap();
            let matmul = BsrMatmul {
                types,
                ..BsrMatmul::new(tokens, n_out, k_in, block)
            };
            let plan = gpu.plan(&matmul).await.unwrap();
            let reference = bsr_matmul(&x, &pruned, &Epilogue::NONE).unwrap();
            let pruned = gpu.upload_bsr(&pruned).unwrap();
            check(gpu, &plan, ((&pruned).into(), on_gpu), &reference, k_in).await;
        }
    }
}

#[wasm_bindgen_test]
async fn products_of_f32() {
    every_format::<f32>().await;
}

#[wasm_bindgen_test]
async fn products_of_f16() {
    every_format::<f16>().await;
}

#[wasm_bindgen_test]
async fn products_of_bf16() {
    every_format::<bf16>().await;
}

#[wasm_bindgen_test]
async fn a_transposed_product_and_what_is_added() {
    let gpu = &open().await;
    // dx = dy w of a layer of 48 outputs and 80 inputs.
    let pattern = Nm::try_new(2, 8, 8).unwrap();
    let w = NmMatrix::prune(&matrix::<f32>(48, 80, 1), pattern).unwrap();
    let dy = matrix::<f32>(37, 48, 2);
    let bias = matrix::<f32>(1, 80, 3);
    let problem = NmMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        epilogue: sparse_gpu::Epilogue {
            bias: Some(DType::F32),
            activation: Activation::Gelu,
            ..Default::default()
        },
        ..NmMatmul::new(37, 80, 48, pattern)
    };
    let epilogue = Epilogue {
        bias: Some(bias.data().iter().map(|&b| f64::from(b)).collect()),
        ..Epilogue::NONE.with_activation(sparse_core::Activation::Gelu)
    };
    let reference = nm_matmul_transposed(&dy, &w, &epilogue).unwrap();
    let bias = sparse_core::Tensor::try_new(vec![80], bias.data().to_vec()).unwrap();

    let plan = gpu.plan(&problem).await.unwrap();
    let (w, dy, bias) = (
        gpu.upload_nm(&w).unwrap(),
        gpu.upload(&dy).unwrap(),
        gpu.upload(&bias).unwrap(),
    );
    let mut dx = poisoned(gpu, &[37, 80]);
    let extras = Extras {
        bias: Some(&bias),
        ..Extras::default()
    };
    submit(gpu, |pass| plan.record_with(pass, &w, &dy, extras, &mut dx));
    let bounds = matmul_bounds(&reference, 48, sparse_core::Activation::Gelu, DType::F32);
    assert_within("dx = dy w", read(gpu, &dx).await, &reference.y, &bounds);
}

#[wasm_bindgen_test]
async fn the_gradient_of_blocks() {
    let gpu = &open().await;
    let (dy, x) = (matrix::<f32>(33, 40, 1), matrix::<f32>(33, 70, 2));
    let blocks = matrix::<f32>(40, 70, 3);
    let blocks = BsrMatrix::prune(&blocks, (8, 4), BlockBudget::Density(0.5)).unwrap();
    let none = None::<&BsrMatrix<f32>>;
    let reference = bsr_sddmm(&dy, &x, blocks.selection(), 1.0, 0.0, none).unwrap();
    let bounds = matmul_bounds(&reference, 33, sparse_core::Activation::None, DType::F32);

    let plan = gpu.plan(&BsrSddmm::new(33, 40, 70, (8, 4))).await.unwrap();
    let (dy, x) = (gpu.upload(&dy).unwrap(), gpu.upload(&x).unwrap());
    let mut gradient = gpu.upload_bsr(&blocks).unwrap();
    submit(gpu, |pass| plan.record(pass, &dy, &x, &mut gradient));
    let gradient = gpu.read_bsr::<f32>(&gradient).await.unwrap();
    let values = gradient.values().iter().map(|&v| f64::from(v)).collect();
    assert_within("dy^T x", values, &reference.y, &bounds);
}

#[wasm_bindgen_test]
async fn the_gradient_of_slots() {
    let gpu = &open().await;
    let (dy, x) = (matrix::<f32>(33, 40, 1), matrix::<f32>(33, 70, 2));
    let none = None::<&NmMatrix<f32>>;
    let (on_gpu_dy, on_gpu_x) = (gpu.upload(&dy).unwrap(), gpu.upload(&x).unwrap());
    // Rows that select among all columns, and strips that gather theirs.
    for (n, m, v) in [(2, 4, 1), (2, 8, 8)] {
        let pattern = Nm::try_new(n, m, v).unwrap();
        let w = NmMatrix::prune(&matrix::<f32>(40, 70, 3), pattern).unwrap();
        let reference = nm_sddmm(&dy, &x, &w.selection().unwrap(), 1.0, 0.0, none).unwrap();
        let bounds = matmul_bounds(&reference, 33, sparse_core::Activation::None, DType::F32);

        let plan = gpu.plan(&NmSddmm::new(33, 40, 70, pattern)).await.unwrap();
        let mut gradient = gpu.upload_nm(&w).unwrap();
        submit(gpu, |pass| {
            plan.record(pass, &on_gpu_dy, &on_gpu_x, &mut gradient)
        });
        let gradient = gpu.read_nm::<f32>(&gradient).await.unwrap();
        let values = gradient.values().iter().map(|&v| f64::from(v)).collect();
        assert_within("dy^T x", values, &reference.y, &bounds);
    }
}
