//! What a compiler said about the variants, and how that is printed.

use std::time::Duration;

use anyhow::Result;

use crate::print::print;

/// One variant that a compiler refused or warned of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The variant's name.
    pub(super) variant: String,
    /// Refused, or taken with a warning.
    pub(super) refused: bool,
    /// The compiler's own words.
    pub(super) message: String,
}

/// What became of asking one compiler.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It read so many distinct texts, and said this.
    Ran {
        /// Texts it was handed.
        texts: usize,
        /// Who read them, where that is not plain from the name.
        by: String,
        /// What it did not like.
        complaints: Vec<Complaint>,
    },
    /// It is not here; and how it is to be had.
    NotRun(String),
}

/// Complaints printed whole; the rest are counted.
const SHOWN: usize = 20;
/// Lines of a message that are printed.
const LINES: usize = 8;

impl Outcome {
    /// Prints the outcome under the compiler's name; true where there was nothing to complain of. A compiler that is not here is named, but is no
    /// failure.
    ///
    /// # Errors
    /// What cannot be printed, though somebody reads.
    pub(super) fn print(&self, name: &str, time: Duration) -> Result<bool> {
        let (texts, by, complaints) = match self {
            Self::NotRun(how) => {
                print(format_args!("NOT RUN {name}: {how}"))?;
                return Ok(true);
            }
            Self::Ran {
                texts,
                by,
                complaints,
            } => (texts, by, complaints),
        };
        for complaint in complaints.iter().take(SHOWN) {
            print(complaint.text(name))?;
        }
        if complaints.len() > SHOWN {
            print(format_args!("and {} more", complaints.len() - SHOWN))?;
        }
        let refused = complaints.iter().filter(|c| c.refused).count();
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" ({by})")
        };
        print(format_args!(
            "{name}{by}: {texts} texts in {:.1} s, {refused} refused, {} with warnings",
            time.as_secs_f64(),
            complaints.len() - refused
        ))?;
        Ok(complaints.is_empty())
    }
}

impl Complaint {
    fn text(&self, compiler: &str) -> String {
        let what = if self.refused { "REFUSED" } else { "WARNED OF" };
        let lines: Vec<_> = self.message.trim().lines().take(LINES).collect();
        format!(
            "{what} {} by {compiler}: {}",
            self.variant,
            lines.join("\n    ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(complaints: Vec<Complaint>) -> Outcome {
        Outcome::Ran {
            texts: 2,
            by: String::new(),
            complaints,
        }
    }

    #[test]
    fn whatever_a_compiler_complains_of_is_a_failure() {
        let print = |outcome: Outcome| outcome.print("Tint", Duration::ZERO).unwrap();
        assert!(print(outcome(Vec::new())));
        for refused in [false, true] {
            let complaint = Complaint {
                variant: "matmul".to_owned(),
                refused,
                message: "error: no\n".to_owned(),
            };
            assert!(!print(outcome(vec![complaint])));
        }
        assert!(print(Outcome::NotRun("get it".to_owned())));
    }

    #[test]
    fn a_complaint_names_variant_compiler_and_reason() {
        let complaint = Complaint {
            variant: "matmul_dense".to_owned(),
            refused: true,
            message: "error: no\n".to_owned(),
        };
        assert_eq!(
            complaint.text("DXC"),
            "REFUSED matmul_dense by DXC: error: no"
        );
    }
}
