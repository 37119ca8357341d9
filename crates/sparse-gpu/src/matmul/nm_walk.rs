//! Which walk N:M weights get, and why.

use sparse_core::Nm;
use sparse_shaders::Walk;

use super::engine::{WORD_WEIGHTS, dense_bytes};
use super::problem::{MatmulProblem, NmVariant};
use super::{choose, tiles};
use crate::{AdapterClass, Error};

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
const MANY_TOKENS: usize = 128;
/// Rows with one pattern from which on they make a tile, and walk its list.
const ROWS_OF_A_TILE: usize = 4;

/// Tokens up to which rows select from registers. With more, the x of all columns that a row selects from take more registers than some makes
/// have. Processors keep them in the cache.
const fn most_tokens_to_select(class: AdapterClass) -> usize {
    match class {
        AdapterClass::Software => choose::FEW_TOKENS,
        _ => 1,
    }
}

/// The walk for weights `[n_out, k_in]` of `pattern`, with the reason where there was a choice.
pub(super) fn nm_walk(
    problem: &MatmulProblem,
    pattern: Nm,
    matvec: bool,
    class: AdapterClass,
) -> (Walk, Option<String>) {
    let index_bits = pattern.index_bits();
    let (n, m) = (pattern.n(), pattern.m());
    // A strip longer than w is the only one, and no more of it is computed than there is.
    let v = pattern.v().min(problem.n_out.next_multiple_of(8).max(8));
    if matvec && v < 8 && m == 4 && n <= 2 && problem.tokens <= most_tokens_to_select(class) {
        let note = format!(
            "{v} row(s) share a pattern: x is loaded for all rows at once and selected in registers, no weight byte is read twice"
        );
        let whole_steps = problem.k_in.is_multiple_of(WORD_WEIGHTS / n * 4);
        return (Walk::NmSelect { n, v, whole_steps }, Some(note));
    }
    if matvec && v < 8 {
        let note = format!(
            "{v} row(s) share a pattern: x is gathered for each row, no weight byte is read twice"
        );
        let walk = Walk::NmGather {
            n,
            m,
            v,
            index_bits,
        };
        return (walk, Some(note));
    }
    let expand = Walk::NmExpand {
        n,
        m,
        v,
        index_bits,
    };
    let branch = Walk::NmBranch {
        n,
        m,
        v,
        index_bits,
    };
    // That of the product over expanded weights, whose rows are padded to multiples of four.
    let dense = Walk::Dense {
        vector_weights: true,
    };
    match problem.nm_variant {
        Some(NmVariant::ExpandFirst) => {
            return (dense, Some("expanding first was asked for".to_owned()));
        }
        Some(NmVariant::Expand) => return (expand, Some("expanding was asked for".to_owned())),
        Some(NmVariant::Branch) => return (branch, Some("branching was asked for".to_owned())),
        None => {}
    }
    let lists_pay = match class {
        AdapterClass::Software => m * v > n * MOST_EXPANSION_ON_PROCESSORS,
        _ => m > n * MOST_EXPANSION,
    };
    let expands_first =
        v < ROWS_OF_A_TILE && class == AdapterClass::Software && problem.tokens >= MANY_TOKENS;
    if expands_first && !lists_pay {
        let note = format!(
            "{v} row(s) share a pattern, too few for a tile: for {} tokens, weights are put back in their places once and multiplied as dense ones; \
             4 or more rows (V >= 4) would save multiplications",
            problem.tokens
        );
        return (dense, Some(note));
    }
    if v < ROWS_OF_A_TILE && branches(pattern) && !lists_pay {
        let tile = problem
            .tile
            .unwrap_or_else(|| choose::tile(branch, problem.tokens, class));
        let fits = tile.cols >= LEAF_COLUMNS && tile.rows <= branch.most_rows();
        let why_not = match tiles::branching(class) {
            Some(_) if fits => {
                let note = format!(
                    "{v} row(s) share a pattern, too few for a tile: each branches on its own, the same way in the whole workgroup, which \
                     saves bytes and multiplications"
                );
                return (branch, Some(note));
            }
            Some(_) => format!(
                "rows do not branch: for {} tokens the tile is {tile}, and it would take {LEAF_COLUMNS} columns or more and {} rows or fewer",
                problem.tokens,
                branch.most_rows()
            ),
            None if class == AdapterClass::Software => {
                "a branch for each row was measured to be slower on processors".to_owned()
            }
            None => format!("whether a branch for each row pays on {class} is not known"),
        };
        return (expand, Some(format!("{}; {why_not}", expanding(v))));
    }
    // Without rows to share a list, gathering x for each row costs a load per multiply-add; up to this many selects are cheaper.
    let selects = n * if m % 4 == 0 {
        1
    } else {
        3_usize.div_ceil(m) + 1
    };
    if v < ROWS_OF_A_TILE && selects <= MOST_SELECTS && !lists_pay {
        return (expand, Some(expanding(v)));
    }
    let shared = Walk::Nm {
        n,
        m,
        v,
        index_bits,
    };
    (shared, None)
}

