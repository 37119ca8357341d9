//! A result never replaces what was read, and its place is checked first.

use crate::support::{Folder, counting, refused};

#[test]
fn a_result_does_not_replace_an_operand() {
    let folder = Folder::with(&[("w", counting(&[8, 16])), ("x", counting(&[3, 16]))]);
    let before = std::fs::read(folder.file()).unwrap();
    let file = folder.file();
    // By another path to the same file, too.
    let other = folder
        .file()
        .parent()
        .unwrap()
        .join(".")
        .join("t.safetensors");
    for out in [&file, &other] {
        let message = format!(
            "error: cannot write: it is an input of this command, choose another file: {}\n",
            out.display()
        );
        for command in [
            "matmul --tensor w --pattern 2:4 --tokens 3 --weights",
            "attention --qkv",
        ] {
            let line = format!("{command} {} --out {}", file.display(), out.display());
            refused(&line, &[&message]);
        }
    }
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
}

#[test]
fn reports_are_checked_before_anything_is_measured() {
    for report in ["json", "csv", "html"] {
        refused(
            &format!("compare --{report} no/such/folder/report"),
            &["error: cannot write: ", ": no/such/folder/report\n"],
        );
    }
    let folder = Folder::with(&[("w", counting(&[8, 16]))]);
    let file = folder.file();
    let line = format!("compare --weights {0} --csv {0}", file.display());
    refused(
        &line,
        &["error: cannot write: it is an input of this command"],
    );
}

#[test]
fn no_result_replaces_the_kinds_of_heads_that_were_read() {
    let folder = Folder::with(&[]);
    let kinds = folder.path("kinds.json");
    let text = r#"["dense", "sparse"]"#;
    std::fs::write(&kinds, text).unwrap();
    let (qkv, kinds_file) = (folder.file(), kinds.display());
    for options in ["", "--calibrate --target-error 0.1"] {
        let line = format!("attention --qkv {} {options}", qkv.display());
        refused(
            &format!("{line} --head-kinds {kinds_file} --out {kinds_file}"),
            &["cannot write: it is an input of this command", "kinds.json"],
        );
    }
    assert_eq!(std::fs::read_to_string(kinds).unwrap(), text);
}
