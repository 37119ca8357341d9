//! Dense products by cubek-matmul.

use std::rc::Rc;

use cubecl::prelude::Scalar;
use cubecl::server::Handle;
use cubek_matmul::definition::MatmulElems;
use cubek_matmul::launch::launch_ref;
use cubek_matmul::strategy::Strategy;
use cubek_std::InputBinding;
use sparse_core::Matrix;

use super::route::{Route, prepared, tensor};
use super::strategies::matmul_strategies;
use crate::peers::Candidate;
use crate::peers::refused::Refused;

/// The operands of all strategies of one route and one order of w.
#[derive(Debug)]
struct Operands {
    route: Route,
    x: Handle,
    w: Handle,
    /// Of w as `[k_in, n_out]`: as a layer stores it, or turned beforehand.
    w_strides: [usize; 2],
    /// `tokens`, `n_out`, `k_in`.
    sizes: [usize; 3],
}

/// How w lies in memory.
#[derive(Clone, Copy)]
enum Order {
    AsStored,
    Turned,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::AsStored => "w as stored",
            Self::Turned => "w turned",
        }
    }
}

impl Operands {
    fn upload(route: &Route, order: Order, w: &Matrix<f32>, x: &Matrix<f32>) -> Self {
        let (n_out, k_in) = (w.rows(), w.cols());
        let (w, w_strides) = match order {
            Order::AsStored => (route.upload(w.data()), [1, k_in]),
            Order::Turned => (route.upload(w.transposed().data()), [n_out, 1]),
        };
        Self {
            route: route.clone(),
            x: route.upload(x.data()),
            w,
            w_strides,
            sizes: [x.rows(), n_out, k_in],
        }
    }
}

struct CubekMatmul {
    operands: Rc<Operands>,
    strategy: Strategy,
    name: String,
    out: Option<Handle>,
}

/// Every strategy for `y = x w^T`, by every route, with w as a layer stores it and turned beforehand. `w`: the weights with their zeros, or
/// why there are none; `of` says in the names what they are.
pub(in crate::peers) fn matmul(
    routes: &[Route],
    w: Result<&Matrix<f32>, &str>,
    of: &str,
    x: &Matrix<f32>,
) -> Vec<Box<dyn Candidate>> {
    let mut candidates: Vec<Box<dyn Candidate>> = Vec::new();
    for route in routes {
        for order in [Order::AsStored, Order::Turned] {
            let operands = w.map(|w| Rc::new(Operands::upload(route, order, w, x)));
            for strategy in matmul_strategies() {
                let name = format!("cubek {strategy}{of}, {}, {}", order.name(), route.name);
                candidates.push(match &operands {
                    Ok(operands) => Box::new(CubekMatmul {
                        operands: Rc::clone(operands),
                        strategy,
                        name,
                        out: None,
                    }),
                    Err(reason) => Refused::boxed(name, reason),
                });
            }
        }
    }
    candidates
}

impl Candidate for CubekMatmul {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        let Operands { route, sizes, .. } = &*self.operands;
        self.out = Some(route.poisoned(sizes[0] * sizes[1]));
        Ok(())
    }

    fn run(&mut self, repeats: u32) -> anyhow::Result<()> {
        let Operands {
            route,
            x,
            w,
            w_strides,
            sizes: [tokens, n_out, k_in],
            ..
        } = &*self.operands;
        let out = prepared(self.out.as_ref())?;
        let f32_type = f32::elem_type_native();
        for _ in 0..repeats {
            launch_ref(
                &self.strategy,
                &route.client,
                InputBinding::new(tensor(x, &[*tokens, *k_in], &[*k_in, 1]), f32_type),
                InputBinding::new(tensor(w, &[*k_in, *n_out], w_strides), f32_type),
                tensor(out, &[*tokens, *n_out], &[*n_out, 1]),
                &mut MatmulElems::from_single_dtype(f32_type),
            )
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        route.wait(out)
    }

    fn result(&mut self) -> anyhow::Result<Vec<f32>> {
        self.operands.route.read(prepared(self.out.as_ref())?)
    }
}
