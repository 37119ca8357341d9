//! The operands of a product, its reference, and its run on the GPU.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::bsr::{bsr_matmul, bsr_matmul_transposed};
use sparse_core::matmul::dense_matmul;
use sparse_core::nm::{nm_matmul, nm_matmul_transposed};
use sparse_core::prune::BlockBudget;
use sparse_core::{BsrMatrix, Element, MatmulReference, Matrix, NmMatrix, Tensor};
use sparse_gpu::{
    Addend, Batch, BsrMatmul, DenseMatmul, Epilogue, Error, Explanation, Extras, GpuTensor,
    MatmulPlan, MatmulTypes, NmMatmul, NmMatvec, NmVariant, Weights,
};

use super::gpu::{gpu, of_class, poisoned, read, submit};
use super::matmul::{Added, Case, Format, core_activation};

/// Weights of one item.
pub(crate) enum HostWeights<W> {
    Dense(Matrix<W>),
    Nm(NmMatrix<W>),
    Bsr(BsrMatrix<W>),
}

impl<W: Element> HostWeights<W> {
    pub(crate) fn prune(w: Matrix<W>, format: Format) -> Self {
        match format {
            Format::Dense => Self::Dense(w),
            Format::Nm(pattern) | Format::NmMatvec(pattern) => {
                Self::Nm(NmMatrix::prune(&w, pattern).unwrap_or_else(|e| panic!("{e}")))
            }
            Format::Bsr(block, density) => {
                let budget = BlockBudget::Density(density);
                Self::Bsr(BsrMatrix::prune(&w, block, budget).unwrap_or_else(|e| panic!("{e}")))
            }
        }
    }
}

impl<W: Element> HostWeights<W> {
    /// Stored weights of the row that has most, or of the column where w is transposed.
    fn longest_sum(&self, transposed: bool) -> usize {
        let longest = |indptr: &[u32]| {
            let lengths = indptr.windows(2).map(|p| (p[1] - p[0]) as usize);
            lengths.max().unwrap_or(0)
        };
        match self {
            Self::Dense(w) if transposed => w.rows(),
            Self::Dense(w) => w.cols(),
            Self::Nm(w) if transposed => {
                let mut counts = vec![0; w.cols()];
                for row in 0..if w.cols() == 0 { 0 } else { w.rows() } {
                    w.row(row).for_each(|(column, _)| counts[column] += 1);
                }
                counts.into_iter().max().unwrap_or(0)
            }
            Self::Nm(w) => w.kept_per_row(),
            Self::Bsr(w) if transposed => {
                longest(&w.selection().by_column().unwrap().indptr) * w.block().0
            }
            Self::Bsr(w) => longest(w.indptr()) * w.block().1,
        }
    }
}

/// Operands; those of y's shape have the rows of all items one after the other.
pub(crate) struct Inputs<X, W, Y> {
    pub(crate) x: Matrix<X>,
    pub(crate) weights: Vec<HostWeights<W>>,
    pub(crate) bias: Option<Matrix<W>>,
    pub(crate) previous: Option<Matrix<Y>>,
    pub(crate) residual: Option<Matrix<X>>,
}

