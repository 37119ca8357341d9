//! What all matmul problems have in common: storage types, layouts, batch, which kernels may run.

use sparse_core::DType;
pub use sparse_shaders::Tile;

use super::epilogue::Epilogue;
use super::weights::Format;

/// Storage types of a matmul's operands; each may be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulTypes {
    /// Of the activations.
    pub x: DType,
    /// Of the weights.
    pub w: DType,
    /// Of the result.
    pub y: DType,
}

impl MatmulTypes {
    /// The same storage type for everything.
    pub const fn all(dtype: DType) -> Self {
        Self {
            x: dtype,
            w: dtype,
            y: dtype,
        }
    }
}

impl Default for MatmulTypes {
    fn default() -> Self {
        Self::all(DType::F32)
    }
}

/// Which kernels may compute a product.
///
/// ```
/// use sparse_gpu::{DenseMatmul, MatmulTypes, Tier, sparse_core::DType};
/// // f16 weights and activations, f32 results: on cooperative matrices, or an error that says why not.
/// let layer = DenseMatmul {
///     types: MatmulTypes { y: DType::F32, ..MatmulTypes::all(DType::F16) },
///     tier: Tier::CooperativeMatrix,
///     ..DenseMatmul::new(512, 1024, 1024)
/// };
/// assert_eq!(DenseMatmul::new(512, 1024, 1024).tier, Tier::Portable);
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Those that every WebGPU device runs.
    #[default]
    Portable,
    /// Those on cooperative matrices (tensor cores and their like), or an error: f16 times f16, added up in f32. x and w are stored as f16; w is
    /// dense, N:M with a V that is a multiple of the device's matrix size, or of blocks whose both sides are; w is not transposed, and neither a tile
    /// nor an [`NmVariant`] is asked for, which are of portable kernels. Wants [`crate::Gpu::enable_cooperative_matrices`] first.
    CooperativeMatrix,
    /// Cooperative matrices where they are enabled and the problem is made for them, portable kernels otherwise: [`crate::Explanation`] says
    /// which, and why not the others.
    Best,
}

impl Tier {
    /// `portable`, `cooperative-matrix` or `best`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::CooperativeMatrix => "cooperative-matrix",
            Self::Best => "best",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Which operands lie in memory as the transpose of what the formula of the problem says. Nothing is copied for it. The sizes of a problem are those
/// of the formula: `tokens`, `n_out` and `k_in` are rows of y, columns of y and what is summed over, whatever lies transposed.
///
/// The gradients of a dense layer `y = x w^T`, from the `dy [tokens, n_out]` that comes back:
///
/// ```no_run
/// use sparse_gpu::sparse_core::Matrix;
/// use sparse_gpu::{DenseMatmul, Gpu, Transposed};
///
/// let gpu = Gpu::new_blocking()?;
/// let (tokens, n_out, k_in) = (16, 32, 64);
/// # let filled = |rows, cols| gpu.upload(&Matrix::new(rows, cols, vec![1.0_f32; rows * cols]));
/// # let (w, x, dy) = (filled(n_out, k_in)?, filled(tokens, k_in)?, filled(tokens, n_out)?);
/// // dx = dy w, [tokens, k_in]: sums over the outputs. w lies as [summed over, columns of the result].
/// let dx_plan = gpu.plan_blocking(&DenseMatmul {
///     transposed: Transposed { x: false, w: true, y: false },
///     ..DenseMatmul::new(tokens, k_in, n_out)
/// })?;
/// // dw = dy^T x, [n_out, k_in]: sums over the tokens. dy is what the formula calls x, x what it calls w, and both lie transposed.
/// let dw_plan = gpu.plan_blocking(&DenseMatmul {
///     transposed: Transposed { x: true, w: true, y: false },
///     ..DenseMatmul::new(n_out, k_in, tokens)
/// })?;
/// let (mut dx, mut dw) = (dx_plan.new_y()?, dw_plan.new_y()?);
/// # let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// # let mut pass = encoder.begin_compute_pass(&Default::default());
/// dx_plan.record(&mut pass, &w, &dy, &mut dx)?;
/// dw_plan.record(&mut pass, &x, &dy, &mut dw)?;
/// # Ok::<(), sparse_gpu::Error>(())
/// ```
///
/// Of block-sparse weights the gradient is [`BsrSddmm`](crate::BsrSddmm), of N:M weights [`NmSddmm`](crate::NmSddmm).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transposed {
    /// x is `[k_in, tokens]`: activations as columns.
    pub x: bool,
    /// w is `[k_in, n_out]`: the product is `y = x w`. With the weights that the forward product has as `[n_out, k_in]`, and its two sizes
    /// exchanged, this is the gradient `dx = dy w`. N:M weights have their pattern along `n_out` then.
    pub w: bool,
    /// y is `[n_out, tokens]`, and so is a residual. With `x` too, the product is `y = w x`, sparse times dense.
    pub y: bool,
}

