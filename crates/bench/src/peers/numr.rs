//! numr 0.14.0: dense and sparse products.

use std::rc::Rc;

use numr::ops::MatmulOps;
use numr::runtime::RuntimeClient;
use numr::runtime::wgpu::{WgpuClient, WgpuDevice, WgpuRuntime};
use numr::sparse::{
    CooData, CscData, CsrData, Sparse24Ops, Sparse24Tensor, SparseOps, SparseTensor,
};
use numr::tensor::Tensor;
use sparse_core::Matrix;
use sparse_gpu::{Gpu, wgpu};
use sparse_measure::PrunedWeights;

use super::Candidate;

type NumrTensor = Tensor<WgpuRuntime>;

/// numr on our adapter. It opens a device of its own.
#[derive(Debug)]
pub(super) struct Numr {
    client: WgpuClient,
    device: WgpuDevice,
}

impl Numr {
    /// On the adapter of `gpu`, which numr knows by its number among all adapters.
    pub(super) fn open(gpu: &Gpu) -> Result<Self, String> {
        let ours = gpu.adapter();
        let instance = wgpu::Instance::default();
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let index = adapters.iter().position(|adapter| {
            let info = adapter.get_info();
            info.name == ours.name && info.backend.to_string() == ours.backend
        });
        let index = index.ok_or_else(|| format!("{} is not among its adapters", ours.name))?;
        let device = WgpuDevice::new(index);
        let client = WgpuClient::new(device.clone()).map_err(|error| error.to_string())?;
        Ok(Self { client, device })
    }

    /// Every way to multiply: the dense product of the weights with their zeros, for 2:4 the product of the compressed weights, for
    /// sparse ones those in CSR, CSC and COO.
    pub(super) fn matmul(
        &self,
        weights: &PrunedWeights<f32>,
        x: &Matrix<f32>,
    ) -> Vec<Box<dyn Candidate>> {
        let refused = |reason: String| vec![Box::new(Refused(reason)) as Box<dyn Candidate>];
        let w = match weights.to_dense() {
            Ok(w) => w,
            Err(error) => return refused(error.to_string()),
        };
        match self.strategies(weights, &w, x) {
            Ok(strategies) => strategies
                .into_iter()
                .map(|strategy| {
                    Box::new(NumrMatmul {
                        client: self.client.clone(),
                        strategy,
                        y: None,
                    }) as Box<dyn Candidate>
                })
                .collect(),
            Err(error) => refused(error.to_string()),
        }
    }

    /// `w`: the weights with their zeros.
    fn strategies(
        &self,
        weights: &PrunedWeights<f32>,
        w: &Matrix<f32>,
        x: &Matrix<f32>,
    ) -> numr::error::Result<Vec<Strategy>> {
        let tensor =
            |m: &Matrix<f32>| NumrTensor::from_slice(m.data(), &[m.rows(), m.cols()], &self.device);
        let (on_gpu, x_on_gpu) = (tensor(w)?, Rc::new(tensor(x)?));
        let mut all = Vec::new();
        if is_two_of_four(weights) {
            let compressed = self.client.prune_to_24(&on_gpu)?;
            all.push(Strategy::TwoOfFour(Rc::clone(&x_on_gpu), compressed));
        }
        if !matches!(weights, PrunedWeights::Dense(_)) {
            let Rows {
                starts,
                columns,
                values,
                rows,
            } = Rows::of(w);
            let shape = [w.rows(), w.cols()];
            let csr = CsrData::from_slices(&starts, &columns, &values, shape, &self.device)?;
            let coo = CooData::from_slices(&rows, &columns, &values, shape, &self.device)?;
            // The rows of w are the columns of w^T.
            let turned = [w.cols(), w.rows()];
            let csc = CscData::from_slices(&starts, &columns, &values, turned, &self.device)?;
            // Turned beforehand, so that only the product is timed; y comes out turned.
            let x_turned = Rc::new(tensor(&x.transposed())?);
            let csr = SparseTensor::Csr(csr);
            all.push(Strategy::TimesDense("CSR", csr, Rc::clone(&x_turned)));
            all.push(Strategy::TimesDense(
                "COO",
                SparseTensor::Coo(coo),
                x_turned,
            ));
            let csc = SparseTensor::Csc(csc);
            all.push(Strategy::DenseTimes("CSC", Rc::clone(&x_on_gpu), csc));
        }
        let turned = tensor(&w.transposed())?;
        all.push(Strategy::Dense("w turned", Rc::clone(&x_on_gpu), turned));
        all.push(Strategy::Dense("w as stored", x_on_gpu, on_gpu.t()?));
        Ok(all)
    }
}

