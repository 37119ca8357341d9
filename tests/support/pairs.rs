//! Choices in which every two values of different factors meet: what a full product of all factors would be too long for.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::collections::BTreeSet;

/// Rows with one value, `0..levels[f]`, for each factor `f`. Every pair of values of two factors is in at least one of the rows.
///
/// Greedy: a row takes the first pair that has not met, then for each other factor the value that lets most new pairs meet.
pub(crate) fn pairs(levels: &[usize]) -> Vec<Vec<usize>> {
    let factors = 0..levels.len();
    let mut missing = BTreeSet::new();
    for f in factors.clone() {
        for g in f + 1..levels.len() {
            for a in 0..levels[f] {
                missing.extend((0..levels[g]).map(|b| (f, a, g, b)));
            }
        }
    }
    let mut rows = Vec::new();
    while let Some(&(f, a, g, b)) = missing.first() {
        let mut row = vec![None; levels.len()];
        (row[f], row[g]) = (Some(a), Some(b));
        for h in factors.clone() {
            if row[h].is_some() {
                continue;
            }
            let meets = |value: usize| {
                let others = row.iter().enumerate();
                others
                    .filter(|&(i, other)| {
                        other
                            .is_some_and(|other| missing.contains(&ordered((h, value), (i, other))))
                    })
                    .count()
            };
            // Of equals another one each time, so that values are used alike.
            let turn = rows.len();
            row[h] = (0..levels[h])
                .map(|i| (i + turn) % levels[h])
                .max_by_key(|&value| meets(value));
        }
        let row: Vec<usize> = row.into_iter().map(|value| value.unwrap_or(0)).collect();
        for f in factors.clone() {
            for g in f + 1..levels.len() {
                missing.remove(&(f, row[f], g, row[g]));
            }
        }
        rows.push(row);
    }
    rows
}

fn ordered(a: (usize, usize), b: (usize, usize)) -> (usize, usize, usize, usize) {
    if a.0 < b.0 {
        (a.0, a.1, b.0, b.1)
    } else {
        (b.0, b.1, a.0, a.1)
    }
}
