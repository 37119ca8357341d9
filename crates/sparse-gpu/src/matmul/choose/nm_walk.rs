//! Which walk N:M weights get, and why.

#[cfg(test)]
mod tests;

use sparse_core::Nm;
use sparse_shaders::Walk;

use super::{FEW_TOKENS, tile};
use crate::AdapterClass;
use crate::matmul::layout::{rows_of_a_pattern, select_columns};
use crate::matmul::problem::{MatmulProblem, NmVariant};
use crate::matmul::tiles;

/// Selects per row and step up to which expanding beats gathering.
const MOST_SELECTS: usize = 4;
/// Columns per stored weight up to which expanding, which multiplies all columns, beats gathering.
const MOST_EXPANSION: usize = 4;
/// The same on processors, where each row that shares the list gains as much again: against dense, 512 tokens on llvmpipe, 2:2:8 runs 1.29x by lists
/// and 0.95x expanded, 3:2:8 1.64x and 0.95x, 1:2:16 1.43x and 0.93x; lists of twice the density are slower than expanding.
const MOST_EXPANSION_ON_PROCESSORS: usize = 6;
/// Columns of an invocation from which on a leaf of branches is worth the way to it, and no compiler makes selects of it.
const LEAF_COLUMNS: usize = 8;
/// Tokens from which on processors do better with weights that are expanded once than with those that are on the way.
pub(super) const MANY_TOKENS: usize = 128;
/// Rows with one pattern from which on they make a tile, and walk its list.
const ROWS_OF_A_TILE: usize = 4;
/// Rows with one pattern from which on a matrix-vector product walks their list, too.
const ROWS_OF_A_MATVEC: usize = 8;

/// Tokens up to which rows select from registers. With more, the x of all columns that a row selects from take more registers than some makes
/// have. Processors keep them in the cache.
const fn most_tokens_to_select(class: AdapterClass) -> usize {
    if class.is_software() { FEW_TOKENS } else { 1 }
}

/// A pattern, and the walks that there are for rows of it.
#[derive(Clone, Copy)]
struct NmWalks {
    n: usize,
    m: usize,
    v: usize,
    shared: Walk,
    expand: Walk,
    branch: Walk,
    gather: Walk,
}

impl NmWalks {
    fn new(pattern: Nm, n_out: usize) -> Self {
        let (n, m, index_bits) = (pattern.n(), pattern.m(), pattern.index_bits());
        let v = rows_of_a_pattern(pattern.v(), n_out);
        Self {
            n,
            m,
            v,
            shared: Walk::Nm {
                n,
                m,
                v,
                index_bits,
            },
            expand: Walk::NmExpand {
                n,
                m,
                v,
                index_bits,
            },
            branch: Walk::NmBranch {
                n,
                m,
                v,
                index_bits,
            },
            gather: Walk::NmGather {
                n,
                m,
                v,
                index_bits,
            },
        }
    }

    /// Of groups of four columns with one or two stored.
    fn select(self, k_in: usize) -> Option<Walk> {
        let Self { n, m, v, .. } = self;
        (m == 4 && n <= 2).then(|| Walk::NmSelect {
            n,
            v,
            whole_steps: k_in.is_multiple_of(select_columns(n)),
        })
    }

    /// Whether a list saves more multiplications than it costs where few rows share it.
    fn lists_pay(self, class: AdapterClass) -> bool {
        if class.is_software() {
            self.m * self.v > self.n * MOST_EXPANSION_ON_PROCESSORS
        } else {
            self.m > self.n * MOST_EXPANSION
        }
    }
}

/// That of the product over expanded weights, whose rows are padded to multiples of four.
const EXPANDED_FIRST: Walk = Walk::Dense {
    vector_weights: true,
};

