//! The tensors of a matmul: read or generated, their shapes checked against each other.

use std::path::{Path, PathBuf};

use sparse_core::{BlockBudget, DType, ShapeError, synthetic};

use crate::cli::{MatmulArgs, Pattern};
use crate::tensors::{AnyMatrix, TensorFile, TensorFileError, check_out};

const WEIGHTS: &str = "weights [n_out, k]";
const ACTIVATIONS: &str = "activations [tokens, k]";
const BIAS: &str = "a bias [n_out]";

/// The operands of `y = x w^T + bias`.
#[derive(Debug)]
pub(super) struct MatmulInputs {
    /// `[n_out, k]`, not pruned yet.
    pub(super) w: AnyMatrix,
    /// `[tokens, k]`.
    pub(super) x: AnyMatrix,
    /// `[n_out]`.
    pub(super) bias: Option<Vec<f32>>,
    /// Storage of w and x on the device.
    pub(super) dtype: DType,
}

/// Operands that do not fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum MatmulInputError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// x and w differ in k.
    #[error(
        "the activations {input:?} have shape [{tokens}, {x_k}], the weights {tensor:?} [{n_out}, {w_k}]: \
         their last dimensions must be equal"
    )]
    InnerSizes {
        input: String,
        tokens: usize,
        x_k: usize,
        tensor: String,
        n_out: usize,
        w_k: usize,
    },
    /// The bias does not have one number per output.
    #[error(
        "the bias {bias:?} has {actual} numbers, the weights {tensor:?} have {n_out} rows: it needs one number per row"
    )]
    BiasLength {
        bias: String,
        actual: usize,
        tensor: String,
        n_out: usize,
    },
    /// A number that the storage type does not hold.
    #[error("{what} hold {value} at {at:?}, which is infinite in {dtype}; take --dtype f32")]
    Beyond {
        what: &'static str,
        value: f64,
        at: [usize; 2],
        dtype: DType,
    },
    /// A block pattern that keeps nothing.
    #[error(
        "{pattern} keeps none of the {blocks} blocks of {tensor:?} [{n_out}, {k}]: the product would be zero; \
         give a density of {one}, which keeps one, or more, or smaller blocks"
    )]
    NoBlock {
        pattern: Pattern,
        blocks: usize,
        tensor: String,
        n_out: usize,
        k: usize,
        one: f64,
    },
    /// Generated activations that no memory can hold.
    #[error("cannot generate the activations, lower --tokens: {0}")]
    Generated(ShapeError),
}

impl MatmulInputs {
    /// Reads what the options name and generates the rest.
    pub(super) fn read(args: &MatmulArgs) -> Result<Self, MatmulInputError> {
        let tiles = args.tiles.tiles.as_ref();
        let files: Vec<&Path> = [Some(&args.weights), args.input.as_ref(), tiles]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        check_out(&args.out, &files)?;
        let mut file = TensorFile::open(&args.weights)?;
        let w = file.matrix(&args.tensor, WEIGHTS)?;
        let (n_out, w_k) = w.shape();
        check_blocks(args.pattern, &args.tensor, (n_out, w_k))?;
        let bias = match &args.bias {
            Some(name) => Some(read_bias(&mut file, name, &args.tensor, n_out)?),
            None => None,
        };
        let x = match (&args.input, &args.input_tensor) {
            (Some(path), Some(name)) => {
                let x = TensorFile::open(path)?.matrix(name, ACTIVATIONS)?;
                let (tokens, x_k) = x.shape();
                if x_k != w_k {
                    return Err(MatmulInputError::InnerSizes {
                        input: name.clone(),
                        tokens,
                        x_k,
                        tensor: args.tensor.clone(),
                        n_out,
                        w_k,
                    });
                }
                x
            }
            _ => AnyMatrix::F32(
                synthetic::normal_matrix(args.tokens, w_k, args.seed)
                    .map_err(MatmulInputError::Generated)?,
            ),
        };
        let dtype = args.dtype.unwrap_or(w.dtype());
        for (what, operand) in [("the weights", &w), ("the activations", &x)] {
            if let Some((at, value)) = operand.first_beyond(dtype) {
                return Err(MatmulInputError::Beyond {
                    what,
                    value,
                    at,
                    dtype,
                });
            }
        }
        Ok(Self { w, x, bias, dtype })
    }
}

/// Refuses a density whose number of blocks, rounded to the nearest, is 0. A matrix without elements has no blocks to keep.
fn check_blocks(
    pattern: Pattern,
    tensor: &str,
    (n_out, k): (usize, usize),
) -> Result<(), MatmulInputError> {
    let Pattern::Bsr {
        block_rows,
        block_cols,
        density,
    } = pattern
    else {
        return Ok(());
    };
    let kept = |budget: BlockBudget| budget.kept_blocks(n_out, k, (block_rows, block_cols));
    // Sizes that make no block-sparse matrix are refused where the weights are pruned.
    let (Ok(0), Ok(blocks @ 1..)) = (
        kept(BlockBudget::Density(density)),
        kept(BlockBudget::Density(1.0)),
    ) else {
        return Ok(());
    };
    Err(MatmulInputError::NoBlock {
        pattern,
        blocks,
        tensor: tensor.into(),
        n_out,
        k,
        one: (blocks as f64).recip(),
    })
}

fn read_bias(
    file: &mut TensorFile,
    name: &str,
    tensor: &str,
    n_out: usize,
) -> Result<Vec<f32>, MatmulInputError> {
    let (_, bias) = file.ranked(name, 1, BIAS)?.cast::<f32>().into_parts();
    if bias.len() != n_out {
        return Err(MatmulInputError::BiasLength {
            bias: name.into(),
            actual: bias.len(),
            tensor: tensor.into(),
            n_out,
        });
    }
    Ok(bias)
}
