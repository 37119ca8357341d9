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
    /// See [`Peers::open`].
    strategies: Vec<String>,
}

impl Peers {
    /// Opens both on the adapter of `gpu`. The strategies that run are told to be those whose names contain one of `strategies`, if there are
    /// any.
    ///
    /// # Errors
    /// [`PeerError::Unavailable`] where one of them does not find it.
    pub fn open(gpu: &Gpu, strategies: &[String]) -> Result<Self, PeerError> {
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
            strategies: strategies.to_vec(),
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
        if !self.strategies.is_empty() {
            // The best of them is no more than that.
            words.push_str(&format!(
                "; only strategies whose names contain one of {:?} ran, the peer is the best of those",
                self.strategies
            ));
        }
        words
    }

    /// The strategies for `y = x w^T` in f32: for dense weights those of cubek and numr, for sparse ones those of numr, and the dense
    /// products of both over all weights, zeros included: nothing else says what sparsity gains over another library. None for other
    /// storage types.
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
        let w = weights.to_dense().map_err(|error| error.to_string());
        self.products(weights, w.as_ref().map_err(String::as_str), x)
    }

    /// `w`: the weights with their zeros, or why there are none.
    fn products(
        &self,
        weights: &PrunedWeights<f32>,
        w: Result<&Matrix<f32>, &str>,
        x: &Matrix<f32>,
    ) -> Vec<Box<dyn Candidate>> {
        let of = match weights {
            PrunedWeights::Dense(_) => "",
            PrunedWeights::Nm(_) | PrunedWeights::Bsr(_) => " of all weights",
        };
        let mut candidates = self.numr.matmul(weights, w, x);
        candidates.extend(cubek::matmul(&self.routes, w, of, x));
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

#[cfg(test)]
mod tests {
    use sparse_core::synthetic::normal_matrix;

    use super::*;
    use crate::commands::open;
    use crate::interrupt::Interrupt;
    use crate::peers::{Finalists, Outcome};

    /// `--strategies` finds them, and what keeps them from running is told.
    #[test]
    fn strategies_without_operands_keep_their_names() {
        let peers = Peers::open(&open(None).unwrap(), &[]).unwrap();
        let x = normal_matrix(8, 64, 1).unwrap();
        for pattern in ["dense", "2:4", "bsr:8x8@0.5"] {
            let w = normal_matrix(64, 64, 2).unwrap();
            let weights = PrunedWeights::prune(w, pattern.parse().unwrap()).unwrap();
            let names = |candidates: &[Box<dyn Candidate>]| -> Vec<String> {
                candidates.iter().map(|c| c.name()).collect()
            };
            let refused = peers.products(&weights, Err("no memory"), &x);
            assert_eq!(names(&refused), names(&peers.matmul(&weights, &x)));

            let part = ["numr matmul of all weights, w turned".to_owned()];
            let asked_for = Finalists::named(refused, &part);
            let finalists = Finalists::of(asked_for, &Interrupt::default(), &|_| Ok(0.0));
            let (told, _) = finalists.finish(Vec::new());
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].outcome, Outcome::Refused("no memory".into()));
        }
    }
}