/// The walk for weights `[n_out, k_in]` of `pattern`, with the reason where there was a choice.
pub(super) fn nm_walk(
    problem: &MatmulProblem,
    pattern: Nm,
    few: bool,
    class: AdapterClass,
) -> (Walk, Option<String>) {
    let walks = NmWalks::new(pattern, problem.n_out);
    if few && walks.v < ROWS_OF_A_MATVEC {
        let (walk, note) = of_few_tokens(problem, walks, class);
        return (walk, Some(note));
    }
    let (walk, asked) = match problem.nm_variant {
        Some(NmVariant::ExpandFirst) => (EXPANDED_FIRST, "expanding first was asked for"),
        Some(NmVariant::Expand) => (walks.expand, "expanding was asked for"),
        Some(NmVariant::Branch) => (walks.branch, "branching was asked for"),
        None if walks.v >= ROWS_OF_A_TILE || walks.lists_pay(class) => {
            return (walks.shared, None);
        }
        None => return of_own_patterns(problem, walks, class),
    };
    (walk, Some(asked.to_owned()))
}

/// For few tokens, and rows too few of which share a pattern.
fn of_few_tokens(problem: &MatmulProblem, walks: NmWalks, class: AdapterClass) -> (Walk, String) {
    let v = walks.v;
    let select = walks.select(problem.k_in);
    if let (Some(select), true) = (select, problem.tokens <= most_tokens_to_select(class)) {
        let note = format!(
            "{v} row(s) share a pattern: x is loaded for all rows at once and selected in registers, no weight byte is read twice"
        );
        return (select, note);
    }
    let note = format!(
        "{v} row(s) share a pattern: x is gathered for each row, no weight byte is read twice"
    );
    (walks.gather, note)
}

/// For many tokens, and rows too few of which share a pattern, where lists do not pay.
fn of_own_patterns(
    problem: &MatmulProblem,
    walks: NmWalks,
    class: AdapterClass,
) -> (Walk, Option<String>) {
    let NmWalks { n, m, v, .. } = walks;
    if class.is_software() && problem.tokens >= MANY_TOKENS {
        let note = format!(
            "{v} row(s) share a pattern, too few for a tile: for {} tokens, weights are put back in their places once and multiplied as dense ones; \
             4 or more rows (V >= 4) would save multiplications",
            problem.tokens
        );
        return (EXPANDED_FIRST, Some(note));
    }
    if is_branching((n, m)) {
        let (walk, note) = branch_or_expand(problem, walks, class);
        return (walk, Some(note));
    }
    // Without rows to share a list, gathering x for each row costs a load per multiply-add; up to this many selects are cheaper.
    if n * walks.expand.groups_of_a_quad() <= MOST_SELECTS {
        return (walks.expand, Some(expanding(v)));
    }
    (walks.shared, None)
}

/// For patterns that have a kernel with branches, which pays on some makes and in wide tiles.
fn branch_or_expand(
    problem: &MatmulProblem,
    walks: NmWalks,
    class: AdapterClass,
) -> (Walk, String) {
    let (branch, v) = (walks.branch, walks.v);
    let tile = problem
        .tile
        .unwrap_or_else(|| tile(branch, problem.tokens, class));
    let fits = tile.cols >= LEAF_COLUMNS && tile.rows <= branch.most_rows();
    let why_not = match tiles::branching(class) {
        Some(_) if fits => {
            let note = format!(
                "{v} row(s) share a pattern, too few for a tile: each branches on its own, the same way in the whole workgroup, which \
                 saves bytes and multiplications"
            );
            return (branch, note);
        }
        Some(_) => format!(
            "rows do not branch: for {} tokens the tile is {tile}, and it would take {LEAF_COLUMNS} columns or more and {} rows or fewer",
            problem.tokens,
            branch.most_rows()
        ),
        None if class.is_software() => {
            "a branch for each row was measured to be slower on processors".to_owned()
        }
        None => format!("whether a branch for each row pays on {class} is not known"),
    };
    (walks.expand, format!("{}; {why_not}", expanding(v)))
}

/// Whether there is a kernel that branches on rows with `n` of every `m` columns stored.
pub(crate) fn is_branching(n_of_m: (usize, usize)) -> bool {
    Walk::BRANCHES.contains(&n_of_m)
}

fn expanding(v: usize) -> String {
    format!(
        "{v} row(s) share a pattern, too few for a tile: weights are put back in their places on the way, which saves bytes but no \
         multiplications; 4 or more rows (V >= 4) would save both"
    )
}
