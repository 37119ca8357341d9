//! Compilers that are driven by a script in the language whose registry they come from.
//!
//! A script reads `[[name, text], ..]` from the file that its last argument names, and prints a JSON array a line: `["begin", name]` before each
//! text, `["refused", name, message]` or `["warned", name, message]` after it, and `["end"]` at last. A compiler that takes its process
//! down with it is so known by the text it was at.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Complaint, parallel};

/// An interpreter and what it is to run.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) interpreter: PathBuf,
    /// Up to and including the word that makes it read the script from its input.
    pub(super) arguments: Vec<OsString>,
    pub(super) text: &'static str,
    /// Where it runs: where its packages are.
    pub(super) folder: Option<PathBuf>,
}

impl Script {
    /// Hands the texts out to one process a core.
    pub(super) fn run(&self, texts: &[(&str, &str)], scratch: &Path) -> Result<Vec<Complaint>> {
        let processes = parallel::cores().min(texts.len()).max(1);
        // By turns, since neighbours cost alike.
        let shares: Vec<Vec<_>> = (0..processes)
            .map(|first| texts.iter().skip(first).step_by(processes).collect())
            .collect();
        let answers = parallel::map(&shares, |thread, share| {
            let file = scratch.join(format!("{thread}.json"));
            std::fs::write(&file, serde_json::to_string(share)?)
                .with_context(|| format!("the texts cannot be written: {}", file.display()))?;
            self.run_process(&file)
        });
        let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        Ok(answers.into_iter().flatten().collect())
    }

    fn run_process(&self, file: &Path) -> Result<Vec<Complaint>> {
        let mut command = Command::new(&self.interpreter);
        command.args(&self.arguments).arg(file);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", self.interpreter.display()))?;
        let mut input = child.stdin.take().context("the script has no input")?;
        input.write_all(self.text.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        let (complaints, last) = read(&String::from_utf8_lossy(&output.stdout))?;
        match last {
            Last::End if output.status.success() => Ok(complaints),
            Last::At(name) => bail!("its process ended early ({}) at {name}", output.status),
            _ => bail!("its process failed ({})", output.status),
        }
    }
}

/// How far a script came.
#[derive(Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    At(String),
    End,
}

fn read(output: &str) -> Result<(Vec<Complaint>, Last)> {
    let mut complaints = Vec::new();
    let mut last = Last::Nothing;
    for line in output.lines() {
        let words: Vec<String> = serde_json::from_str(line)
            .with_context(|| format!("not a line of a script: {line}"))?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["begin", name] => last = Last::At(name.to_owned()),
            ["end"] => last = Last::End,
            [what @ ("refused" | "warned"), name, message] => complaints.push(Complaint {
                variant: name.to_owned(),
                refused: what == "refused",
                message: message.to_owned(),
            }),
            _ => bail!("not a line of a script: {line}"),
        }
    }
    Ok((complaints, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_script_become_complaints() {
        let output = "[\"begin\",\"a\"]\n[\"refused\",\"a\",\"no\"]\n[\"begin\",\"b\"]\n[\"warned\",\"b\",\"hm\"]\n";
        let complaint = |variant: &str, refused, message: &str| Complaint {
            variant: variant.to_owned(),
            refused,
            message: message.to_owned(),
        };
        let complaints = vec![complaint("a", true, "no"), complaint("b", false, "hm")];
        let (read_complaints, last) = read(output).unwrap();
        assert_eq!(read_complaints, complaints);
        assert_eq!(last, Last::At("b".to_owned()));
        assert_eq!(read(&format!("{output}[\"end\"]\n")).unwrap().1, Last::End);
        assert_eq!(read("").unwrap().1, Last::Nothing);
        assert!(read("Segmentation fault\n").is_err());
    }
}