fn is_two_of_four(weights: &PrunedWeights<f32>) -> bool {
    let PrunedWeights::Nm(w) = weights else {
        return false;
    };
    (w.pattern().n(), w.pattern().m()) == (2, 4) && w.cols().is_multiple_of(4)
}

/// Weights row by row without their zeros.
#[derive(Debug, Default)]
struct Rows {
    starts: Vec<i64>,
    columns: Vec<i64>,
    rows: Vec<i64>,
    values: Vec<f32>,
}

impl Rows {
    fn of(w: &Matrix<f32>) -> Self {
        let mut rows = Self {
            starts: vec![0],
            ..Self::default()
        };
        let mut count = 0;
        for (row, numbers) in (0_i64..).zip(w.data().chunks_exact(w.cols().max(1))) {
            for (column, value) in (0_i64..).zip(numbers) {
                if *value != 0.0 {
                    rows.columns.push(column);
                    rows.rows.push(row);
                    rows.values.push(*value);
                    count += 1;
                }
            }
            rows.starts.push(count);
        }
        rows
    }
}

enum Strategy {
    /// `x w^T` with the compressed w.
    TwoOfFour(Rc<NumrTensor>, Sparse24Tensor<WgpuRuntime>),
    /// `w x^T`, whose result is y turned.
    TimesDense(&'static str, SparseTensor<WgpuRuntime>, Rc<NumrTensor>),
    /// `x w^T` with a sparse `w^T`.
    DenseTimes(&'static str, Rc<NumrTensor>, SparseTensor<WgpuRuntime>),
    /// `x w^T` with all weights.
    Dense(&'static str, Rc<NumrTensor>, NumrTensor),
}

struct NumrMatmul {
    client: WgpuClient,
    strategy: Strategy,
    y: Option<NumrTensor>,
}

impl Candidate for NumrMatmul {
    fn name(&self) -> String {
        match &self.strategy {
            Strategy::TwoOfFour(..) => "numr sparse_24_matmul".into(),
            Strategy::TimesDense(format, ..) => format!("numr spmm {format}, y turned"),
            Strategy::DenseTimes(format, ..) => format!("numr dsmm {format}"),
            Strategy::Dense(order, ..) => format!("numr matmul of all weights, {order}"),
        }
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        // Every run of numr writes into memory of its own.
        self.y = None;
        Ok(())
    }

    fn run(&mut self, repeats: u32) -> anyhow::Result<()> {
        for _ in 0..repeats {
            self.y = Some(match &self.strategy {
                Strategy::TwoOfFour(x, w) => self.client.sparse_24_matmul(x, w)?,
                Strategy::TimesDense(_, w, x) => self.client.spmm(w, x)?,
                Strategy::DenseTimes(_, x, w) => self.client.dsmm(x, w)?,
                Strategy::Dense(_, x, w) => self.client.matmul(x, w)?,
            });
        }
        self.client.synchronize();
        Ok(())
    }

    fn result(&mut self) -> anyhow::Result<Vec<f32>> {
        let y = self.y.as_ref();
        let y = y.ok_or_else(|| anyhow::anyhow!("there is no result before the first run"))?;
        let numbers: Vec<f32> = y.to_vec();
        let &[rows, columns] = y.shape() else {
            anyhow::bail!("the result has shape {:?}", y.shape());
        };
        match self.strategy {
            Strategy::TimesDense(..) => {
                let turned = Matrix::try_new(rows, columns, numbers)?;
                Ok(turned.transposed().into_data())
            }
            _ => Ok(numbers),
        }
    }
}

/// numr did not take the operands.
struct Refused(String);

impl Candidate for Refused {
    fn name(&self) -> String {
        "numr".into()
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("{}", self.0)
    }

    fn run(&mut self, _repeats: u32) -> anyhow::Result<()> {
        self.prepare()
    }

    fn result(&mut self) -> anyhow::Result<Vec<f32>> {
        anyhow::bail!("{}", self.0)
    }
}
