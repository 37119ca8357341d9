//! The heads of a layer as a table for people, on stderr: stdout holds one JSON object.

use comfy_table::{CellAlignment, ContentArrangement, Table};

use sparse_core::attention::MaskHeads;

use super::rule::Rule;

/// Numbers of one head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadNumbers {
    pub(super) rule: Rule,
    pub(super) density: f64,
    pub(super) kept_mass: f64,
    pub(super) relative_l2_error: f64,
}

/// One line per head, `heads` heads for each item, and one for all of them where there is a total: density, mass and error. `of`: which heads those are.
pub(super) fn table(
    (heads, of): (usize, MaskHeads),
    rows: &[HeadNumbers],
    total: Option<[f64; 3]>,
) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let head = match of {
        MaskHeads::Query => "head",
        MaskHeads::Key => "key head",
    };
    table.set_header([head, "blocks", "density", "mass kept", "error"]);
    let items = rows.len().div_ceil(heads.max(1));
    for (at, row) in rows.iter().enumerate() {
        let name = match items {
            ..=1 => at.to_string(),
            _ => format!("item {}, head {}", at / heads, at % heads),
        };
        let numbers = [row.density, row.kept_mass, row.relative_l2_error];
        table.add_row(cells(name, row.rule.to_string(), numbers));
    }
    if let Some(total) = total {
        table.add_row(cells("all".into(), String::new(), total));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(name: String, rule: String, numbers: [f64; 3]) -> [String; 5] {
    let [density, kept_mass, error] = numbers.map(|x| format!("{x:.4}"));
    [name, rule, density, kept_mass, error]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_head_and_one_for_all() {
        let row = HeadNumbers {
            rule: Rule::Threshold(0.5),
            density: 0.25,
            kept_mass: 0.875,
            relative_l2_error: 0.0625,
        };
        let text = table((2, MaskHeads::Query), &[row; 4], Some([0.125, 1.0, 0.0])).trim_fmt();
        for part in [
            "item 1, head 0",
            "threshold 0.500",
            "0.2500",
            "0.8750",
            "0.0625",
            "all",
            "0.1250",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let of_keys = table((2, MaskHeads::Key), &[row; 2], None).trim_fmt();
        assert!(!of_keys.contains("item") && of_keys.contains("key head"));
    }
}
