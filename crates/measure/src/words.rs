//! Numbers and nouns.

/// `1 file`, `2 files`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let words = [0, 1, 2].map(|count| counted(count, "query head"));
        assert_eq!(words, ["0 query heads", "1 query head", "2 query heads"]);
    }
}
