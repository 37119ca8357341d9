//! What there is where no library was built.

use sparse_core::Element;
use sparse_core::Matrix;
use sparse_core::synthetic::AttentionInputs;
use sparse_gpu::Gpu;
use sparse_measure::PrunedWeights;

use super::{Candidate, PeerError};

/// No library.
#[derive(Debug)]
pub enum Peers {}

impl Peers {
    /// There is nothing to open.
    ///
    /// # Errors
    /// Always [`PeerError::NotBuilt`].
    pub fn open(_gpu: &Gpu, _strategies: &[String]) -> Result<Self, PeerError> {
        Err(PeerError::NotBuilt)
    }

    /// Which library runs how.
    pub fn words(&self) -> String {
        match *self {}
    }

    /// The strategies for a linear layer.
    pub fn matmul<T: Element>(
        &self,
        _weights: &PrunedWeights<T>,
        _x: &Matrix<T>,
    ) -> Vec<Box<dyn Candidate>> {
        match *self {}
    }

    /// The strategies for dense attention.
    pub fn attention<T: Element>(
        &self,
        _inputs: &AttentionInputs<T>,
        _causal: bool,
    ) -> Vec<Box<dyn Candidate>> {
        match *self {}
    }
}
