//! Which Linux this is, from `os-release(5)`.

/// What `os-release` says of a distribution's family and name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OsRelease {
    /// `ID`, then the words of `ID_LIKE`: the distribution, then those it derives from.
    pub(crate) families: Vec<String>,
    /// `PRETTY_NAME`, for messages.
    pub(crate) name: String,
}

impl OsRelease {
    /// Reads this machine's file; an absent one gives an unknown distribution.
    pub(crate) fn of_this_machine() -> Self {
        // The second path is the one that the standard names for a system whose /etc is not filled yet.
        ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .map_or_else(Self::default, |text| Self::parse(&text))
    }

    /// Whether the distribution is `family` or derives from it.
    pub(crate) fn is(&self, family: &str) -> bool {
        self.families.iter().any(|known| known == family)
    }

    fn parse(text: &str) -> Self {
        let mut id = Vec::new();
        let mut id_like = Vec::new();
        let mut name = String::new();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = unquoted(value);
            match key {
                "ID" => id = vec![value],
                "ID_LIKE" => id_like = value.split_whitespace().map(str::to_owned).collect(),
                "PRETTY_NAME" => name = value,
                _ => {}
            }
        }
        id.append(&mut id_like);
        Self { families: id, name }
    }
}

/// Values are shell assignments: bare, or in one kind of quotes with backslash escapes.
fn unquoted(value: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' {
            characters.next().unwrap_or('\\')
        } else {
            character
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_has_a_bare_id() {
        let debian =
            OsRelease::parse("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n");
        assert!(debian.is("debian"), "{debian:?}");
        assert_eq!(debian.name, "Debian GNU/Linux 12 (bookworm)");
    }

    #[test]
    fn a_derived_distribution_counts_as_its_parents() {
        let mint = OsRelease::parse("# a comment\nID_LIKE=\"ubuntu debian\"\nID='linuxmint'\n\n");
        assert_eq!(mint.families, ["linuxmint", "ubuntu", "debian"]);
        assert!(mint.is("debian") && !mint.is("fedora"), "{mint:?}");
    }

    #[test]
    fn escapes_inside_quotes_are_undone() {
        assert_eq!(
            OsRelease::parse(r#"PRETTY_NAME="a \"b\" \$c""#).name,
            r#"a "b" $c"#
        );
    }

    #[test]
    fn nonsense_gives_an_unknown_distribution() {
        assert_eq!(
            OsRelease::parse("no assignment here\n=\n"),
            OsRelease::default()
        );
    }
}
