//! numr 0.14.0: dense and sparse products.

use std::cell::LazyCell;
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
use super::refused::Refused;

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
    /// sparse ones those in CSR, CSC and COO. `w`: the weights with their zeros, or why there are none.
    pub(super) fn matmul(
        &self,
        weights: &PrunedWeights<f32>,
        w: Result<&Matrix<f32>, &str>,
        x: &Matrix<f32>,
    ) -> Vec<Box<dyn Candidate>> {
        let ways = Way::all(weights);
        let strategies = match w {
            Ok(w) => self.strategies(&ways, w, x),
            Err(reason) => ways.iter().map(|_| Err(reason.to_owned())).collect(),
        };
        let all = ways.into_iter().zip(strategies);
        all.map(|(way, strategy)| match strategy {
            Ok(strategy) => Box::new(NumrMatmul {
                client: self.client.clone(),
                way,
                strategy,
                y: None,
            }) as Box<dyn Candidate>,
            Err(reason) => Refused::boxed(way.name().into(), &reason),
        })
        .collect()
    }

    /// The operands of each way, or what numr says: one that it does not take keeps the others from nothing.
    fn strategies(
        &self,
        ways: &[Way],
        w: &Matrix<f32>,
        x: &Matrix<f32>,
    ) -> Vec<Result<Strategy, String>> {
        let tensor = |m: &Matrix<f32>| {
            NumrTensor::from_slice(m.data(), &[m.rows(), m.cols()], &self.device).map_err(words)
        };
        let w_on_gpu = LazyCell::new(|| tensor(w));
        let x_on_gpu = LazyCell::new(|| tensor(x).map(Rc::new));
        // Turned beforehand, so that only the product is timed; y comes out turned.
        let x_turned = LazyCell::new(|| tensor(&x.transposed()).map(Rc::new));
        let rows = LazyCell::new(|| Rows::of(w));
        let shape = [w.rows(), w.cols()];
        // The rows of w are the columns of w^T.
        let turned = [w.cols(), w.rows()];
        let of = |way: &Way| {
            Ok(match way {
                Way::TwoOfFour => {
                    let w = w_on_gpu.clone()?;
                    let compressed = self.client.prune_to_24(&w).map_err(words)?;
                    Strategy::TwoOfFour(x_on_gpu.clone()?, compressed)
                }
                Way::Csr => {
                    let Rows {
                        starts,
                        columns,
                        values,
                        ..
                    } = &*rows;
                    let csr = CsrData::from_slices(starts, columns, values, shape, &self.device);
                    let csr = SparseTensor::Csr(csr.map_err(words)?);
                    Strategy::TimesDense(csr, x_turned.clone()?)
                }
                Way::Coo => {
                    let Rows {
                        rows,
                        columns,
                        values,
                        ..
                    } = &*rows;
                    let coo = CooData::from_slices(rows, columns, values, shape, &self.device);
                    let coo = SparseTensor::Coo(coo.map_err(words)?);
                    Strategy::TimesDense(coo, x_turned.clone()?)
                }
                Way::Csc => {
                    let Rows {
                        starts,
                        columns,
                        values,
                        ..
                    } = &*rows;
                    let csc = CscData::from_slices(starts, columns, values, turned, &self.device);
                    let csc = SparseTensor::Csc(csc.map_err(words)?);
                    Strategy::DenseTimes(x_on_gpu.clone()?, csc)
                }
                Way::Turned => Strategy::Dense(x_on_gpu.clone()?, tensor(&w.transposed())?),
                Way::AsStored => {
                    let w = w_on_gpu.clone()?;
                    Strategy::Dense(x_on_gpu.clone()?, w.t().map_err(words)?)
                }
            })
        };
        ways.iter().map(of).collect()
    }
}

fn words(error: numr::error::Error) -> String {
    error.to_string()
}

/// What is multiplied by what.
#[derive(Clone, Copy)]
enum Way {
    /// `x w^T` with the compressed w.
    TwoOfFour,
    /// `w x^T`, w by rows.
    Csr,
    /// The same, w by places.
    Coo,
    /// `x w^T`, `w^T` by columns.
    Csc,
    /// `x w^T` with all weights, turned beforehand.
    Turned,
    /// The same, as a layer stores them.
    AsStored,
}

impl Way {
    fn all(weights: &PrunedWeights<f32>) -> Vec<Self> {
        let mut all = Vec::new();
        if is_two_of_four(weights) {
            all.push(Self::TwoOfFour);
        }
        if !matches!(weights, PrunedWeights::Dense(_)) {
            all.extend([Self::Csr, Self::Coo, Self::Csc]);
        }
        all.extend([Self::Turned, Self::AsStored]);
        all
    }

    const fn name(self) -> &'static str {
        match self {
            Self::TwoOfFour => "numr sparse_24_matmul",
            Self::Csr => "numr spmm CSR, y turned",
            Self::Coo => "numr spmm COO, y turned",
            Self::Csc => "numr dsmm CSC",
            Self::Turned => "numr matmul of all weights, w turned",
            Self::AsStored => "numr matmul of all weights, w as stored",
        }
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

/// The operands of a way.
enum Strategy {
    /// `x w^T` with the compressed w.
    TwoOfFour(Rc<NumrTensor>, Sparse24Tensor<WgpuRuntime>),
    /// `w x^T`, whose result is y turned.
    TimesDense(SparseTensor<WgpuRuntime>, Rc<NumrTensor>),
    /// `x w^T` with a sparse `w^T`.
    DenseTimes(Rc<NumrTensor>, SparseTensor<WgpuRuntime>),
    /// `x w^T` with all weights.
    Dense(Rc<NumrTensor>, NumrTensor),
}

struct NumrMatmul {
    client: WgpuClient,
    way: Way,
    strategy: Strategy,
    y: Option<NumrTensor>,
}

impl Candidate for NumrMatmul {
    fn name(&self) -> String {
        self.way.name().into()
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
                Strategy::TimesDense(w, x) => self.client.spmm(w, x)?,
                Strategy::DenseTimes(x, w) => self.client.dsmm(x, w)?,
                Strategy::Dense(x, w) => self.client.matmul(x, w)?,
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