/// The walk for weights `[k_in, n_out]` of `pattern`, with the reason.
pub(super) fn nm_transposed_walk(
    problem: &MatmulProblem,
    pattern: Nm,
    class: AdapterClass,
    scratch: u64,
) -> (Walk, Option<String>) {
    let whole_steps = problem.k_in.is_multiple_of(4);
    let no_lists = "the pattern runs along the outputs, whose lists of k have no fixed length: weights are put back in their places";
    let many = class == AdapterClass::Software && problem.tokens >= MANY_TOKENS;
    let first = match problem.nm_variant {
        Some(variant) => variant == NmVariant::ExpandFirst,
        None => many,
    };
    // Every row of y meets all of them.
    let bytes = dense_bytes(problem.k_in, problem.n_out, problem.types.w);
    if first && bytes <= scratch {
        let walk = Walk::DenseTransposed {
            vector_weights: true,
            whole_steps,
        };
        let note = format!("{no_lists} once and multiplied as dense ones");
        return (walk, Some(note));
    }
    let walk = Walk::NmTransposed {
        n: pattern.n(),
        m: pattern.m(),
        v: pattern.v(),
        index_bits: pattern.index_bits(),
        whole_steps,
    };
    let why = if first {
        format!(
            "; expanded first they would take {bytes} bytes of scratch memory, and {scratch} is what there may be"
        )
    } else {
        String::new()
    };
    let note = format!("{no_lists} on the way, which saves bytes but no multiplications{why}");
    (walk, Some(note))
}

/// Whether there is a kernel that branches on rows of this pattern.
pub(super) fn branches(pattern: Nm) -> bool {
    Walk::BRANCHES.contains(&(pattern.n(), pattern.m()))
}

fn expanding(v: usize) -> String {
    format!(
        "{v} row(s) share a pattern, too few for a tile: weights are put back in their places on the way, which saves bytes but no \
         multiplications; 4 or more rows (V >= 4) would save both"
    )
}