impl Transposed {
    /// All operands as the formula says.
    pub const NONE: Self = Self {
        x: false,
        w: false,
        y: false,
    };
}

/// How rows of N:M weights are multiplied that share their pattern with too few others for a tile (V < 4), and transposed weights, whose patterns run
/// along the outputs.
///
/// ```
/// use sparse_gpu::{NmMatmul, NmVariant, sparse_core::Nm};
/// let problem = NmMatmul {
///     variant: Some(NmVariant::Branch),
///     ..NmMatmul::new(1024, 4096, 4096, Nm::TWO_FOUR)
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NmVariant {
    /// Stored weights are put back in their places on the way (walk `nm_expand`): all columns are multiplied, those without a stored weight by
    /// 0, so that a non-finite x gives NaN there. Any pattern.
    Expand,
    /// Each row branches on its pattern, the same way in the whole workgroup (walk `nm_branch`): stored weights are multiplied with
    /// their columns, and nothing else. For 2:4, 1:4 and 1:2, not transposed.
    Branch,
    /// Stored weights are put back in their places first, into scratch memory, and the dense kernel multiplies those: as
    /// [`NmVariant::Expand`], but the way back is gone once a recording, however many tokens there are. Scratch memory is at most 64 MiB or one
    /// tile of rows: larger weights are expanded some rows at a time, for each chunk of tokens anew; transposed ones have to fit
    /// ([`crate::Error::Unavailable`]). Any pattern.
    ExpandFirst,
}

/// A leading dimension of x and y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Batch {
    /// There is none: x and y are matrices.
    #[default]
    None,
    /// x and y are that many matrices, one after the other, and all meet the same w.
    Shared(usize),
    /// So are x, y and w; of dense weights only.
    PerItem(usize),
}

impl Batch {
    /// The leading dimension of x and y, if there is one.
    pub(crate) fn items(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Shared(items) | Self::PerItem(items) => Some(items),
        }
    }

    /// The shape of an operand whose matrices are `rows x cols`.
    pub(crate) fn shape(self, rows: usize, cols: usize) -> Vec<usize> {
        self.items().into_iter().chain([rows, cols]).collect()
    }
}

/// Sizes and options of a product, whatever the format of its weights.
#[derive(Clone, Debug)]
pub(crate) struct MatmulProblem {
    pub(crate) operation: &'static str,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    pub(crate) format: Format,
    pub(crate) types: MatmulTypes,
    pub(crate) transposed: Transposed,
    pub(crate) batch: Batch,
    pub(crate) epilogue: Epilogue,
    pub(crate) tile: Option<Tile>,
    /// Of N:M weights; none: chosen by the plan.
    pub(crate) nm_variant: Option<NmVariant>,
    /// Parts into which k is split; none: chosen by the plan.
    pub(crate) split_k: Option<usize>,
    /// Which kernels may compute it.
    pub(crate) tier: Tier,
    /// The kernel for few tokens or none.
    pub(crate) few_tokens_only: bool,
}
