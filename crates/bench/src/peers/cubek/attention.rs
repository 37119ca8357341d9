//! Dense attention by cubek-attention.

use std::rc::Rc;

use cubecl::prelude::Scalar;
use cubecl::server::Handle;
use cubek_attention::forward::definition::{
    AccumulatorPrecision, AttentionGlobalTypes, AttentionOptions,
};
use cubek_attention::forward::launch::{Strategy, launch_ref};
use sparse_core::Tensor;
use sparse_core::synthetic::AttentionInputs;

use super::route::{Route, prepared, tensor};
use super::strategies::attention_strategies;
use crate::peers::Candidate;

#[derive(Debug)]
struct Operands {
    route: Route,
    q: Handle,
    k: Handle,
    v: Handle,
    q_shape: [usize; 4],
    k_shape: [usize; 4],
    causal: bool,
}

struct CubekAttention {
    operands: Rc<Operands>,
    strategy: Strategy,
    name: String,
    out: Option<Handle>,
}

/// Every strategy for dense attention, by every route. Heads of k and v that several query heads share are repeated beforehand.
pub(in crate::peers) fn attention(
    routes: &[Route],
    inputs: &AttentionInputs<f32>,
    causal: bool,
) -> Vec<Box<dyn Candidate>> {
    let (&[batch, heads, q_len, head_dim], &[_, kv_heads, k_len, _]) =
        (inputs.q.shape(), inputs.k.shape())
    else {
        return Vec::new();
    };
    let group = heads / kv_heads.max(1);
    let repeated = |tensor: &Tensor<f32>| -> Vec<f32> {
        let of_head = tensor.data().chunks_exact((k_len * head_dim).max(1));
        of_head.flat_map(|head| head.repeat(group)).collect()
    };
    let (k, v) = (repeated(&inputs.k), repeated(&inputs.v));
    let mut candidates: Vec<Box<dyn Candidate>> = Vec::new();
    for route in routes {
        let operands = Rc::new(Operands {
            route: route.clone(),
            q: route.upload(inputs.q.data()),
            k: route.upload(&k),
            v: route.upload(&v),
            q_shape: [batch, heads, q_len, head_dim],
            k_shape: [batch, heads, k_len, head_dim],
            causal,
        });
        for (name, strategy) in attention_strategies() {
            candidates.push(Box::new(CubekAttention {
                operands: Rc::clone(&operands),
                strategy,
                name: format!("cubek attention {name}, {}", route.name),
                out: None,
            }));
        }
    }
    candidates
}

/// Of a tensor whose last size runs fastest.
const fn strides([_, heads, len, dim]: [usize; 4]) -> [usize; 4] {
    [heads * len * dim, len * dim, dim, 1]
}

impl Candidate for CubekAttention {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        let Operands { route, q_shape, .. } = &*self.operands;
        self.out = Some(route.poisoned(q_shape.iter().product()));
        Ok(())
    }

    fn run(&mut self, repeats: u32) -> anyhow::Result<()> {
        let Operands {
            route,
            q,
            k,
            v,
            q_shape,
            k_shape,
            causal,
        } = &*self.operands;
        let out = prepared(self.out.as_ref())?;
        let (q_strides, k_strides) = (strides(*q_shape), strides(*k_shape));
        let types = AttentionGlobalTypes::from_single_float_dtype(
            f32::elem_type_native(),
            AttentionGlobalTypes::mask_dtype(&route.client),
        );
        for _ in 0..repeats {
            launch_ref(
                self.strategy.clone(),
                &route.client,
                tensor(q, q_shape, &q_strides),
                tensor(k, k_shape, &k_strides),
                tensor(v, k_shape, &k_strides),
                None,
                tensor(out, q_shape, &q_strides),
                &types,
                AttentionOptions {
                    causal: *causal,
                    accumulator_precision: AccumulatorPrecision::default(),
                },
            )
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        route.wait(out)
    }

    fn result(&mut self) -> anyhow::Result<Vec<f32>> {
        self.operands.route.read(prepared(self.out.as_ref())?)
    }
}
