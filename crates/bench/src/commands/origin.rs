//! What a result says of the run that it is from.

use std::ffi::OsString;
use std::time::SystemTime;

use serde::Serialize;

use crate::report::utc_date_time;

/// How, by what and when something was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Origin {
    /// The command as it can be typed in a shell, the program without its folder.
    pub(super) command: String,
    /// That of this crate.
    version: &'static str,
    /// See [`utc_date_time`].
    pub(super) date: String,
}

impl Origin {
    /// Of this run, now.
    pub(super) fn now() -> Self {
        Self {
            command: command_line(std::env::args_os().skip(1)),
            version: env!("CARGO_PKG_VERSION"),
            date: utc_date_time(SystemTime::now()),
        }
    }
}

/// A single record and before it what it is from, as one JSON object.
///
/// # Errors
/// Those of the serialiser.
pub(super) fn record_of_this_run(record: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(&Told {
        origin: Origin::now(),
        record,
    })
}

#[derive(Serialize)]
struct Told<'a, T> {
    #[serde(flatten)]
    origin: Origin,
    #[serde(flatten)]
    record: &'a T,
}

fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    std::iter::once("sparse-bench".into())
        .chain(arguments.map(|argument| quoted(&argument.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

/// An argument that a shell would take apart, in quotes.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:,=@%+".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.into(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_typed_again() {
        let arguments = ["compare", "--strategies", "a b,c", "--csv", "it's", ""];
        assert_eq!(
            command_line(arguments.into_iter().map(OsString::from)),
            r"sparse-bench compare --strategies 'a b,c' --csv 'it'\''s' ''"
        );
    }

    #[test]
    fn a_single_record_keeps_its_fields_behind_its_origin() {
        let record = crate::fixture::nm_matmul();
        let told = record_of_this_run(&record).unwrap();
        let alone = serde_json::to_string(&record).unwrap();
        assert!(told.starts_with("{\"command\":\"sparse-bench"), "{told}");
        let (_, behind) = told.split_once(" UTC\",").unwrap();
        assert_eq!(behind, alone.trim_start_matches('{'));
    }
}
