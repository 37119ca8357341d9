//! The documents name files, so that people find them; a name that leads nowhere fails here.

use crate::cargo::workspace_root;
use std::path::Path;

/// Where a name in a document can begin: tables leave out the folder that their heading gives.
const BEGINNINGS: [&str; 5] = [
    "",
    "shaders/",
    "crates/sparse-core/src/",
    "crates/sparse-gpu/src/ops/",
    "docs/",
];

/// Where documents lie, besides those of the root.
const FOLDERS: [&str; 6] = [
    "docs",
    "docs/adr",
    "docs/isa",
    "docs/tuning",
    "benches/recorded",
    "tests/data",
];

/// The file and folder names in backticks. Names of the worked example (`xyz`) and of what is written at run time are none.
fn named_files(document: &str) -> Vec<&str> {
    let outside_of_fences = document.split("```").step_by(2);
    let in_backticks = outside_of_fences.flat_map(|text| text.split('`').skip(1).step_by(2));
    in_backticks
        .filter(|name| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        })
        .filter(|name| {
            let ends = [".rs", ".wgsl", ".md", ".toml", "/", "/run"];
            ends.iter().any(|end| name.ends_with(end)) || name.starts_with("crates/")
        })
        .filter(|name| !name.contains("xyz") && !name.starts_with("bench-report"))
        .collect()
}

/// Targets of links to files of this tree, and to headings of them or of the document itself.
fn link_targets(document: &str) -> Vec<&str> {
    let targets = document
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

/// Whether a document has a heading that links name `anchor`: in lower case, with hyphens for spaces, without marks.
fn has_heading(document: &str, anchor: &str) -> bool {
    let outside_of_fences = document.split("```").step_by(2);
    let headings = outside_of_fences.flat_map(|text| text.lines().filter(|l| l.starts_with('#')));
    let name = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(name).any(|name| name == anchor)
}

/// Whether a link of `document` leads somewhere.
fn leads_somewhere(target: &str, document: &str, folder: &Path) -> bool {
    match target.split_once('#') {
        None => folder.join(target).exists(),
        Some(("", anchor)) => has_heading(document, anchor),
        Some((file, anchor)) => std::fs::read_to_string(folder.join(file))
            .is_ok_and(|document| has_heading(&document, anchor)),
    }
}

/// The names in `document` (in folder `folder`) that lead nowhere.
fn broken_names<'a>(document: &'a str, root: &Path, folder: &Path) -> Vec<&'a str> {
    let named = named_files(document).into_iter().filter(|name| {
        !BEGINNINGS
            .iter()
            .any(|begin| root.join(begin).join(name).exists())
    });
    let linked = link_targets(document)
        .into_iter()
        .filter(|target| !leads_somewhere(target, document, folder));
    named.chain(linked).collect()
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = workspace_root().unwrap();
    let mut broken = Vec::new();
    let docs = FOLDERS.iter().flat_map(|folder| {
        std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    });
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name));
    let markdown = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "md");
    for path in top.into_iter().chain(docs.filter(markdown)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let names = broken_names(&text, &root, path.parent().unwrap());
        broken.extend(
            names
                .into_iter()
                .map(|name| format!("{}: {name}", path.display())),
        );
    }
    assert!(
        broken.is_empty(),
        "named but not there:\n{}",
        broken.join("\n")
    );
}

#[test]
fn names_and_links_are_told_from_other_words() {
    let text = "`walks/nm.wgsl` `y [t, o]` `nm_matmul` `crates/x`\n```sh\n`a/b.rs`\n```\n[l](docs/T.md) [w](https://a.b)";
    assert_eq!(named_files(text), ["walks/nm.wgsl", "crates/x"]);
    assert_eq!(link_targets(text), ["docs/T.md"]);
}

#[test]
fn a_name_that_leads_nowhere_is_found() {
    let root = workspace_root().unwrap();
    let text = "`matmul.wgsl`, `no/such/file.rs`, [here](README.md), [there](NOTHERE.md)";
    assert_eq!(
        broken_names(text, &root, &root),
        ["no/such/file.rs", "NOTHERE.md"]
    );
    let text = "# What `it` is, 1.5x\n[a](#what-it-is-15x) [b](README.md#limits) [c](#limits) [d](README.md#limit) [e](NO.md#a)";
    assert_eq!(
        broken_names(text, &root, &root),
        ["#limits", "README.md#limit", "NO.md#a"]
    );
}
