//! The heads of a layer as a table for people, on stderr: stdout holds one JSON object.

use comfy_table::{CellAlignment, ContentArrangement, Table};

/// Numbers of one head, or of all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadNumbers {
    pub(super) threshold: Option<f64>,
    pub(super) density: f64,
    pub(super) kept_mass: f64,
    pub(super) relative_l2_error: f64,
}

/// One line per head, `heads` heads for each item, and one for all of them where there is a total.
pub(super) fn table(heads: usize, rows: &[HeadNumbers], total: Option<HeadNumbers>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["head", "threshold", "density", "mass kept", "error"]);
    let items = rows.len().div_ceil(heads.max(1));
    for (at, row) in rows.iter().enumerate() {
        let name = match items {
            ..=1 => at.to_string(),
            _ => format!("item {}, head {}", at / heads, at % heads),
        };
        table.add_row(cells(name, row));
    }
    if let Some(total) = total {
        table.add_row(cells("all".into(), &total));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(name: String, row: &HeadNumbers) -> [String; 5] {
    [
        name,
        row.threshold
            .map_or_else(|| "-".into(), |threshold| format!("{threshold:.4}")),
        format!("{:.4}", row.density),
        format!("{:.4}", row.kept_mass),
        format!("{:.4}", row.relative_l2_error),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_head_and_one_for_all() {
        let row = |threshold| HeadNumbers {
            threshold,
            density: 0.25,
            kept_mass: 0.875,
            relative_l2_error: 0.0625,
        };
        let text = table(2, &[row(Some(0.5)); 4], Some(row(None))).trim_fmt();
        for part in [
            "item 1, head 0",
            "0.5000",
            "0.2500",
            "0.8750",
            "0.0625",
            "all",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!table(2, &[row(None); 2], None).trim_fmt().contains("item"));
    }
}
