//! A table as a file: three lines of comment, then CSV.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Row, Table};

const CHIP: &str = "# chip: ";
const DRIVER: &str = "# driver: ";
const HINT: &str = "# made by `cargo xtask isa`; docs/isa/README.md says what the columns mean";

/// The text of a table's file.
///
/// # Errors
/// None that a table can have.
pub fn write(table: &Table) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in &table.rows {
        writer.serialize(row)?;
    }
    let rows = String::from_utf8(writer.into_inner()?)?;
    Ok(format!(
        "{CHIP}{}\n{DRIVER}{}\n{HINT}\n{rows}",
        table.chip, table.driver
    ))
}

/// Reads a table's file.
///
/// # Errors
/// A file that is not there, or none of ours.
pub fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the table cannot be read: {}", path.display()))?;
    parse(&text).with_context(|| format!("not a table of `cargo xtask isa`: {}", path.display()))
}

/// Refuses a file that is there and is no table of this chip and driver: another's would be lost, and where it is the one that CI compares with, nothing
/// would be compared from then on.
///
/// # Errors
/// Such a file, or one that cannot be read.
pub fn may_replace(path: &Path, chip: &str, driver: &str) -> Result<()> {
    // Pipes and devices hold no table, and reading them could wait.
    if !path.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the file to replace cannot be read: {}", path.display()))?;
    if text.is_empty() {
        return Ok(());
    }
    let advice = || {
        format!(
            "remove the file first if it shall be replaced: {}",
            path.display()
        )
    };
    let (old_chip, old_driver) = heading(&text)
        .context("the file to replace is no table of `cargo xtask isa`")
        .with_context(advice)?;
    if (old_chip, old_driver) != (chip, driver) {
        bail!(
            "the table to replace is of {old_chip}, {old_driver}; this is {chip}, {driver}; {}",
            advice()
        );
    }
    Ok(())
}

/// Chip and driver.
fn heading(text: &str) -> Result<(&str, &str)> {
    let header = |prefix| text.lines().find_map(|line| line.strip_prefix(prefix));
    let (Some(chip), Some(driver)) = (header(CHIP), header(DRIVER)) else {
        bail!("it does not begin with `{CHIP}..` and `{DRIVER}..`");
    };
    Ok((chip, driver))
}

fn parse(text: &str) -> Result<Table> {
    let (chip, driver) = heading(text)?;
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let rows = reader.deserialize().collect::<Result<Vec<Row>, _>>()?;
    Ok(Table {
        chip: chip.to_owned(),
        driver: driver.to_owned(),
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_its_file() {
        let table = Table {
            chip: "chip".to_owned(),
            driver: "driver 1.2".to_owned(),
            rows: vec![
                Row {
                    kernel: "a, b".to_owned(),
                    waves: Some(4),
                    against_dense: Some(1.03),
                    fma_percent: 12.5,
                    ..Row::default()
                },
                Row::default(),
            ],
        };
        assert_eq!(parse(&write(&table).unwrap()).unwrap(), table);
    }

    #[test]
    fn a_table_replaces_only_one_of_its_chip_and_driver() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let replace = |chip: &str, driver: &str| {
            may_replace(&path, chip, driver).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(replace("chip", "driver 1"), Ok(()), "no file yet");
        std::fs::write(&path, "").unwrap();
        assert_eq!(replace("chip", "driver 1"), Ok(()), "nothing in it");
        let table = Table {
            chip: "chip".to_owned(),
            driver: "driver 1".to_owned(),
            rows: vec![Row::default()],
        };
        // Columns come and go.
        std::fs::write(&path, write(&table).unwrap() + "old,row\n").unwrap();
        assert_eq!(replace("chip", "driver 1"), Ok(()));
        for (chip, driver) in [("chip", "driver 2"), ("other", "driver 1")] {
            let message = replace(chip, driver).unwrap_err();
            assert!(message.contains("is of chip, driver 1"), "{message}");
            assert!(message.contains("remove the file first"), "{message}");
        }
        std::fs::write(&path, "my notes").unwrap();
        let message = replace("chip", "driver 1").unwrap_err();
        assert!(message.contains("is no table"), "{message}");
    }

    #[test]
    fn another_file_is_refused() {
        let message = parse("kernel,spills\n").unwrap_err().to_string();
        assert!(message.contains("# chip: "), "{message}");
    }
}
