//! What was found, as a table for people.

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use sparse_measure::milliseconds;

use super::finding::{Finding, Verdict};

const HEADER: [&str; 9] = [
    "kernel",
    "problem",
    "tried",
    "default tile",
    "ms",
    "best other",
    "ms",
    "gain",
    "spread",
];

/// The default of every case beside the best other tile that was found.
pub fn findings_table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([&HEADER[..], &["verdict"]].concat());
    for finding in findings {
        table.add_row(cells(finding));
    }
    for column in [2, 4, 6, 7, 8] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn cells(finding: &Finding) -> Vec<Cell> {
    let dash = || "-".to_owned();
    let best = finding.best.as_ref();
    let (verdict, colour) = match finding.verdict {
        Verdict::Displaced => ("taken", Color::Green),
        Verdict::WithinSpread => ("default: within the spread", Color::Yellow),
        Verdict::DefaultIsBest => ("default: none was faster", Color::Reset),
        Verdict::RunsDense => ("runs the dense kernel: tune dense_matmul", Color::Reset),
    };
    vec![
        Cell::new(finding.default.kernel_words()),
        Cell::new(&finding.case),
        Cell::new(finding.tried),
        Cell::new(finding.default.tile_words()),
        Cell::new(milliseconds(finding.default_ms)),
        Cell::new(best.map_or_else(dash, |best| best.kernel.tile_words())),
        Cell::new(best.map_or_else(dash, |best| milliseconds(best.ms))),
        Cell::new(best.map_or_else(dash, |best| format!("{:.2}x", best.gain.median))),
        Cell::new(best.map_or_else(dash, |best| format!("{:.1} %", best.gain.spread * 100.0))),
        Cell::new(verdict).fg(colour),
    ]
}
