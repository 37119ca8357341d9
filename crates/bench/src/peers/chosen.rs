//! Whether `--strategies` names any that exist, before anything is measured.

use sparse_core::synthetic::{AttentionInputs, normal_matrix, normal_tensor};
use sparse_measure::PrunedWeights;

use super::{Candidate, PeerError, Peers};
use crate::cli::Pattern;

/// Rows, columns and tokens of a problem that is made to ask for names only: room for any N:M pattern.
const SIZE: usize = 64;
/// Stands for all blocks, whose sizes are in no name. Of larger ones a small matrix would keep none.
const BLOCKS: Pattern = Pattern::Bsr {
    block_rows: 8,
    block_cols: 8,
    density: 0.5,
};

/// Names of the strategies for an f32 product with weights of `pattern`. They do not depend on its sizes.
///
/// # Errors
/// Where the small problem that is made to ask for them cannot be pruned.
pub fn strategies_for_matmul(peers: &Peers, pattern: Pattern) -> anyhow::Result<Vec<String>> {
    let pattern = match pattern {
        Pattern::Bsr { .. } => BLOCKS,
        other => other,
    };
    let weights = PrunedWeights::<f32>::prune(normal_matrix(SIZE, SIZE, 1)?, pattern)?;
    Ok(names(
        peers.matmul(&weights, &normal_matrix(SIZE, SIZE, 2)?),
    ))
}

/// Names of the strategies for dense attention in f32. They do not depend on its sizes.
///
/// # Errors
/// None for the small problem that is made to ask for them.
pub fn strategies_for_attention(peers: &Peers) -> anyhow::Result<Vec<String>> {
    let tensor = |seed| normal_tensor::<f32>(vec![1, 1, SIZE, SIZE], seed);
    let inputs = AttentionInputs {
        q: tensor(1)?,
        k: tensor(2)?,
        v: tensor(3)?,
    };
    Ok(names(peers.attention(&inputs, true)))
}

fn names(candidates: Vec<Box<dyn Candidate>>) -> Vec<String> {
    let names = candidates.iter().map(|candidate| candidate.name());
    names.collect()
}

/// Checks that each of `parts` stands in one of `known`, the names of all strategies for the rows that are to be measured.
///
/// # Errors
/// [`PeerError::NoSuchStrategy`] for the first that does not.
pub fn check_strategies(parts: &[String], mut known: Vec<String>) -> Result<(), PeerError> {
    let is_known = |part: &str| !part.is_empty() && known.iter().any(|name| name.contains(part));
    let Some(given) = parts.iter().find(|part| !is_known(part)) else {
        return Ok(());
    };
    let given = given.clone();
    known.sort();
    known.dedup();
    Err(PeerError::NoSuchStrategy { given, known })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_text_that_no_strategy_has_in_its_name_lists_those_there_are() {
        let known = words(&["numr spmm CSR", "cubek unit", "numr spmm CSR"]);
        assert_eq!(check_strategies(&[], known.clone()), Ok(()));
        assert_eq!(
            check_strategies(&words(&["CSR", "cubek"]), known.clone()),
            Ok(())
        );
        for wrong in ["cuda", ""] {
            let error = check_strategies(&words(&["CSR", wrong]), known.clone()).unwrap_err();
            let expected = format!(
                "--strategies has {wrong:?}, but no strategy for these rows has that in its name; there are: \n  cubek unit\n  numr spmm CSR"
            );
            assert_eq!(error.to_string(), expected);
        }
        let none = check_strategies(&words(&["CSR"]), Vec::new()).unwrap_err();
        assert!(
            none.to_string()
                .contains("there are: none: other libraries"),
            "{none}"
        );
    }
}
