//! How many tokens are computed at once.

use sparse_core::DType;

use super::MatmulProblem;
use super::parts::Parts;
use crate::matmul::choose::KernelChoice;
use crate::window::{fit_in, too_large_to_bind, window_bytes};
use crate::{Error, Gpu};

/// Scratch memory for packed activations is kept below this; more tokens go in chunks.
const MOST_PACKED_BYTES: u64 = 64 << 20;

/// What decides how many tokens fit, but for the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunking<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) problem: &'a MatmulProblem,
    pub(super) parts: Parts,
    pub(super) packed_rows: usize,
    /// Storage of packed activations, the same for every kernel of a kind.
    pub(super) packed: DType,
}

impl Chunking<'_> {
    /// The kernel, or the largest smaller one of which a panel can be bound, and the tokens that it takes at once.
    pub(super) fn fit(&self, kernel: KernelChoice) -> Result<(KernelChoice, usize), Error> {
        let mut kernel = kernel;
        let tokens = loop {
            match self.tokens(kernel, self.parts.count) {
                0 => kernel = kernel.smaller().ok_or_else(|| self.refusal(kernel))?,
                tokens => break tokens,
            }
        };
        let MatmulProblem {
            transposed, types, ..
        } = *self.problem;
        // Each chunk of a transposed y has tokens of every row: an odd row ends in the middle of a word.
        let odd_rows = tokens < self.problem.tokens && !self.problem.tokens.is_multiple_of(2);
        if transposed.y && types.y != DType::F32 && odd_rows {
            return Err(self.odd_columns());
        }
        Ok((kernel, tokens))
    }

    /// Tokens whose operands and scratch can be bound at once, and of the kernel for few tokens no more than its one panel; 0 where not even one
    /// panel can be bound.
    fn tokens(&self, kernel: KernelChoice, parts: usize) -> usize {
        let (problem, limit) = (self.problem, window_bytes(self.gpu));
        let panel = kernel.panel();
        let packed = self.packed.bytes() as u64 * self.packed_rows as u64;
        // One panel may take what it needs; several are kept below the cap.
        let cap = limit.min(MOST_PACKED_BYTES.max(packed * panel as u64));
        let packed = fit_in(cap, packed) / panel * panel;
        // A transposed x is bound some rows of k at a time instead.
        let x = if problem.transposed.x {
            usize::MAX
        } else {
            fit_in(limit, (problem.k_in * problem.types.x.bytes()) as u64)
        };
        // Room for f32 sums, should they be needed.
        let sums = fit_in(limit, self.sums_bytes(1, parts));
        let taken = match kernel {
            KernelChoice::Tiled(_) | KernelChoice::Cooperative { .. } => usize::MAX,
            KernelChoice::Matvec(tile) => tile.panel,
        };
        let tokens = packed.min(x).min(sums).min(taken);
        if problem.tokens <= tokens {
            problem.tokens.max(1)
        } else {
            tokens / panel * panel
        }
    }

    /// Bytes of the f32 sums of some tokens.
    fn sums_bytes(&self, tokens: usize, parts: usize) -> u64 {
        (4 * self.problem.n_out as u64)
            .saturating_mul(tokens as u64)
            .saturating_mul(parts as u64)
    }

    /// Why not even one panel of `kernel`, than which there is no smaller one, can be bound.
    fn refusal(&self, kernel: KernelChoice) -> Error {
        let Parts { count, least } = self.parts;
        if count > least && self.tokens(kernel, least) > 0 {
            return self.too_many_parts(kernel);
        }
        let longest = self.packed_rows.max(self.problem.n_out) as u64;
        let panel_bytes = self.packed.bytes() as u64 * kernel.panel() as u64;
        too_long_rows(self.gpu, self.problem, panel_bytes * longest)
    }

    fn too_many_parts(&self, kernel: KernelChoice) -> Error {
        let MatmulProblem {
            operation, n_out, ..
        } = *self.problem;
        let tokens = self.problem.tokens.min(kernel.panel());
        let parts = self.parts.count;
        let what =
            format!("{operation} of {tokens} token(s) with split_k = {parts} and n_out = {n_out}");
        too_large_to_bind(
            self.gpu,
            what,
            self.sums_bytes(tokens, parts),
            "split k in fewer parts, or leave it to the plan with None",
        )
    }

    fn odd_columns(&self) -> Error {
        let MatmulProblem {
            operation,
            tokens,
            types,
            ..
        } = *self.problem;
        Error::Unavailable {
            what: format!(
                "{operation}: a transposed y of {} with {tokens} tokens, an odd number, some at a time",
                types.y
            ),
            needs: "bindings that hold all tokens of the f32 sums and the packed activations"
                .to_owned(),
            has: format!("bindings of {} bytes", window_bytes(self.gpu)),
            hint: "use an even number of tokens, or y in f32".to_owned(),
        }
    }
}

/// `bytes` of rows that belong together cannot be bound.
pub(super) fn too_long_rows(gpu: &Gpu, problem: &MatmulProblem, bytes: u64) -> Error {
    let MatmulProblem {
        operation,
        k_in,
        n_out,
        ..
    } = problem;
    let what = format!("{operation} with k_in = {k_in} and n_out = {n_out}");
    too_large_to_bind(gpu, what, bytes, "split k or n_out")
}
