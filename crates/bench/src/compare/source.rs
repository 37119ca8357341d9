//! Where the numbers of a row come from.

use std::path::Path;

use sparse_core::{Element, Matrix, Nm, synthetic};
use sparse_gpu::Tier;

use crate::cli::{Operation, Pattern};
use crate::presets::MatmulCase;
use crate::tensors::{TensorFile, TensorFileError};

/// At most this many matrices of a file are measured.
const MOST_MATRICES: usize = 3;
/// Rows of the generated activations for real weights.
const TOKENS: usize = 256;

/// What a record says of operands that no file gave.
pub const GENERATED: &str = "generated";

/// What a record says of the operands of attention that are read from `path`.
pub fn source_of_qkv(path: &Path) -> String {
    format!("q, k and v of {}", path.display())
}

/// What a record says of one tensor of a file.
pub fn source_of_tensor(operand: &str, tensor: &str, path: &Path) -> String {
    format!("{operand} {tensor:?} of {}", path.display())
}

/// A linear layer and its weights.
#[derive(Clone, Debug)]
pub struct MatmulRow {
    /// Sizes and pattern.
    pub case: MatmulCase,
    /// Name of the weights in the file of real weights; none where they are generated.
    pub tensor: Option<String>,
    /// Which kernels compute it.
    pub tier: Tier,
}

impl MatmulRow {
    /// What a record says of the operands; `weights` is the file of real ones.
    pub fn source(&self, weights: Option<&Path>) -> String {
        match (&self.tensor, weights) {
            (Some(tensor), Some(path)) => {
                format!("{}, x {GENERATED}", source_of_tensor("w", tensor, path))
            }
            _ => GENERATED.into(),
        }
    }

    /// Weights `[n_out, k_in]` and activations `[tokens, k_in]`: real ones from `weights`, or seeded normal numbers.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn operands<T: Element>(
        &self,
        weights: Option<&mut TensorFile>,
    ) -> anyhow::Result<(Matrix<T>, Matrix<T>)> {
        let case = &self.case;
        let w = match (&self.tensor, weights) {
            (Some(name), Some(file)) => file.matrix(name, "weights [n_out, k]")?.cast(),
            _ => synthetic::normal_matrix(case.n_out, case.k_in, 1)?,
        };
        Ok((w, synthetic::normal_matrix(case.tokens, case.k_in, 2)?))
    }
}

/// The rows for the largest matrices of a file of real weights, one of each shape.
///
/// # Errors
/// Where the file cannot be read.
pub fn rows_of_weights(path: &Path) -> Result<Vec<MatmulRow>, TensorFileError> {
    let mut file = TensorFile::open(path)?;
    let mut shapes: Vec<(usize, usize, String)> = Vec::new();
    for name in file.names() {
        if let Some(&[n_out, k_in]) = file.shape(&name)
            // Models keep integers beside their weights, positions for one.
            && file.is_readable(&name)
            && n_out > 1
            && k_in > 1
            && !shapes.iter().any(|(n, k, _)| (*n, *k) == (n_out, k_in))
        {
            shapes.push((n_out, k_in, name));
        }
    }
    shapes.sort_by_key(|(n_out, k_in, _)| std::cmp::Reverse(n_out.saturating_mul(*k_in)));
    shapes.truncate(MOST_MATRICES);
    let mut rows = Vec::new();
    for (n_out, k_in, name) in shapes {
        let dtype = file.matrix(&name, "weights [n_out, k]")?.dtype();
        let row = |operation, tokens, pattern| MatmulRow {
            case: MatmulCase {
                operation,
                model: "real weights",
                tokens,
                n_out,
                k_in,
                dtype,
                pattern,
            },
            tensor: Some(name.clone()),
            tier: Tier::Portable,
        };
        rows.push(row(Operation::DenseMatmul, TOKENS, Pattern::Dense));
        for pattern in [Nm::TWO_FOUR, Nm::new(2, 4, 8), Nm::new(2, 8, 8)] {
            rows.push(row(Operation::NmMatmul, TOKENS, Pattern::Nm(pattern)));
        }
        rows.push(row(Operation::NmMatvec, 1, Pattern::Nm(Nm::new(2, 8, 8))));
        for (side, one_of) in [(32, 4_u8), (64, 8)] {
            // Of a small matrix not one block would be kept.
            if n_out.div_ceil(side) * k_in.div_ceil(side) < usize::from(one_of) {
                continue;
            }
            let pattern = Pattern::Bsr {
                block_rows: side,
                block_cols: side,
                density: f64::from(one_of).recip(),
            };
            rows.push(row(Operation::BsrMatmul, TOKENS, pattern));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model file holds integers too, in matrices larger than its weights.
    #[test]
    fn integers_are_no_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let header = r#"{"positions":{"dtype":"I64","shape":[4,64],"data_offsets":[0,2048]},"w":{"dtype":"F16","shape":[4,16],"data_offsets":[2048,2176]}}"#;
        let length = header.len() as u64;
        let bytes = [&length.to_le_bytes()[..], header.as_bytes(), &[0; 2176]].concat();
        std::fs::write(&path, bytes).unwrap();
        let rows = rows_of_weights(&path).unwrap();
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|row| row.tensor.as_deref() == Some("w")));
    }
}