impl<X: Element, W: Element, Y: Element> Inputs<X, W, Y> {
    /// The reference of one item, and the products of its longest sum.
    pub(crate) fn reference(&self, case: &Case, item: usize) -> (MatmulReference, usize) {
        let mut epilogue = sparse_core::Epilogue::default()
            .with_alpha(case.alpha)
            .with_activation(core_activation(case.activation));
        if let Some(bias) = &self.bias {
            epilogue = epilogue.with_bias(bias.data());
        }
        match case.addend {
            Added::Previous(beta) => {
                if let Some(c) = &self.previous {
                    epilogue = epilogue
                        .with_addend(beta, &rows(c, item, case.tokens))
                        .unwrap();
                }
            }
            Added::Residual(beta) => {
                if let Some(c) = &self.residual {
                    epilogue = epilogue
                        .with_addend(beta, &rows(c, item, case.tokens))
                        .unwrap();
                }
            }
            Added::Nothing => {}
        }
        let x = &rows(&self.x, item, case.tokens);
        let turned = case.transposed.w;
        let weights = &self.weights[item % self.weights.len()];
        let reference = match weights {
            HostWeights::Dense(w) if turned => dense_matmul(x, w.view().transposed(), &epilogue),
            HostWeights::Dense(w) => dense_matmul(x, w, &epilogue),
            HostWeights::Nm(w) if turned => nm_matmul_transposed(x, w, &epilogue),
            HostWeights::Nm(w) => nm_matmul(x, w, &epilogue),
            HostWeights::Bsr(w) if turned => bsr_matmul_transposed(x, w, &epilogue),
            HostWeights::Bsr(w) => bsr_matmul(x, w, &epilogue),
        };
        let terms = weights.longest_sum(turned);
        (reference.unwrap_or_else(|e| panic!("{e}")), terms)
    }
}

fn rows<T: Element>(matrix: &Matrix<T>, item: usize, count: usize) -> Matrix<T> {
    let len = count * matrix.cols();
    let data = matrix.data()[item * len..(item + 1) * len].to_vec();
    Matrix::new(count, matrix.cols(), data)
}

/// Each of `items` matrices of `rows x cols` as its transpose, one after the other.
fn turned<T: Copy>(data: &[T], items: usize, rows: usize, cols: usize) -> Vec<T> {
    let at = |item, c, r| data[(item * rows + r) * cols + c];
    (0..items)
        .flat_map(|item| (0..cols).flat_map(move |c| (0..rows).map(move |r| (item, c, r))))
        .map(|(item, c, r)| at(item, c, r))
        .collect()
}

