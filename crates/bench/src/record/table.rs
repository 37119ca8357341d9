//! The table in the terminal.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use sparse_measure::milliseconds;

use super::Record;

const HEADER: [&str; 14] = [
    "operation",
    "shape",
    "type",
    "pattern",
    "density",
    "dense ms",
    "sparse ms",
    "speed-up",
    "ideal",
    "of ideal",
    "of roofline",
    "against peer",
    "error/bound",
    "spread",
];
/// Columns from here on hold numbers.
const FIRST_NUMBER: usize = 4;

/// The records as a table for people.
pub fn to_table(records: &[Record]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(HEADER);
    for record in records {
        table.add_row(cells(record));
    }
    for column in table.column_iter_mut().skip(FIRST_NUMBER) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(r: &Record) -> Vec<Cell> {
    let shown =
        |number: Option<f64>, words: fn(f64) -> String| number.map_or_else(|| "-".into(), words);
    let speedup = Cell::new(shown(r.speedup, |speedup| format!("{speedup:.2}x")));
    let ideal = shown(r.ideal_speedup, |ideal| format!("{ideal:.2}x"));
    let share = shown(r.share_of_ideal, |share| format!("{:.0} %", share * 100.0));
    let error = Cell::new(format!("{:.3}", r.max_err_over_bound));
    vec![
        Cell::new(r.op),
        Cell::new(&r.shape),
        Cell::new(r.dtype),
        Cell::new(&r.pattern),
        Cell::new(format!("{:.3}", r.density)),
        Cell::new(shown(r.dense_ms, milliseconds)),
        Cell::new(milliseconds(r.sparse_ms)),
        match r.speedup {
            None => speedup,
            Some(1.0..) => speedup.fg(Color::Green),
            Some(_) => speedup.fg(Color::Yellow),
        },
        Cell::new(ideal),
        Cell::new(share),
        Cell::new(roofline(r)),
        Cell::new(against_peer(r)),
        if r.is_right() {
            error
        } else {
            error.fg(Color::Red)
        },
        Cell::new(format!("{:.1} %", r.spread * 100.0)),
    ]
}

/// The share of what the device can do at best, and which of its rates binds.
fn roofline(r: &Record) -> String {
    r.roofline.map_or_else(
        || "-".into(),
        |roofline| format!("{:.0} % {}", roofline.share * 100.0, roofline.bound.name()),
    )
}

/// How many times as fast as the best other implementation the operation is.
fn against_peer(r: &Record) -> String {
    r.peer.as_ref().map_or_else(
        || "-".into(),
        |peer| {
            let spread = peer.spread * 100.0;
            format!("{:.2}x {}, spread {spread:.1} %", peer.speedup, peer.name)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_row_shows_what_counts() {
        let text = to_table(&[fixture::nm_matmul()]).trim_fmt();
        for part in [
            "nm_matmul",
            "n_out=1024",
            "8:2:8",
            "0.250",
            "120",
            "32.0",
            "3.75x",
            "4.00x",
            "94 %",
            "50 % compute",
            "4.38x cubek, spread 2.0 %",
            "0.210",
            "3.0 %",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn a_row_without_a_baseline_claims_no_speedup() {
        let alone = Record {
            dense_ms: None,
            speedup: None,
            ideal_speedup: None,
            share_of_ideal: None,
            peer: None,
            roofline: None,
            ..fixture::nm_matmul()
        };
        let text = to_table(&[alone]).trim_fmt();
        assert!(text.contains("32.0") && !text.contains("1.00x"), "{text}");
        assert_eq!(text.matches(" - ").count(), 6, "{text}");
    }
}
