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

/// The operands of all strategies of one route and one order of w.
#[derive(Debug)]
struct Operands {
    route: Route,
    x: Handle,
    w: Handle,
    /// Of w as `[k_in, n_out]`: as a layer stores it, or turned beforehand.
    w_strides: [usize; 2],
    order: &'static str,
    /// `tokens`, `n_out`, `k_in`.
    sizes: [usize; 3],
}

struct CubekMatmul {
    operands: Rc<Operands>,
    strategy: Strategy,
    out: Option<Handle>,
}

/// Every strategy for `y = x w^T`, by every route, with w as a layer stores it and turned beforehand.
pub(in crate::peers) fn matmul(
    routes: &[Route],
    w: &Matrix<f32>,
    x: &Matrix<f32>,
) -> Vec<Box<dyn Candidate>> {
    let (tokens, n_out, k_in) = (x.rows(), w.rows(), w.cols());
    let turned = w.transposed();
    let orders = [
        (w.data(), [1, k_in], "w as stored"),
        (turned.data(), [n_out, 1], "w turned"),
    ];
    let mut candidates: Vec<Box<dyn Candidate>> = Vec::new();
    for route in routes {
        for (numbers, w_strides, order) in orders {
            let operands = Rc::new(Operands {
                route: route.clone(),
                x: route.upload(x.data()),
                w: route.upload(numbers),
                w_strides,
                order,
                sizes: [tokens, n_out, k_in],
            });
            for strategy in matmul_strategies() {
                candidates.push(Box::new(CubekMatmul {
                    operands: Rc::clone(&operands),
                    strategy,
                    out: None,
                }));
            }
        }
    }
    candidates
}

impl Candidate for CubekMatmul {
    fn name(&self) -> String {
        let Operands { route, order, .. } = &*self.operands;
        let strategy = self.strategy.to_string();
        format!("cubek {strategy}, {order}, {}", route.name)
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