/// The matrix of all items, as the GPU is to find it.
fn upload<T: Element>(case: &Case, matrix: &Matrix<T>, transposed: bool) -> GpuTensor {
    let (items, rows, cols) = (case.items(), case.tokens, matrix.cols());
    let (data, [rows, cols]) = if transposed {
        (turned(matrix.data(), items, rows, cols), [cols, rows])
    } else {
        (matrix.data().to_vec(), [rows, cols])
    };
    let shape = shape(case.batch, rows, cols);
    gpu()
        .upload(&Tensor::new(shape, data))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn shape(batch: Batch, rows: usize, cols: usize) -> Vec<usize> {
    match batch {
        Batch::None => vec![rows, cols],
        Batch::Shared(items) | Batch::PerItem(items) => vec![items, rows, cols],
    }
}

/// The plan of a case, or why there is none.
pub(crate) fn plan(
    case: &Case,
    types: MatmulTypes,
    epilogue: Epilogue,
) -> Result<MatmulPlan, Error> {
    let gpu = of_class(case.class);
    let Case {
        tokens,
        n_out,
        k_in,
        transposed,
        batch,
        tile,
        variant,
        split_k,
        tier,
        ..
    } = *case;
    match case.format {
        Format::Dense => gpu.plan_blocking(&DenseMatmul {
            types,
            transposed,
            batch,
            epilogue,
            tile,
            split_k,
            tier,
            ..DenseMatmul::new(tokens, n_out, k_in)
        }),
        Format::Nm(p) => gpu.plan_blocking(&NmMatmul {
            types,
            transposed,
            batch,
            epilogue,
            tile,
            variant,
            split_k,
            tier,
            ..NmMatmul::new(tokens, n_out, k_in, p)
        }),
        Format::NmMatvec(p) => gpu.plan_blocking(&NmMatvec {
            types,
            transposed,
            batch,
            epilogue,
            split_k,
            ..NmMatvec::new(tokens, n_out, k_in, p)
        }),
        Format::Bsr(b, _) => gpu.plan_blocking(&BsrMatmul {
            types,
            transposed,
            batch,
            epilogue,
            tile,
            split_k,
            tier,
            ..BsrMatmul::new(tokens, n_out, k_in, b)
        }),
    }
}

/// The result of all items, tokens by features, and how it was computed.
pub(crate) fn on_gpu<X: Element, W: Element, Y: Element>(
    case: &Case,
    inputs: &Inputs<X, W, Y>,
) -> (Vec<f64>, Explanation) {
    let gpu = gpu();
    let types = MatmulTypes {
        x: X::DTYPE,
        w: W::DTYPE,
        y: Y::DTYPE,
    };
    let epilogue = Epilogue {
        alpha: case.alpha,
        addend: match case.addend {
            Added::Nothing => Addend::None,
            Added::Previous(beta) => Addend::Previous { beta },
            Added::Residual(beta) => Addend::Residual {
                beta,
                dtype: X::DTYPE,
            },
        },
        bias: inputs.bias.as_ref().map(|_| W::DTYPE),
        activation: case.activation,
    };
    let plan = plan(case, types, epilogue).unwrap_or_else(|e| panic!("{case:?}: {e}"));
    let x = upload(case, &inputs.x, case.transposed.x);
    let bias = inputs.bias.as_ref().map(|b| {
        let b = Tensor::new(vec![case.n_out], b.data().to_vec());
        gpu.upload(&b).unwrap_or_else(|e| panic!("{e}"))
    });
    let residual = inputs
        .residual
        .as_ref()
        .map(|r| upload(case, r, case.transposed.y));
    let mut y = match &inputs.previous {
        Some(c) => upload(case, c, case.transposed.y),
        None if case.transposed.y => {
            poisoned::<Y>(gpu, &shape(case.batch, case.n_out, case.tokens))
        }
        None => poisoned::<Y>(gpu, &shape(case.batch, case.tokens, case.n_out)),
    };
    let extras = Extras {
        bias: bias.as_ref(),
        residual: residual.as_ref(),
    };
    let mut record = |weights: Weights<'_>| {
        submit(gpu, |pass| {
            plan.record_with(pass, weights, &x, extras, &mut y)
                .unwrap_or_else(|e| panic!("{e}"));
        });
    };
    match inputs.weights.first() {
        Some(HostWeights::Dense(w)) => {
            let all = inputs.weights.iter().flat_map(|w| match w {
                HostWeights::Dense(w) => w.data(),
                _ => &[],
            });
            let shape = match case.batch {
                Batch::PerItem(items) => vec![items, w.rows(), w.cols()],
                _ => vec![w.rows(), w.cols()],
            };
            let w = gpu.upload(&Tensor::new(shape, all.copied().collect()));
            record((&w.unwrap_or_else(|e| panic!("{e}"))).into());
        }
        Some(HostWeights::Nm(w)) => {
            record((&gpu.upload_nm(w).unwrap_or_else(|e| panic!("{e}"))).into());
        }
        Some(HostWeights::Bsr(w)) => {
            record((&gpu.upload_bsr(w).unwrap_or_else(|e| panic!("{e}"))).into());
        }
        None => {}
    }
    let y = read::<Y>(gpu, &y);
    let y = if case.transposed.y {
        turned(&y, case.items(), case.n_out, case.tokens)
    } else {
        y
    };
    (y, plan.explain().clone())
}

/// `x w^T` of these very weights, multiplied in the given variant.
pub(crate) fn nm_product<W: Element>(
    w: &NmMatrix<W>,
    x: &Matrix<f32>,
    variant: NmVariant,
) -> Vec<f64> {
    let shape = [x.rows(), w.rows(), w.cols()];
    let case = Case {
        variant: Some(variant),
        ..Case::new(Format::Nm(w.pattern()), shape)
    };
    let inputs = Inputs::<f32, W, f32> {
        x: x.clone(),
        weights: vec![HostWeights::Nm(w.clone())],
        bias: None,
        previous: None,
        residual: None,
    };
    on_gpu(&case, &inputs).0
}
