//! The libraries together.

use std::any::Any;

use sparse_core::synthetic::AttentionInputs;
use sparse_core::{Element, Matrix};
use sparse_gpu::Gpu;
use sparse_measure::PrunedWeights;

use super::cubek::{self, Route};
use super::numr::Numr;
use super::{Candidate, PeerError};

/// cubek and numr on the adapter that we measure on, each with a device of its own there.
#[derive(Debug)]
pub struct Peers {
    adapter: String,
    routes: Vec<Route>,
    numr: Numr,
    refusals: Vec<String>,
}

impl Peers {
    /// Opens both on the adapter of `gpu`.
    ///
    /// # Errors
    /// [`PeerError::Unavailable`] where one of them does not find it.
    pub fn open(gpu: &Gpu) -> Result<Self, PeerError> {
        let unavailable = |library, message| PeerError::Unavailable {
            library,
            adapter: gpu.adapter().name.clone(),
            message,
        };
        let (routes, refusals) = cubek::routes(gpu);
        if routes.is_empty() {
            return Err(unavailable("cubecl 0.11.3", refusals.join("; ")));
        }
        let numr = Numr::open(gpu).map_err(|message| unavailable("numr 0.14.0", message))?;
        Ok(Self {
            adapter: gpu.adapter().name.clone(),
            routes,
            numr,
            refusals,
        })
    }

    /// Which library runs how.
    pub fn words(&self) -> String {
        let routes: Vec<&str> = self.routes.iter().map(|route| route.name).collect();
        let mut words = format!(
            "peers on {}: cubek-matmul and cubek-attention 0.3.1 on cubecl 0.11.3 by {}; numr 0.14.0; each library with a device of its own",
            self.adapter,
            routes.join(" and ")
        );
        for refusal in &self.refusals {
            words.push_str("; ");
            words.push_str(refusal);
        }
        words
    }

    /// The strategies for `y = x w^T` in f32: for dense weights those of cubek and numr, for sparse ones those of numr, its dense product
    /// among them. None for other storage types.
    pub fn matmul<T: Element>(
        &self,
        weights: &PrunedWeights<T>,
        x: &Matrix<T>,
    ) -> Vec<Box<dyn Candidate>> {
        let (Some(weights), Some(x)) = (
            same_type::<_, PrunedWeights<f32>>(weights),
            same_type::<_, Matrix<f32>>(x),
        ) else {
            return Vec::new();
        };
        let mut candidates = self.numr.matmul(weights, x);
        if let PrunedWeights::Dense(w) = weights {
            candidates.extend(cubek::matmul(&self.routes, w, x));
        }
        candidates
    }

    /// The strategies of cubek for dense attention in f32. None for other storage types.
    pub fn attention<T: Element>(
        &self,
        inputs: &AttentionInputs<T>,
        causal: bool,
    ) -> Vec<Box<dyn Candidate>> {
        same_type::<_, AttentionInputs<f32>>(inputs)
            .map(|inputs| cubek::attention(&self.routes, inputs, causal))
            .unwrap_or_default()
    }
}

/// `value` where its type is the one wanted.
fn same_type<A: Any, B: Any>(value: &A) -> Option<&B> {
    (value as &dyn Any).downcast_ref()
}