/// Whether the variant that the problem asks for exists.
pub(super) fn check_variant(problem: &MatmulProblem, pattern: Nm) -> Result<(), Error> {
    let Some(variant) = problem.nm_variant else {
        return Ok(());
    };
    let refuse = |reason: String| Err(Error::invalid(problem.operation, reason));
    if variant != NmVariant::Branch {
        return Ok(());
    }
    if problem.transposed.w {
        let reason = "variant Branch with a transposed w, whose patterns run along the outputs; take Expand or ExpandFirst, or leave it to the plan with None";
        return refuse(reason.to_owned());
    }
    if !branches(pattern) {
        return refuse(format!(
            "variant Branch with pattern {pattern}; it exists for 2:4, 1:4 and 1:2, others take Expand or leave it to the plan with None"
        ));
    }
    let branch = Walk::NmBranch {
        n: pattern.n(),
        m: pattern.m(),
        v: 1,
        index_bits: pattern.index_bits(),
    };
    match problem.tile {
        Some(tile) if tile.rows > branch.most_rows() => refuse(format!(
            "variant Branch with pattern {pattern} and a tile of {} rows; it has at most {}, compilers take minutes for more branches one \
             after the other",
            tile.rows,
            branch.most_rows()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::{Batch, Epilogue, Format, MatmulTypes, Transposed};

    fn chosen(
        pattern: &str,
        tokens: usize,
        class: AdapterClass,
        variant: Option<NmVariant>,
    ) -> (&'static str, String) {
        let pattern: Nm = pattern.parse().unwrap();
        let problem = MatmulProblem {
            operation: "nm_matmul",
            tokens,
            n_out: 64,
            k_in: 64,
            format: Format::Nm { pattern },
            types: MatmulTypes::default(),
            transposed: Transposed::NONE,
            batch: Batch::None,
            epilogue: Epilogue::default(),
            tile: None,
            nm_variant: variant,
            split_k: None,
            tier: crate::Tier::Portable,
            few_tokens_only: false,
        };
        let (walk, note) = nm_walk(&problem, pattern, false, class);
        (walk.name(), note.unwrap_or_default())
    }

    #[test]
    fn many_tokens_branch_where_it_pays() {
        for class in AdapterClass::ALL {
            let (walk, note) = chosen("2:4", 4096, class, None);
            let (expected, why) = match class {
                AdapterClass::Software => ("dense", "put back in their places once"),
                _ if tiles::branching(class).is_some() => ("nm_branch", "branches"),
                _ => ("nm_expand", "branch"),
            };
            assert_eq!(walk, expected, "{class}: {note}");
            assert!(note.contains(why), "{class}: {note}");
        }
        assert_eq!(chosen("2:4", 4096, AdapterClass::Amd, None).0, "nm_branch");
        let (walk, note) = chosen("2:4", MANY_TOKENS - 1, AdapterClass::Software, None);
        assert_eq!(walk, "nm_expand");
        assert!(note.contains("slower on processors"), "{note}");
    }

    #[test]
    fn on_processors_lists_of_few_rows_pay_where_they_skip_enough() {
        let walk = |pattern, class| chosen(pattern, 512, class, None).0;
        for (pattern, on_processors) in [
            ("1:4", "dense"),
            ("2:8", "dense"),
            ("2:16", "nm"),
            ("2:2:4", "dense"),
            ("2:2:8", "nm"),
            ("3:2:4", "dense"),
            ("3:2:8", "nm"),
            ("2:1:4", "nm"),
            ("3:1:4", "nm"),
            ("4:2:4", "nm"),
        ] {
            assert_eq!(
                walk(pattern, AdapterClass::Software),
                on_processors,
                "{pattern}"
            );
        }
        assert_eq!(walk("2:2:8", AdapterClass::Other), "nm_expand");
        // Few tokens do not earn the way back to dense weights.
        assert_eq!(
            chosen("2:8", 64, AdapterClass::Software, None).0,
            "nm_expand"
        );
    }

    #[test]
    fn few_tokens_and_shared_patterns_do_not() {
        let (walk, note) = chosen("2:4", 64, AdapterClass::Amd, None);
        assert_eq!(walk, "nm_expand");
        assert!(note.contains("for 64 tokens the tile is 8x4x16"), "{note}");
        assert_eq!(chosen("2:4", 129, AdapterClass::Amd, None).0, "nm_branch");
        assert_eq!(chosen("8:2:4", 4096, AdapterClass::Amd, None).0, "nm");
        assert_eq!(chosen("3:4", 4096, AdapterClass::Amd, None).0, "nm_expand");
    }

    #[test]
    fn the_caller_may_choose() {
        for class in AdapterClass::ALL {
            let of = |variant| chosen("2:4", 9, class, Some(variant)).0;
            assert_eq!(of(NmVariant::Branch), "nm_branch");
            assert_eq!(of(NmVariant::Expand), "nm_expand");
            assert_eq!(of(NmVariant::ExpandFirst), "dense");
        }
    }
}
