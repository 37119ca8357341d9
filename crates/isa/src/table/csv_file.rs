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

fn parse(text: &str) -> Result<Table> {
    let header = |prefix| text.lines().find_map(|line| line.strip_prefix(prefix));
    let (Some(chip), Some(driver)) = (header(CHIP), header(DRIVER)) else {
        bail!("it does not begin with `{CHIP}..` and `{DRIVER}..`");
    };
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
    fn another_file_is_refused() {
        let message = parse("kernel,spills\n").unwrap_err().to_string();
        assert!(message.contains("# chip: "), "{message}");
    }
}
