//! A table against the one that is checked in.

use super::{Row, Table};

/// One way in which tables differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The kernel.
    pub kernel: String,
    /// What differs, in words.
    pub what: String,
}

/// Every difference between what was checked in and what the compiler makes now. No tolerance: the compilers are deterministic.
pub fn compare(expected: &Table, actual: &Table) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut differ = |row: &Row, what: String| {
        differences.push(Difference {
            kernel: row.kernel.clone(),
            what,
        });
    };
    let find = |table: &Table, row: &Row| {
        let same = |other: &&Row| other.kernel == row.kernel && other.hot_loop == row.hot_loop;
        table.rows.iter().find(same).cloned()
    };
    for row in &expected.rows {
        match find(actual, row) {
            None => differ(row, format!("hot loop {} is gone", row.hot_loop)),
            Some(now) if now != *row => differ(row, changes(row, &now)),
            Some(_) => {}
        }
    }
    for row in &actual.rows {
        if find(expected, row).is_none() {
            differ(row, format!("hot loop {} is new", row.hot_loop));
        }
    }
    differences
}

/// `registers 96 -> 128, spills 0 -> 4`.
fn changes(before: &Row, now: &Row) -> String {
    let fields = |row: &Row| {
        let mut writer = csv::WriterBuilder::new()
            .has_headers(true)
            .from_writer(Vec::new());
        // A row always serialises: it is a flat struct of numbers and words.
        let _ = writer.serialize(row);
        let text = writer.into_inner().unwrap_or_default();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_slice());
        reader.records().filter_map(Result::ok).collect::<Vec<_>>()
    };
    let (before, now) = (fields(before), fields(now));
    let [names, before] = before.as_slice() else {
        return "the row".to_owned();
    };
    let changed = names
        .iter()
        .zip(before)
        .zip(now.get(1).into_iter().flatten());
    let words: Vec<String> = changed
        .filter(|((_, before), now)| before != now)
        .map(|((name, before), now)| format!("{name} {before} -> {now}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(registers: u32, kernel: &str) -> Table {
        let row = Row {
            kernel: kernel.to_owned(),
            hot_loop: "1/1".to_owned(),
            registers,
            ..Row::default()
        };
        Table {
            rows: vec![row],
            ..Table::default()
        }
    }

    #[test]
    fn equal_tables_do_not_differ() {
        assert_eq!(compare(&table(96, "a"), &table(96, "a")), []);
    }

    #[test]
    fn a_changed_number_is_named_with_both_values() {
        let differences = compare(&table(96, "a"), &table(128, "a"));
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].what, "registers 96 -> 128");
    }

    #[test]
    fn kernels_that_come_and_go_are_named() {
        let differences = compare(&table(96, "a"), &table(96, "b"));
        let whats: Vec<_> = differences
            .iter()
            .map(|d| (d.kernel.as_str(), d.what.as_str()))
            .collect();
        assert_eq!(
            whats,
            [("a", "hot loop 1/1 is gone"), ("b", "hot loop 1/1 is new")]
        );
    }
}
