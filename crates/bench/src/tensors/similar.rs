//! Names near a mistyped one.

/// At most this many names are offered.
const OFFERED: usize = 5;

/// The names that `wanted` may have meant, best first: those that share a part with it, then those few edits away.
pub(super) fn near_names(wanted: &str, names: &[String]) -> Vec<String> {
    let mut ranked: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let distance = edits(wanted, name);
            let contained =
                !wanted.is_empty() && (name.contains(wanted) || wanted.contains(name.as_str()));
            let close = distance * 2 <= wanted.chars().count().max(4);
            (contained || close || names.len() <= OFFERED).then_some((distance, name))
        })
        .collect();
    ranked.sort();
    ranked.truncate(OFFERED);
    ranked.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Levenshtein distance over characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(
            (edits("", "abc"), edits("abc", ""), edits("abc", "abc")),
            (3, 3, 0)
        );
    }

    #[test]
    fn the_nearest_name_comes_first_and_strangers_are_left_out() {
        let names: Vec<String> = (0..9)
            .map(|i| format!("encoder.layer.{i}.dense.weight"))
            .chain(["pooler.bias".into()])
            .collect();
        let near = near_names("encoder.layer.2.dense.wieght", &names);
        assert_eq!(near[0], "encoder.layer.2.dense.weight");
        assert_eq!(near.len(), OFFERED);
        assert_eq!(near_names("pooler", &names), ["pooler.bias"]);
        assert!(near_names("q", &names).is_empty());
    }

    #[test]
    fn a_small_file_offers_all_its_names() {
        let names = ["q".into(), "k".into(), "v".into()];
        assert_eq!(near_names("something else", &names).len(), 3);
    }
}
