//! Geometry of the plots of speed-up against density, one for each shape of an operation, both axes logarithmic.

use serde::Serialize;
use sparse_measure::{Ideal, Shape};

use crate::compare::attention::BY_KEY_HEAD;
use crate::record::Record;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
const IDEAL_STEPS: u32 = 48;

/// What the template draws of one operation.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Plot {
    op: &'static str,
    /// The shape, where all points have the same.
    shape: String,
    x_label: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// Where the speed-up is 1.
    even_y: f64,
    ideals: Vec<IdealLine>,
    points: Vec<Point>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct IdealLine {
    label: String,
    path: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Point {
    x: f64,
    y: f64,
    right: bool,
    title: String,
}

/// Fewer densities of a shape make no line; such rows share the plot of their operation.
const LEAST_DENSITIES: usize = 3;

/// A plot for each shape (and sharing of masks) of an operation that was measured at several densities, and one for the other rows of the operation, in the order
/// of the records.
pub(super) fn plots(records: &[Record]) -> Vec<Plot> {
    let mut groups: Vec<(&'static str, Option<Line<'_>>, Vec<&Record>)> = Vec::new();
    for record in records.iter().filter(|record| is_plotted(record)) {
        let shape = has_line(records, record).then_some(Line::of(record));
        let group = groups
            .iter_mut()
            .find(|(op, of, _)| (*op, *of) == (record.op, shape));
        match group {
            Some((_, _, rows)) => rows.push(record),
            None => groups.push((record.op, shape, vec![record])),
        }
    }
    groups
        .into_iter()
        .map(|(op, line, rows)| plot(op, line, &rows))
        .collect()
}

/// Which rows of an operation one line joins: those of a shape, and of them those whose query heads share masks apart.
#[derive(Clone, Copy, PartialEq)]
struct Line<'a> {
    shape: &'a Shape,
    shares_masks: bool,
}

impl<'a> Line<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            shape: &record.shape,
            shares_masks: record.pattern.contains(BY_KEY_HEAD),
        }
    }

    fn words(self) -> String {
        let shared = if self.shares_masks { BY_KEY_HEAD } else { "" };
        format!("{}{shared}", self.shape)
    }
}

/// Whether the shape of `record` was measured at several densities.
fn has_line(records: &[Record], record: &Record) -> bool {
    let mut densities: Vec<f64> = records
        .iter()
        .filter(|r| is_plotted(r) && (r.op, Line::of(r)) == (record.op, Line::of(record)))
        .map(|r| r.density)
        .collect();
    densities.sort_by(f64::total_cmp);
    densities.dedup();
    densities.len() >= LEAST_DENSITIES
}

/// Dense rows have no place on an axis of density, and a logarithm needs a positive number.
fn is_plotted(record: &Record) -> bool {
    record.density > 0.0
        && record.density < 1.0
        && kept(record) > 0.0
        && speedup(record) > 0.0
        && speedup(record).is_finite()
}

/// The speed-up of a row that is plotted: others may have none.
fn speedup(record: &Record) -> f64 {
    record.speedup.unwrap_or(f64::NAN)
}

/// What an axis of these rows shows: the kept share of the dense work, which the ideal follows from. Of attention it is not the density, which counts blocks.
fn kept(record: &Record) -> f64 {
    record
        .ideal_speedup
        .map_or(record.density, |speedup| ideal_of(record).kept(speedup))
}

/// Items of packed sequences have scores or none, which no stride tells: their scores are part of what is kept.
fn ideal_of(record: &Record) -> Ideal {
    match record.shape.get("stride") {
        Some(stride) if record.op == "xattention" => Ideal::Xattention {
            stride,
            scored: 1.0,
        },
        _ => Ideal::Kept,
    }
}

/// Words for [`kept`].
fn kept_words(op: &str) -> &'static str {
    match op {
        "block_attention" | "xattention" => "kept share of the pairs of a query and a key",
        "varlen_xattention" => "share of the dense work that is left, scores included",
        _ => "density",
    }
}

fn plot(op: &'static str, line: Option<Line<'_>>, rows: &[&Record]) -> Plot {
    let least = |values: &dyn Fn(&Record) -> f64, start: f64| {
        rows.iter().map(|r| values(r)).fold(start, f64::min)
    };
    let least_kept = least(&kept, 0.1) * 0.8;
    let least_speedup = least(&speedup, 0.8);
    let most_speedup = rows
        .iter()
        .map(|r| speedup(r).max(r.ideal_speedup.unwrap_or(0.0)))
        .filter(|s| s.is_finite())
        .fold(2.0, f64::max)
        * 1.15;
    let scale = |value: f64, low: f64, high: f64| (value / low).ln() / (high / low).ln();
    let x = |kept: f64| LEFT + scale(kept, least_kept, 1.0) * (WIDTH - LEFT - RIGHT);
    let y = |speedup: f64| {
        HEIGHT - BOTTOM - scale(speedup, least_speedup, most_speedup) * (HEIGHT - TOP - BOTTOM)
    };
    let mut ideals: Vec<IdealLine> = Vec::new();
    for ideal in distinct_ideals(rows) {
        ideals.push(IdealLine {
            label: match ideal {
                Ideal::Kept => format!("ideal: 1 / {}", kept_words(op)),
                Ideal::Xattention { stride, .. } => {
                    format!("ideal: 1 / ({} + 1 / {})", kept_words(op), 2 * stride)
                }
            },
            path: ideal_path(ideal, least_kept, most_speedup, x, y),
        });
    }
    Plot {
        op,
        shape: line.map_or_else(|| "several shapes".into(), Line::words),
        x_label: kept_words(op),
        width: WIDTH,
        height: HEIGHT,
        left: LEFT,
        right: WIDTH - RIGHT,
        top: TOP,
        bottom: HEIGHT - BOTTOM,
        x_ticks: ticks(
            &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
            least_kept,
            1.0,
            "",
            x,
        ),
        y_ticks: ticks(
            &[0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
            least_speedup,
            most_speedup,
            "x",
            y,
        ),
        even_y: y(1.0),
        ideals,
        points: rows
            .iter()
            .map(|r| Point {
                x: x(kept(r)),
                y: y(speedup(r)),
                right: r.is_right(),
                title: format!(
                    "{} {} {}: {:.2}x at density {:.3}{}",
                    r.shape,
                    r.dtype,
                    r.pattern,
                    speedup(r),
                    r.density,
                    r.share_of_ideal
                        .map(|share| format!(" ({:.0} % of ideal)", share * 100.0))
                        .unwrap_or_default()
                ),
            })
            .collect(),
    }
}

fn distinct_ideals(rows: &[&Record]) -> Vec<Ideal> {
    let mut ideals = Vec::new();
    for row in rows {
        let ideal = ideal_of(row);
        if !ideals.contains(&ideal) {
            ideals.push(ideal);
        }
    }
    ideals
}

/// The ideal line from all of the work down to where it leaves the plot.
fn ideal_path(
    ideal: Ideal,
    least_kept: f64,
    most_speedup: f64,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) -> String {
    let mut path = String::new();
    for step in 0..=IDEAL_STEPS {
        let kept = least_kept.powf(f64::from(step) / f64::from(IDEAL_STEPS));
        let speedup = ideal.speedup(kept);
        if speedup <= most_speedup {
            let command = if path.is_empty() { 'M' } else { 'L' };
            path.push_str(&format!("{command}{:.1} {:.1}", x(kept), y(speedup)));
        }
    }
    path
}

fn ticks(values: &[f64], low: f64, high: f64, unit: &str, at: impl Fn(f64) -> f64) -> Vec<Tick> {
    values
        .iter()
        .filter(|&&value| (low..=high).contains(&value))
        .map(|&value| Tick {
            at: at(value),
            label: format!("{value}{unit}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_row_at_its_ideal_lies_on_the_ideal_line() {
        let at_ideal = |record: Record| Record {
            speedup: record.ideal_speedup,
            ..record
        };
        assert_on_its_line(at_ideal(fixture::nm_matmul()));
        // Of attention the pairs decide, not the blocks.
        for op in ["block_attention", "xattention", "varlen_xattention"] {
            let rows = fixture::many();
            let row = rows.into_iter().find(|row| row.op == op).unwrap();
            assert_on_its_line(at_ideal(Record {
                density: 2.0 * row.density,
                ..row
            }));
        }
    }

    #[track_caller]
    fn assert_on_its_line(ideal: Record) {
        let plot = plots(&[ideal]).remove(0);
        let point = &plot.points[0];
        let line: Vec<(f64, f64)> = plot.ideals[0].path[1..]
            .split('L')
            .filter_map(|p| p.split_once(' '))
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        let near = line
            .windows(2)
            .find(|w| w[0].0 >= point.x && w[1].0 <= point.x)
            .unwrap();
        let share = (near[0].0 - point.x) / (near[0].0 - near[1].0);
        let y = near[0].1 + (near[1].1 - near[0].1) * share;
        assert!((y - point.y).abs() < 0.5, "{y} {point:?}");
    }

    #[test]
    fn of_packed_sequences_scores_are_part_of_what_is_left() {
        let rows = fixture::many();
        let packed = |row: &&Record| row.op == "varlen_xattention";
        let row = rows.iter().find(packed).unwrap();
        // The score of an item is 1 / 32 of its dense work, whatever share that is of all.
        assert!((kept(row) - (0.3 + 0.9 / 32.0)).abs() < 1e-12);
        let plot = plots(std::slice::from_ref(row)).remove(0);
        assert_eq!(
            plot.ideals[0].label,
            "ideal: 1 / share of the dense work that is left, scores included"
        );
    }

    #[test]
    fn everything_lies_inside_of_the_frame() {
        let slow = Record {
            speedup: Some(0.2),
            density: 0.01,
            ideal_speedup: Some(100.0),
            ..fixture::nm_matmul()
        };
        let plot = plots(&[slow, fixture::nm_matmul()]).remove(0);
        for p in &plot.points {
            assert!((plot.left..=plot.right).contains(&p.x), "{p:?}");
            assert!((plot.top..=plot.bottom).contains(&p.y), "{p:?}");
        }
        assert!((plot.top..=plot.bottom).contains(&plot.even_y));
    }

    #[test]
    fn a_shape_with_several_densities_has_a_plot_of_its_own() {
        let at = |tokens: usize, density: f64| Record {
            shape: Shape::matmul(tokens, 8, 8),
            density,
            ..fixture::nm_matmul()
        };
        let records = [
            at(1, 0.5),
            at(2, 0.5),
            at(1, 0.25),
            at(3, 0.5),
            at(1, 0.125),
            at(1, 0.125),
        ];
        let plots = plots(&records);
        let shapes: Vec<(&str, usize)> = plots
            .iter()
            .map(|plot| (plot.shape.as_str(), plot.points.len()))
            .collect();
        assert_eq!(
            shapes,
            [("tokens=1 n_out=8 k_in=8", 4), ("several shapes", 2)]
        );
    }

    #[test]
    fn rows_with_shared_masks_have_a_plot_of_their_own() {
        let at = |density: f64, heads: &str| Record {
            density,
            pattern: format!("block:128 causal top 8{heads}"),
            ..fixture::nm_matmul()
        };
        let records: Vec<Record> = [0.5, 0.25, 0.125]
            .into_iter()
            .flat_map(|density| [at(density, ""), at(density, BY_KEY_HEAD)])
            .collect();
        let plots = plots(&records);
        assert_eq!(plots.len(), 2);
        assert!(plots.iter().all(|plot| plot.points.len() == 3));
        assert!(plots[1].shape.ends_with(BY_KEY_HEAD), "{}", plots[1].shape);
    }

    #[test]
    fn dense_and_meaningless_rows_are_left_out() {
        let dense = Record {
            density: 1.0,
            ..fixture::nm_matmul()
        };
        let nan = Record {
            speedup: Some(f64::NAN),
            ..fixture::nm_matmul()
        };
        let alone = Record {
            dense_ms: None,
            speedup: None,
            ..fixture::nm_matmul()
        };
        let empty = Record {
            density: 0.0,
            ideal_speedup: Some(f64::INFINITY),
            ..fixture::nm_matmul()
        };
        assert!(plots(&[dense, nan, alone, empty]).is_empty());
    }
}
